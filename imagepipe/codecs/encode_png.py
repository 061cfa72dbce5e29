"""PNG: without loss, in the smallest of the exact forms: grey, palette, with alpha only where there is some.

Strategy, measured (zlib-ng in Pillow 13): photographs are smallest, and written five times faster,
with run lengths only (`RLE`: 421,858 bytes in 22 ms where level 9 takes 424,036 and 100), because
the filters leave nothing that repeats; drawings are far larger so. A sample decides. Level 9 over
6 gains 0 to 3 % and takes three times as long, which small pictures can afford.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from PIL import Image, ImageChops, PngImagePlugin

from imagepipe.asset import Color, Frame
from imagepipe.codecs.sampling import mosaic

__all__ = ["exact_palette", "is_opaque", "smallest_form", "write_png", "write_png_animation"]

_SMALL = 2_000_000  # pixels that level 9 can be afforded for
_TRIED_BOTH = 1_000_000  # pixels up to which palette and direct colour are both written
_SAMPLE = 1 << 17  # pixels
_BLOCK = 1 << 22  # pixels that are looked up in a palette at a time
_GREYS = frozenset({"1", "L", "LA"})
_GREY, _RGB = b"GRAY", b"RGB "  # the space that a profile is for, at its byte 16 (ICC.1:2022, 7.2.6)


def is_opaque(image: Image.Image) -> bool:
    """Say whether no pixel is transparent, not even in part."""
    if image.mode in ("LA", "RGBA", "PA"):
        low, _ = image.getchannel("A").getextrema()
        return low == 255
    if image.mode == "P" and image.has_transparency_data:
        return is_opaque(image.convert("RGBA"))
    return True


def smallest_form(image: Image.Image) -> Image.Image:
    """Return the same picture without channels that say nothing: alpha where it is opaque, colour where it is grey."""
    if image.mode in ("RGBA", "LA") and is_opaque(image):
        image = image.convert(image.mode[:-1])
    if image.mode in ("RGB", "RGBA"):
        red, green, blue = image.split()[:3]
        if ImageChops.difference(red, green).getbbox() is None and ImageChops.difference(red, blue).getbbox() is None:
            grey = red if image.mode == "RGB" else Image.merge("LA", (red, image.getchannel("A")))
            return grey
    return image


def exact_palette(images: Sequence[Image.Image], most: int = 256) -> tuple[list[Image.Image], bytes, bytes] | None:
    """Return the pictures as indices into one palette, with its colours (RGB) and its alpha; None where `most` is less.

    Colours that are not opaque come first, so that the list of alpha values is short; it is empty
    where all are opaque.
    """
    found: set[Any] = set()
    for image in images:
        counted = image.getcolors(most)
        if counted is None:
            return None
        found.update((image.mode, color) for _, color in counted)
        if len(found) > 4 * most:
            return None
    colors = {_rgba(mode, color) for mode, color in found}
    if len(colors) > most:
        return None
    ordered = sorted(colors, key=lambda color: (color[3] == 255, color))
    keys = np.array([int.from_bytes(bytes(color), "little") for color in ordered], np.uint32)
    by_key = np.argsort(keys)
    indexed = [_indices(image, keys[by_key], by_key.astype(np.uint8)) for image in images]
    palette = b"".join(bytes(color[:3]) for color in ordered)
    for image in indexed:
        image.putpalette(palette)
    return indexed, palette, bytes(color[3] for color in ordered if color[3] < 255)


def write_png(image: Image.Image, color: Color, *, exif: bytes = b"", xmp: bytes = b"") -> bytes:
    """Return `image` as a PNG with nothing but what is named here."""
    image, color = _with_profile(image, color)
    space = (color.icc or b"")[16:20]
    pixels = image.width * image.height
    about = _about(color, exif, xmp)
    direct = None
    if image.mode in ("RGB", "RGBA", "L", "LA"):
        indexed = exact_palette([image], 16 if image.mode == "L" else 256)
        bilevel = indexed is not None and indexed[1:] == (b"\0\0\0\xff\xff\xff", b"")
        if bilevel and space != _RGB:
            return _saved(image.convert("1"), {}, about)
        if indexed is not None and space != _GREY:
            (flat,), _, alpha = indexed
            with_palette = _saved(flat, {"transparency": alpha} if alpha else {}, about)
            if pixels > _TRIED_BOTH:
                return with_palette
            direct = with_palette
    elif image.mode not in ("1", "I;16"):
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    written = _saved(image, {}, about)
    return min(direct or written, written, key=len)


def _with_profile(image: Image.Image, color: Color) -> tuple[Image.Image, Color]:
    """Return the picture in the smallest form that its profile is for, and its colour without a profile for others.

    A profile of greys counts only in a grey PNG, one of RGB only in RGB and palettes (11.3.2.3): in others, programs
    pass over it.
    """
    small = smallest_form(image)
    space = (color.icc or b"")[16:20]
    if space == _RGB and small.mode in _GREYS and image.mode not in _GREYS:
        return small.convert("RGBA" if small.mode == "LA" else "RGB"), color
    if space == (_RGB if small.mode in _GREYS else _GREY):
        return small, replace(color, icc=None)
    return small, color


def write_png_animation(frames: Sequence[Frame], loop: int | None, color: Color, *, exif: bytes = b"",
                        xmp: bytes = b"") -> bytes:
    """Return the frames as an animated PNG; `loop` as in `Pixels`."""
    images = [frame.image for frame in frames]
    extra: dict[str, Any] = {}
    indexed = exact_palette(images)
    if indexed is not None:
        images, _, alpha = indexed
        if alpha:
            extra["transparency"] = alpha
    else:
        mode = "RGB" if all(is_opaque(image) for image in images) else "RGBA"
        images = [image if image.mode == mode else image.convert(mode) for image in images]
    extra |= {"save_all": True, "append_images": images[1:], "duration": [frame.duration for frame in frames],
              "loop": 1 if loop is None else loop, "disposal": 0, "blend": 0}
    return _saved(images[0], extra, _about(color, exif, xmp))


def _saved(image: Image.Image, extra: dict[str, Any], about: dict[str, Any]) -> bytes:
    """Return the picture deflated in the better of two ways, which a sample tells where there is one."""
    patient = {"compress_level": 9 if image.width * image.height <= _SMALL else 6}
    if image.mode in ("1", "P"):
        return _written(image, patient, extra, about)
    quick = {"compress_level": 6, "compress_type": zlib.Z_RLE}
    sample = mosaic(image, _SAMPLE, (256, 64))
    if sample is image and "save_all" not in extra:
        return min(_written(image, patient, extra, about), _written(image, quick, extra, about), key=len)
    is_drawing = len(_written(sample, patient)) < len(_written(sample, quick))
    return _written(image, patient if is_drawing else quick, extra, about)


def _written(image: Image.Image, how: dict[str, Any], *more: dict[str, Any]) -> bytes:
    out = io.BytesIO()
    for one in more:
        how = how | one
    image.save(out, "PNG", **how)
    return out.getvalue()


def _about(color: Color, exif: bytes, xmp: bytes) -> dict[str, Any]:
    """Return what else is to be written: what the numbers mean, and the metadata that was kept."""
    about: dict[str, Any] = {}
    info = PngImagePlugin.PngInfo()
    if color.icc:
        about["icc_profile"] = color.icc
    if color.cicp:
        info.add(b"cICP", bytes(color.cicp))
    if color.gamma:
        info.add(b"gAMA", round(color.gamma * 100_000).to_bytes(4, "big"))
    if color.chromaticities:
        info.add(b"cHRM", b"".join(round(value * 100_000).to_bytes(4, "big") for value in color.chromaticities))
    if xmp:
        info.add_itxt("XML:com.adobe.xmp", xmp.decode("utf-8", "replace"))
    if info.chunks:
        about["pnginfo"] = info
    if exif:
        about["exif"] = exif
    return about


def _rgba(mode: str, color: Any) -> tuple[int, int, int, int]:
    if mode in ("1", "L"):
        return (color, color, color, 255)
    if mode == "LA":
        return (color[0], color[0], color[0], color[1])
    return (color[0], color[1], color[2], color[3] if len(color) == 4 else 255)


def _indices(image: Image.Image, keys: Any, order: Any) -> Image.Image:
    """Return the picture as indices, given the sorted colours as 32-bit numbers and the index of each."""
    rows = max(1, _BLOCK // image.width)
    out = Image.new("P", image.size)
    for top in range(0, image.height, rows):
        part = image.crop((0, top, image.width, min(top + rows, image.height))).convert("RGBA")
        numbers = np.frombuffer(part.tobytes(), "<u4")
        out.paste(Image.frombytes("P", part.size, order[np.searchsorted(keys, numbers)].tobytes()), (0, top))
    return out
