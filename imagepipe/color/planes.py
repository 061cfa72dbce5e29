"""Arithmetic on all pixels of a picture: a curve for each channel, a matrix, and the curve of sRGB.

For what littleCMS, as Pillow shows it, cannot do: values of more than 8 bits, and light to be toned
down. It works with numpy on a few rows at a time, one plane a channel: 20 ms a megapixel, as littleCMS.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from PIL import Image

from imagepipe.color.build import Matrix

__all__ = ["mapped", "mapped_grey"]

_CODES = 65536  # steps of light
_BAND = 1 << 16  # pixels worked on at a time: what fits the processor's cache


def mapped(image: Image.Image, curves: Sequence[Any], matrix: Matrix, *, black: float = 0.0,
           fine: Image.Image | None = None, between: Callable[[Any], None] | None = None,
           owned: bool = False) -> Image.Image:
    """Return an `RGB` or `RGBA` picture sent through curves and a matrix to linear sRGB, encoded. Alpha stays.

    `curves` hold for each channel the linear value of every code: 256 of them, 65,536 where there is
    `fine` (as in `Frame`). `between` may change the linear values, an array of three rows, in place.
    Light of `black` becomes none, and white stays white. A picture that is `owned` is changed itself.
    """
    import numpy as np

    result = image if owned else image.copy()
    rows = max(1, _BAND // image.width)
    planes, sums = (np.empty((3, rows * image.width), np.float32) for _ in range(2))
    products = np.empty(rows * image.width, np.float32)
    scaled = np.array(matrix, np.float32) * np.float32((_CODES - 1) / (1 - black))
    lift = np.float32((_CODES - 1) * black / (1 - black))
    for top in range(0, image.height, rows):
        box = (0, top, image.width, min(image.height, top + rows))
        band = np.array(image.crop(box))
        codes = band.reshape(-1, band.shape[2])
        remainders = None if fine is None else np.asarray(fine.crop(box)).reshape(-1, 3)
        linear, light, scratch = planes[:, :len(codes)], sums[:, :len(codes)], products[:len(codes)]
        for channel, curve in enumerate(curves):
            indices = codes[:, channel] if remainders is None else _whole(codes[:, channel], remainders[:, channel])
            np.take(curve, indices, out=linear[channel], mode="clip")  # "raise" would copy
        if between is not None:
            between(linear)
        for row, channels in enumerate(scaled):  # BLAS would start its threads for this, and wait for them
            np.multiply(linear[0], channels[0], out=light[row])
            for channel in (1, 2):
                np.multiply(linear[channel], channels[channel], out=scratch)
                light[row] += scratch
            if black:
                light[row] -= lift
        np.clip(light, 0, _CODES - 1, out=light)
        for channel, steps in enumerate(light.astype(np.uint16)):
            codes[:, channel] = np.take(_encoding(), steps, mode="clip")
        result.paste(Image.fromarray(band), box)
    return result


def mapped_grey(image: Image.Image, table: Any, *, fine: Image.Image | None = None) -> Image.Image:
    """Return an `L` or `LA` picture with each value replaced by that of `table`, from linear light to a code of sRGB.

    `table` holds the linear value of every code: 256 of them, 65,536 where there is `fine`.
    """
    import numpy as np

    codes = encoded(table)
    if fine is None:
        values = codes.tolist()
        return image.point(values if image.mode == "L" else [*values, *range(256)])
    grey = np.array(image.getchannel(0))
    rows = max(1, _BAND // image.width)
    remainders = np.asarray(fine)
    for top in range(0, image.height, rows):
        grey[top:top + rows] = codes[_whole(grey[top:top + rows], remainders[top:top + rows])]
    result = Image.fromarray(grey)
    return result if image.mode == "L" else Image.merge("LA", (result, image.getchannel("A")))


def encoded(linear: Any) -> Any:
    """Return the codes of sRGB, 0 to 255, of linear light."""
    import numpy as np

    linear = np.clip(linear, 0, 1)
    values = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.rint(values * 255).astype(np.uint8)


def _whole(codes: Any, remainders: Any) -> Any:
    """Return values of 16 bits from what they are in 8 and what was left over (see `Frame.fine`)."""
    import numpy as np

    return np.clip(codes.astype(np.int32) * 257 + remainders.astype(np.int8), 0, 65535)  # whatever they are told


@lru_cache(maxsize=1)
def _encoding() -> Any:
    """Return the code of sRGB for 65,536 steps of light."""
    import numpy as np

    return encoded((np.arange(_CODES) + 0.5) / _CODES)
