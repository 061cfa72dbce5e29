"""Pictures of high dynamic range (PQ and HLG, ITU-R BT.2100) brought to what a page can show.

Refusing them would help nobody: phones and cameras make them, and their owners see nothing special
about them. The light that the codes stand for is worked out (of HLG, for a screen of 1,000 cd/m2); diffuse
white (203 cd/m2, ITU-R BT.2408, table 1) is to be the white of the page, as browsers have it, and what is
brighter is rolled off with the curve of ITU-R BT.2390 (EETF, 5.4.1), from the brightest that occurs in the
picture. One that has no highlights is what its light says, to the code. BT.2446 (methods A and C)
would also move what is not bright, for films that are graded anew. The curve is applied to the
largest of red, green and blue, and the others keep their proportion, so that no colour changes its hue.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from PIL import Image, ImageChops

from imagepipe.color.build import Matrix, inverse, product, times, to_xyz
from imagepipe.color.planes import mapped, mapped_grey
from imagepipe.color.space import SRGB, Space

__all__ = ["toned"]

_WHITE = 203.0  # cd/m2 of diffuse white
_HLG_PEAK = 1000.0  # cd/m2 of the screen that HLG is reckoned for
_HLG_GAMMA = 1.2  # of the system, for that screen (BT.2100, table 5)
_BRIGHTEST = 10_000.0  # cd/m2 that PQ can say
_RARE = 0.001  # share of the pixels that may be brighter than the brightest that counts
_STEPS = 65536  # of light, in what it is multiplied with


def toned(image: Image.Image, space: Space, fine: Image.Image | None = None, *, owned: bool = False) -> Image.Image:
    """Return an `L`, `LA`, `RGB` or `RGBA` picture of a space with `high` set, as sRGB. Alpha stays.

    `fine` is as in `Frame`: with it, values of 16 bits are worked on. A picture that is `owned` is changed itself.
    """
    import numpy as np

    codes = _light_of_codes(space.high, 256 if fine is None else 65536)
    if image.mode in ("L", "LA"):
        light = np.repeat(codes[None], 3, axis=0)  # grey: the same of each primary
        _Toning(space, _peak(image.split()[:1], space))(light)
        return mapped_grey(image, light[1] / _WHITE, fine=fine)
    return mapped(image, (codes, codes, codes), _to_linear_srgb(space), fine=fine, owned=owned,
                  between=_Toning(space, _peak(image.split()[:3], space)))


class _Toning:
    """What is done to light on its way: that of a scene brought to a screen, and what is bright rolled off."""

    def __init__(self, space: Space, peak: float) -> None:
        self.roll = _roll(peak)
        self.luminance = to_xyz(space.points)[1] if space.high == "hlg" else None

    def __call__(self, light: Any) -> None:
        """Change light, an array of three rows, in place."""
        import numpy as np

        if self.luminance is not None:
            shares = (np.float32(share * (_STEPS - 1)) for share in self.luminance)
            luminance = sum(row * share for row, share in zip(light, shares, strict=True))
            light *= np.take(_screen(), luminance.astype(np.uint16), mode="clip")
        largest = np.maximum(np.maximum(light[0], light[1]), light[2])
        largest *= np.float32((_STEPS - 1) / _BRIGHTEST)
        np.minimum(largest, _STEPS - 1, out=largest)
        light *= np.take(self.roll, largest.astype(np.uint16), mode="clip")


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
    return light ** _HLG_GAMMA * _HLG_PEAK if space.high == "hlg" else light


@lru_cache(maxsize=1)
def _screen() -> Any:
    """Return what to multiply light of HLG's scene with, by luminance, to have that of its screen in cd/m2."""
    import numpy as np

    luminance = (np.arange(_STEPS) + 0.5) / _STEPS
    return (luminance ** (_HLG_GAMMA - 1) * _HLG_PEAK).astype(np.float32)  # BT.2100, table 5


@lru_cache(maxsize=4)
def _light_of_codes(high: str, count: int) -> Any:
    """Return the light of each of the codes that there are."""
    import numpy as np

    return _light(np.arange(count) / (count - 1), high).astype(np.float32)


def _to_linear_srgb(space: Space) -> Matrix:
    """Return the matrix from light of a space, in cd/m2, to linear sRGB, with diffuse white as 1."""
    (a, b, c), (d, e, f), (g, h, i) = product(inverse(to_xyz(SRGB.points)), _to_d65(space))
    w = _WHITE
    return (a / w, b / w, c / w), (d / w, e / w, f / w), (g / w, h / w, i / w)


def _to_d65(space: Space) -> Matrix:
    """Return the matrix from linear RGB to XYZ with white where sRGB has it, each row scaled."""
    matrix = to_xyz(space.points)
    white, wanted = times(matrix, (1, 1, 1)), times(to_xyz(SRGB.points), (1, 1, 1))
    x, y, z = (tuple(value * to / of for value in row) for row, of, to in zip(matrix, white, wanted, strict=True))
    return x, y, z  # type: ignore[return-value]  # three values each


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
    """Return what to multiply light with, in steps up to `_BRIGHTEST`: none ends above white (BT.2390, 5.4.1)."""
    import numpy as np

    light = np.linspace(0, _BRIGHTEST, _STEPS)
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
