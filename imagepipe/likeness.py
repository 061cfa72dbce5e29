"""Which pictures look alike, whatever their type, size and quality."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from PIL import Image, ImageChops

from imagepipe.asset import Likeness

__all__ = ["alike", "likeness", "nearly_blank", "upright_glance"]

_LUMA_BITS = 6  # of 64 that may differ
_STEPS = (14, 7, 7, 14, 7, 7, 14, 7)  # of 255 that each byte of `color` may differ; brightness may be edited a little
_SIDE = 32
_MARGIN = 3  # of 255
_STANDS_OUT = 48  # from there on a pixel counts in full as what stands out; nothing jumps at a threshold
_GRAIN = 8
_BLANK_STEP = 6  # of 255


def upright_glance(image: Image.Image, orientation: int = 1, edge: int = 256) -> Image.Image:
    """Return a small `RGB` version of a picture: turned upright, laid on white, at most `edge` pixels.

    Profiles are not applied: it serves to recognise a picture, not to judge its colours.
    """
    longest = max(image.size)
    if longest > edge:
        size = max(1, round(image.width * edge / longest)), max(1, round(image.height * edge / longest))
        image = image.resize(size, Image.Resampling.BOX, reducing_gap=None)
    if image.mode in ("RGBA", "LA"):
        shape = image.convert("RGBA")
        image = Image.new("RGB", shape.size, "white")
        image.paste(shape, mask=shape.getchannel("A"))
    elif image.mode == "LAB":
        image = image.getchannel(0).convert("RGB")
    elif image.mode != "RGB":
        image = image.convert("RGB")
    turn = _TURNS.get(orientation)
    return image.transpose(turn) if turn is not None else image


_TURNS = {2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
          5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
          8: Image.Transpose.ROTATE_90}


def likeness(image: Image.Image) -> Likeness:
    """Return what a picture looks like; it must be upright already.

    `luma`: a difference hash. Of the brightness at 9 x 8, a bit says that a value is above its
    left neighbour by more than a margin; without the margin, noise decides every bit of a plain
    background. `color`: eight bytes, the brightness, blueness and redness (Y, Cb, Cr) of the
    middle half and of what stands out from the border, the brightness of the border, and the
    blueness of all above its redness.
    """
    glance = upright_glance(image)
    return Likeness(_luma(_shrunk(glance.convert("L"), (9, 8))),
                    _color(_shrunk(glance.convert("YCbCr"), (_SIDE, _SIDE))))


def _shrunk(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Return a picture at a small size, every value the mean of what it stands for."""
    return image.resize(size, Image.Resampling.BOX if min(image.size) >= _SIDE else Image.Resampling.BILINEAR)


def _luma(small: Image.Image) -> int:
    """Return the difference hash of a picture of 9 x 8."""
    values = small.tobytes()
    bits = 0
    for row in range(0, 72, 9):
        for left, right in pairwise(values[row:row + 9]):
            bits = bits << 1 | (right > left + _MARGIN)
    return bits


def _color(small: Image.Image) -> int:
    """Return eight bytes of the colour of a picture of 32 x 32."""
    import numpy as np  # comes with simplejpeg

    pixels: Any = np.asarray(small, dtype=np.int32)
    border = np.concatenate([pixels[0], pixels[-1], pixels[1:-1, 0], pixels[1:-1, -1]])
    ground = border.mean(axis=0)  # not the median, which jumps where half of the border is wall and half is table
    middle = pixels[_SIDE // 4:-_SIDE // 4, _SIDE // 4:-_SIDE // 4].reshape(-1, 3)
    apart = np.abs(pixels - ground) @ np.array((1, 2, 2)) - _GRAIN
    weights = np.clip(apart, 0, _STANDS_OUT).reshape(-1)
    pixels = pixels.reshape(-1, 3)
    total = float(weights.sum())
    stands_out = total * 20 >= _STANDS_OUT * len(pixels)
    subject = weights @ pixels / total if stands_out else middle.mean(axis=0)
    _, blue, red = pixels.mean(axis=0)
    values = (*middle.mean(axis=0), *subject, ground[0], 127.5 + (blue - red) / 2)
    return int.from_bytes(bytes(round(float(value)) for value in values), "big")


def alike(a: Likeness, b: Likeness) -> bool:
    """Say whether two pictures are one for the eye: the same at another size, quality or type, or lightly edited.

    Tuned on made pictures (24 products of six shapes before white, grey and shaded grounds, with
    folds, shadows, prints and grain, in 12 colours; `tests/test_likeness.py` has a part of them).
    Of 1,344 edits (JPEG at quality 85, 40 and 20, half and quarter size, 120 pixels, WebP, AVIF,
    64 colours, brightness and contrast up to 8 %, sharpened, more saturated) all are alike; of
    1,584 pairs of colours of one product none is, black and navy being the nearest; of 39,744
    pairs of different products 28 are, of one shape, place and colour. Photographs changed nothing
    in it: of 465, all but 0 to 2 % are alike after an edit, and of 107,880 pairs the two that are
    show one scene (`tests/benchmarks/README.md`). Of pictures cut by 2 % a side a fifth is missed.
    """
    if (a.luma ^ b.luma).bit_count() > _LUMA_BITS:
        return False
    pairs = zip(a.color.to_bytes(8, "big"), b.color.to_bytes(8, "big"), _STEPS, strict=True)
    return all(abs(one - other) <= steps for one, other, steps in pairs)


def nearly_blank(glance: Image.Image) -> bool:
    """Say whether there is next to nothing on a picture.

    Of its version of 96 pixels, at most one pixel in a thousand (nine of 9,216) is further than
    6/255 from the median. The grain of a scan or of JPEG averages out to less than 3 at that
    size; a product that covers a thousandth of the area, such as an ear stud of 130 pixels on a
    photograph of 4,000, stands out of ten pixels or more.
    """
    small = upright_glance(glance, edge=96)
    apart = Image.new("L", small.size, 0)
    for band in small.split():
        apart = ImageChops.lighter(apart, _apart(band))
    return apart.histogram()[255] * 1000 <= small.width * small.height


def _apart(band: Image.Image) -> Image.Image:
    """Return a mask of what is not near the median of a channel."""
    total, median = 0, 0
    for value, times in enumerate(band.histogram()):
        total += times
        if 2 * total >= band.width * band.height:
            median = value
            break
    return band.point([255 if abs(value - median) > _BLANK_STEP else 0 for value in range(256)])
