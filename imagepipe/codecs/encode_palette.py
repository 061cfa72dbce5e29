"""One palette for several pictures: exactly their colours, or fewer that serve them best."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageChops, ImageStat

__all__ = ["VISIBLE", "Palette", "all_or_nothing", "indexed_error", "serving"]

#: Mean difference, of 255, above which errors are diffused: bands of a gradient are then 6 or more apart.
VISIBLE = 2.0
_LOOKED_AT = 1 << 17  # pixels from which the colours are taken; four times as many change nothing that is seen


@dataclass(frozen=True, slots=True)
class Palette:
    """Colours for several pictures, and how well they serve them."""

    image: Image.Image  #: Of mode `P`, with the colours as its palette.
    has_hole: bool  #: One colour is kept free for what is transparent.
    error: float  #: Mean difference, of 255, between a picture and its nearest colours.
    worst: float  #: What the difference of one pixel in 200 exceeds, in the channel where it is largest.

    @property
    def count(self) -> int:
        """How many colours there are, the hole included."""
        return len(self.keys) // 4

    @property
    def keys(self) -> bytes:
        """The colours as RGBA, where all zero, the hole, comes first."""
        rgb = self.image.getpalette("RGB") or []
        colors = {bytes((*rgb[at:at + 3], 255)) for at in range(0, len(rgb), 3)}
        return b"".join([b"\0\0\0\0"] * self.has_hole + sorted(colors))

    def applied(self, images: Iterator[Image.Image]) -> Iterator[Image.Image]:
        """Yield the pictures, RGBA as of `all_or_nothing`, in these colours; what stays as it was does not flicker.

        Pillow looks at six bits of a channel, and may take another colour for one that is in the palette.
        """
        there = np.sort(np.frombuffer(self.keys, "<u4"))
        dither = Image.Dither.FLOYDSTEINBERG if self.error > VISIBLE else Image.Dither.NONE
        before: Any = None
        shown: Any = None
        for image in images:
            now = np.asarray(image)
            mapped = image.convert("RGB").quantize(palette=self.image, dither=dither).convert("RGBA")
            numbers = now.view("<u4")
            is_there = there[np.searchsorted(there, numbers).clip(max=len(there) - 1)] == numbers
            out = np.where(is_there | (now[..., 3:] == 0), now, np.asarray(mapped))
            if before is not None:
                out = np.where((now == before).all(axis=2, keepdims=True), shown, out)
            before, shown = now, out
            yield Image.fromarray(out)


def serving(images: Sequence[Image.Image], colors: int, *, with_hole: bool) -> Palette:
    """Return at most `colors` colours, the hole included, that serve the pictures best (median cut, then k-means)."""
    step = max(1, round((sum(image.width * image.height for image in images) / _LOOKED_AT) ** 0.5))
    found = []
    for image in images:
        size = (-(-image.width // step), -(-image.height // step))
        pixels = np.asarray(all_or_nothing(image.resize(size, Image.Resampling.NEAREST)))
        found.append(pixels[pixels[..., 3] == 255][:, :3])
    opaque = np.concatenate(found)
    with_hole = with_hole or len(opaque) < sum(map(len, found)) or any(map(_has_holes, images))
    opaque = opaque if len(opaque) else np.zeros((1, 3), np.uint8)
    seen = Image.fromarray(opaque[None])
    image = seen.quantize(max(1, colors - with_hole), Image.Quantize.MEDIANCUT, kmeans=1, dither=Image.Dither.NONE)
    image.putpalette(_with_what_prevails(opaque, image))
    apart = np.abs(opaque.astype(np.int16) - np.asarray(image.convert("RGB"))[0]).max(axis=1)
    return Palette(image, with_hole, indexed_error(seen, image), float(np.percentile(apart, 99.5)))


def _with_what_prevails(pixels: Any, image: Image.Image) -> bytes:
    """Return the palette of `image`, in which a colour that a quarter of an entry's pixels have stands for all of them.

    White stays white so, and does not become the mean of itself and what is nearly white.
    """
    palette = np.array(image.getpalette("RGB"), np.uint8).reshape(-1, 3)
    indices = np.asarray(image)[0].astype(np.uint32)
    numbers = indices << 24 | (pixels.astype(np.uint32) << np.array([16, 8, 0], np.uint32)).sum(axis=1, dtype=np.uint32)
    found, counts = np.unique(numbers, return_counts=True)
    order = np.argsort(counts)
    found, counts = found[order], counts[order]
    found = found[counts * 4 > np.bincount(indices)[found >> 24]]
    palette[found >> 24] = np.stack([found >> bits & 255 for bits in (16, 8, 0)], 1)  # the last is the commonest
    return palette.tobytes()


def all_or_nothing(image: Image.Image) -> Image.Image:
    """Return the picture as RGBA in which pixels are opaque, or all zero."""
    rgba = image.convert("RGBA")
    low, _ = rgba.getchannel("A").getextrema()
    if low == 255:
        return rgba
    pixels = np.array(rgba)
    pixels[pixels[..., 3] < 128] = 0
    pixels[..., 3][pixels[..., 3] >= 128] = 255
    return Image.fromarray(pixels)


def indexed_error(image: Image.Image, indexed: Image.Image) -> float:
    """Return the mean difference, over a grid of pixels, between a picture and its version in a palette."""
    size = (min(image.width, 256 * 256 // min(image.height, 256)), min(image.height, 256))
    difference = ImageChops.difference(image.resize(size, Image.Resampling.NEAREST),
                                       indexed.resize(size, Image.Resampling.NEAREST).convert("RGB"))
    return sum(ImageStat.Stat(difference).mean) / 3


def _has_holes(image: Image.Image) -> bool:
    return image.has_transparency_data and any(image.convert("RGBA").getchannel("A").histogram()[:128])
