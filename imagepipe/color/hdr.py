"""Pictures of high dynamic range (PQ and HLG, ITU-R BT.2100) brought to what a page can show.

Refusing them would help nobody: phones and cameras make them, and their owners see nothing special
about them. The light that the codes stand for is worked out; diffuse white (203 cd/m2, ITU-R
BT.2408) is to be the white of the page, and what is brighter is rolled off with the curve of ITU-R
BT.2390 (EETF), from the brightest that occurs in the picture. The curve is applied to the largest
of red, green and blue, and the others keep their proportion, so that no colour changes its hue.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from PIL import Image, ImageChops

from imagepipe.color.build import inverse, product, times, to_xyz
from imagepipe.color.space import SRGB, Space

__all__ = ["toned"]

_WHITE = 203.0  # cd/m2 of diffuse white
_HLG_PEAK = 1000.0  # cd/m2 of the screen that HLG is reckoned for, with a system gamma of 1.2
_BRIGHTEST = 10_000.0  # cd/m2 that PQ can say
_RARE = 0.001  # share of the pixels that may be brighter than the brightest that counts
_STRIP = 1 << 18  # pixels worked on at a time


def toned(image: Image.Image, space: Space) -> Image.Image:
    """Return an `L`, `LA`, `RGB` or `RGBA` picture of a space with `high` set, as sRGB. Alpha stays."""
    import numpy as np

    gray = image.mode in ("L", "LA")
    roll = _roll(_peak(image.split()[:1 if gray else 3], space))
    if gray:
        codes = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)
        table = _shown(codes, space, roll)[:, 1].tolist()
        return image.point(table if image.mode == "L" else [*table, *range(256)])
    result = image.copy()
    rows = max(1, _STRIP // image.width)
    for top in range(0, image.height, rows):
        box = (0, top, image.width, min(image.height, top + rows))
        strip = np.array(image.crop(box))
        flat = strip.reshape(-1, strip.shape[2])
        flat[:, :3] = _shown(flat[:, :3], space, roll)
        result.paste(Image.fromarray(strip), box)
    return result


def _peak(colors: tuple[Image.Image, ...], space: Space) -> float:
    """Return the brightest that occurs in cd/m2, but for a few pixels."""
    largest = colors[0]
    for band in colors[1:]:
        largest = ImageChops.lighter(largest, band)
    left = int(largest.width * largest.height * _RARE)
    code = 255
    counts = largest.histogram()
    while code and left >= counts[code]:
        left -= counts[code]
        code -= 1
    light = float(_light(code / 255, space.high))
    return light ** 1.2 * _HLG_PEAK if space.high == "hlg" else light


def _shown(codes: Any, space: Space, roll: Any) -> Any:
    """Return rows of three codes as rows of sRGB."""
    import numpy as np

    light = _table(space.high)[codes]
    if space.high == "hlg":  # the light of the scene, not yet of the screen
        luminance = np.maximum(light @ np.array(to_xyz(space.points)[1], np.float32), np.float32(1e-9))
        light *= (luminance ** np.float32(0.2) * np.float32(_HLG_PEAK))[:, None]
    largest = np.maximum(np.maximum(light[:, 0], light[:, 1]), light[:, 2])
    light *= roll[np.minimum(largest * np.float32(65535 / _BRIGHTEST), 65535).astype(np.uint16)][:, None]
    matrix = product(inverse(to_xyz(SRGB.points)), _to_d65(space))
    linear = light @ (np.array(matrix, np.float32).T / np.float32(_WHITE))
    return _encoding()[(np.clip(linear, 0, 1) * 65535).astype(np.uint16)]


@lru_cache(maxsize=2)
def _table(high: str) -> Any:
    """Return the light of each code."""
    import numpy as np

    return _light(np.arange(256) / 255, high).astype(np.float32)


@lru_cache(maxsize=1)
def _encoding() -> Any:
    """Return the code of sRGB for 65,536 steps of light."""
    import numpy as np

    linear = (np.arange(65536) + 0.5) / 65536
    return np.rint(np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055) * 255
                   ).astype(np.uint8)


def _to_d65(space: Space) -> Any:
    """Return the matrix from linear RGB to XYZ with white where sRGB has it, each row scaled."""
    matrix = to_xyz(space.points)
    white, wanted = times(matrix, (1, 1, 1)), times(to_xyz(SRGB.points), (1, 1, 1))
    return tuple(tuple(value * to / of for value in row) for row, of, to in zip(matrix, white, wanted, strict=True))


def _light(value: Any, high: str) -> Any:
    """Return the light of values from 0 to 1: cd/m2 of PQ, 0 to 1 of HLG's scene (ITU-R BT.2100, tables 4 and 5)."""
    import numpy as np

    if high == "pq":
        return _from_pq(value)
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    return np.where(value <= 0.5, np.square(value) / 3, (np.exp((value - c) / a) + b) / 12)


def _from_pq(value: Any) -> Any:
    import numpy as np

    power = value ** (32 / 2523)
    return 10_000 * (np.maximum(power - 3424 / 4096, 0) / (2413 / 128 - 2392 / 128 * power)) ** (8192 / 1305)


def _to_pq(light: Any) -> Any:
    power = (light / 10_000) ** (1305 / 8192)
    return ((3424 / 4096 + 2413 / 128 * power) / (1 + 2392 / 128 * power)) ** (2523 / 32)


def _roll(peak: float) -> Any:
    """Return what to multiply light with, in 65,536 steps up to `_BRIGHTEST`: none ends above white (BT.2390, 5.4)."""
    import numpy as np

    light = np.linspace(0, _BRIGHTEST, 65536)
    light[0] = light[1]
    if peak <= _WHITE:
        return (np.minimum(light, _WHITE) / light).astype(np.float32)
    top = float(_to_pq(peak))
    most = float(_to_pq(_WHITE)) / top
    knee = 1.5 * most - 0.5
    value = np.minimum(_to_pq(light) / top, 1)
    part = np.clip((value - knee) / (1 - knee), 0, 1)
    bent = ((2 * part ** 3 - 3 * part ** 2 + 1) * knee + (part ** 3 - 2 * part ** 2 + part) * (1 - knee)
            + (3 * part ** 2 - 2 * part ** 3) * most)
    return (_from_pq(np.where(value < knee, value, bent) * top) / light).astype(np.float32)
