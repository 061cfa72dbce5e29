"""Which pictures look alike, whatever their type, size and quality."""

from __future__ import annotations

from itertools import pairwise

from PIL import Image, ImageChops

from imagepipe.asset import Likeness

__all__ = ["alike", "likeness", "nearly_blank", "upright_glance"]

_LUMA_BITS = 8  # of 64 that may differ
_COLOR_STEPS = 10  # of 255 that one value of colour may differ
_SIDE = 32
_MARGIN = 3  # of 255
_STANDS_OUT = 24
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
    middle half and of what stands out from the border, and the blueness and redness of all.
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
    values = small.tobytes()
    pixels = [(values[at], values[at + 1], values[at + 2]) for at in range(0, len(values), 3)]
    border = [pixel for at, pixel in enumerate(pixels)
              if at < _SIDE or at >= _SIDE * (_SIDE - 1) or at % _SIDE in (0, _SIDE - 1)]
    ground = [sorted(pixel[channel] for pixel in border)[len(border) // 2] for channel in range(3)]
    middle = [pixels[row * _SIDE + column] for row in range(8, 24) for column in range(8, 24)]
    subject = [pixel for pixel in pixels if abs(pixel[0] - ground[0])
               + 2 * (abs(pixel[1] - ground[1]) + abs(pixel[2] - ground[2])) > _STANDS_OUT]
    if len(subject) < len(pixels) // 20:
        subject = middle
    return int.from_bytes(bytes((*_mean(middle), *_mean(subject), *_mean(pixels)[1:])), "big")


def _mean(pixels: list[tuple[int, int, int]]) -> list[int]:
    """Return the rounded mean of each channel."""
    return [round(sum(pixel[channel] for pixel in pixels) / len(pixels)) for channel in range(3)]


def alike(a: Likeness, b: Likeness) -> bool:
    """Say whether two pictures are one for the eye: the same at another size, quality or type, or lightly edited."""
    if (a.luma ^ b.luma).bit_count() > _LUMA_BITS:
        return False
    return all(abs(one - other) <= _COLOR_STEPS
               for one, other in zip(a.color.to_bytes(8, "big"), b.color.to_bytes(8, "big"), strict=True))


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
