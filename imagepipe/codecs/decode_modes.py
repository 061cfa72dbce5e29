"""From what decoders return to what the stages work with: `L`, `LA`, `RGB`, `RGBA`, `CMYK` or `LAB`, 8 bits a channel.

Pillow has no picture with more than one channel of more than 8 bits, and clips where it converts
`I;16` and its like to `L`. So deep pictures are brought to 8 bits here, scaled and rounded: the
value v of a maximum m becomes round(255 v / m).
"""

from __future__ import annotations

from typing import Any

from PIL import Image, ImageChops

__all__ = ["FINE", "detached", "from_floats", "from_integers", "from_sixteen", "join", "left_over",
           "left_over_of_bytes", "opaque", "plain"]

FINE = "fine"  #: Where decoders leave, in a picture's `info`, what `Frame.fine` is to hold.

_SHALLOW = {"1": "L", "PA": "RGBA", "La": "LA", "RGBa": "RGBA", "RGBX": "RGB", "YCbCr": "RGB", "HSV": "RGB"}


def detached(image: Image.Image) -> Image.Image:
    """Return a loaded picture out of its plugin's class, which holds the file and its metadata; it shares the pixels.

    The plugin must not be asked for another frame afterwards.
    """
    return image._new(image.im)  # as every method of Pillow makes its result; `copy` would hold a picture twice


def plain(image: Image.Image, *, more_to_come: bool = False) -> Image.Image:
    """Return a decoded picture of 8 bits or less in a mode that the stages know, with an empty `info`.

    A palette becomes `RGB`, or `RGBA` where it has transparency; a transparent colour becomes an
    alpha channel; bilevel becomes `L`. Where `more_to_come` says that the plugin goes on to
    another frame, nothing is shared with it.
    """
    transparent = image.info.get("transparency")
    if image.mode == "P":
        image = _from_palette(image, transparent is not None)
    elif transparent is not None and image.mode in ("1", "L", "RGB"):
        image = image.convert("RGBA" if image.mode == "RGB" else "LA")
    elif image.mode in _SHALLOW:
        image = image.convert(_SHALLOW[image.mode])
    else:
        image.load()
        image = image.copy() if more_to_come else detached(image)
    image.info = {}
    return image


def _from_palette(image: Image.Image, transparent: bool) -> Image.Image:
    """Return a palette picture in its colours."""
    palette = image.palette
    return image.convert("RGBA" if transparent or (palette is not None and palette.mode == "RGBA") else "RGB")


def opaque(image: Image.Image) -> bool:
    """Say whether every pixel is shown in full."""
    if not image.mode.endswith("A"):
        return True
    lowest = image.getchannel("A").getextrema()[0]
    return bool(lowest == 255)


def from_sixteen(image: Image.Image, most: int = 65535, *, inverted: bool = False) -> Image.Image:
    """Return a grey picture of up to 16 bits as `L`: 0 to `most` becomes 0 to 255, or 255 to 0."""
    table = [min(255, (value * 510 + most) // (2 * most)) for value in range(65536)]
    if inverted:
        table = [255 - value for value in table]
    if image.mode != "I":
        image = image.convert("I")
    return image.point(table, "L")


def join(high: Image.Image, low: Image.Image) -> Image.Image:
    """Return 16-bit values, given as two pictures of their high and their low bytes, rounded to 8 bits.

    For v = 256 h + l, round(v / 257) = h + round((l - h) / 257): one more where l - h > 128, one
    less where h - l > 128.
    """
    more = ImageChops.subtract(low, high).point(_beyond(128, len(high.getbands())))
    less = ImageChops.subtract(high, low).point(_beyond(128, len(high.getbands())))
    return ImageChops.subtract(ImageChops.add(high, more), less)


def left_over(values: Any, shown: Any) -> Any:
    """Return what rounding left over, as in `Frame.fine`, of an array of 16-bit values shown as bytes.

    -128 to 128 may be left over; the last becomes 127, which is hardly off.
    """
    import numpy as np

    rest = values.astype(np.int32)
    rest -= shown.astype(np.int32) * 257
    return np.clip(rest, -128, 127, out=rest).astype(np.int8).view(np.uint8)


def left_over_of_bytes(high: Image.Image, low: Image.Image, rounded: Image.Image) -> Image.Image:
    """Return what rounding left over of the colours, as `L` or `RGB`, from pictures of the high and the low bytes."""
    import numpy as np

    colors = 1 if rounded.mode in ("L", "LA") else 3
    result = np.empty((rounded.height, rounded.width, colors), np.uint8)
    for top in range(0, rounded.height, 64):
        box = (0, top, rounded.width, min(rounded.height, top + 64))
        upper, lower, shown = (np.asarray(image.crop(box)).reshape(box[3] - top, rounded.width, -1)[..., :colors]
                               for image in (high, low, rounded))
        result[top:box[3]] = left_over(upper.astype(np.uint16) << 8 | lower, shown)
    return Image.fromarray(result[..., 0] if colors == 1 else result)


def _beyond(limit: int, bands: int) -> list[int]:
    """Return a table that is 1 above `limit`, 0 elsewhere."""
    return [int(value > limit) for value in range(256)] * bands


def from_integers(image: Image.Image) -> Image.Image:
    """Return a grey picture of 32-bit integers as `L`.

    What the maximum is, is not stated in such files. Values that fit 8 bits are taken as they
    are, those that fit 16 bits as of 16 bits; above, the range that occurs becomes 0 to 255.
    """
    low, high = _extrema(image)
    if low >= 0 and high <= 255:
        return image.point(list(range(256)) + [255] * 65280, "L")
    if low >= 0 and high <= 65535:
        return from_sixteen(image)
    return _stretched(image, low, high)


def from_floats(image: Image.Image) -> Image.Image:
    """Return a grey picture of floating-point numbers as `L`.

    0 to 1 is the rule for such files (TIFF, PFM); up to 255 and up to 65535 are taken as 8-bit
    and 16-bit values; anything else has its range brought to 0 to 255. What is not a number is 0.
    """
    import numpy as np

    values: Any = np.nan_to_num(np.asarray(image, dtype=np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    low, high = float(values.min()), float(values.max())
    if low >= -0.01 and high <= 1.01:  # a little beyond is what resampling leaves
        low, high = 0.0, 1.0
    elif low >= -1 and high <= 256:
        low, high = 0.0, 255.0
    elif low >= -1 and high <= 65536:
        low, high = 0.0, 65535.0
    return _scaled(values, low, high)


def _stretched(image: Image.Image, low: float, high: float) -> Image.Image:
    """Return a picture of integers with `low` at 0 and `high` at 255."""
    import numpy as np

    return _scaled(np.asarray(image), low, high)


def _scaled(values: Any, low: float, high: float) -> Image.Image:
    """Return the array `values` as `L`, `low` at 0 and `high` at 255, a band of rows at a time."""
    import numpy as np

    span = high - low or 1.0
    result = np.empty(values.shape, dtype=np.uint8)
    for top in range(0, values.shape[0], 256):
        band = (values[top:top + 256].astype(np.float64) - low) * (255.0 / span)
        result[top:top + 256] = np.clip(np.rint(band), 0, 255).astype(np.uint8)
    return Image.fromarray(result)


def _extrema(image: Image.Image) -> tuple[float, float]:
    """Return the least and the greatest value of a picture of one channel."""
    low, high = image.getextrema()
    return float(low), float(high)  # type: ignore[arg-type]  # one channel: two numbers, not pairs
