"""Fewer colours: what a GIF loses before it loses pixels, and a PNG where nobody sees it."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from PIL import Image, ImageChops

from imagepipe.asset import Frame, Pixels
from imagepipe.codecs.encode import encode
from imagepipe.codecs.encode_palette import VISIBLE, all_or_nothing, serving
from imagepipe.fitting.curve import Curve, search
from imagepipe.fitting.sample import part_of
from imagepipe.fitting.within import Fitted

__all__ = ["LEAST_COLORS", "colors_of", "few_enough", "fit_colors", "in_palette"]

#: A GIF has no fewer colours unless it came with fewer: it loses pixels instead.
LEAST_COLORS = 32

_FEWEST = 16
_STEP = 8  # between numbers of colours that are tried
_SLOPE = 0.25  # of log(size) over log2(colours), as long as only one size is known
_WORST = 32  # what the difference of one pixel in 200 may exceed, of 255
_BLENDS = 8  # colours for each that there was, where there were few: soft edges are made of them


def fit_colors(pixels: Pixels, budget: int, low: int, most: int) -> Fitted:
    """Return the picture as GIF within `budget` bytes, in as many colours, from `low` to 256, as that allows.

    All frames share one palette. The whole picture is encoded at most `most` times.
    """
    part = part_of(pixels)

    def gif(pixels: Pixels, colors: float) -> bytes:
        return encode(pixels, "gif", colors=round(colors), together=True)

    curve = Curve(lambda colors: round(part.judged(lambda piece: len(gif(piece, colors)))), part.share,
                  800 + 20 * len(pixels.frames), _STEP, math.log2, _SLOPE, 128)
    found = search(lambda colors: gif(pixels, colors), curve, budget, low, 256, most)
    return Fitted(found.data, "gif", pixels.size, found.size, None, found.encodes, round(found.quality))


def few_enough(pixels: Pixels, came: int | None) -> int | None:
    """Return how few colours serve the picture as well as those that it `came` with; None where it needs them all.

    Either so little is missed that nobody sees it; or it had been in a palette, and has one again that is as
    large, but for soft edges, which need more colours than what is on both sides of them.
    """
    images = [frame.image for frame in pixels.frames]
    unseen, colors = None, 256
    while colors >= _FEWEST:
        fewer = serving(images, colors, with_hole=len(images) > 1)
        if fewer.error > VISIBLE or fewer.worst > _WORST:
            break
        unseen, colors = max(_FEWEST, fewer.count), colors // 2
    if came is None:
        return unseen
    return min(unseen or 256, max(64, came) if came > 64 // _BLENDS else max(_FEWEST, came * _BLENDS))


def colors_of(pixels: Pixels) -> int | None:
    """Return how many colours all frames have together; None where they are more than 256."""
    found: set[object] = set()
    for frame in pixels.frames:
        image = frame.image.convert("RGBA") if frame.image.mode in ("P", "PA") else frame.image
        counted = image.getcolors(256)
        found.update((image.mode, color) for _, color in counted or ())
        if counted is None or len(found) > 256:
            return None
    return len(found)


def in_palette(pixels: Pixels, colors: int) -> Pixels | None:
    """Return the picture in so many colours; None where transparency is partial, and its steps would be seen."""
    if any(_is_partial(frame.image) for frame in pixels.frames):
        images = [frame.image.convert("RGBA").quantize(256, Image.Quantize.FASTOCTREE).convert("RGBA")
                  for frame in pixels.frames]
        if len(images) > 1 or _apart(images[0], pixels.frames[0].image.convert("RGBA")) > _WORST:
            return None
    else:
        palette = serving([frame.image for frame in pixels.frames], colors, with_hole=False)
        images = list(palette.applied(all_or_nothing(frame.image) for frame in pixels.frames))
    frames = tuple(Frame(image, frame.duration) for image, frame in zip(images, pixels.frames, strict=True))
    return replace(pixels, frames=frames)


def _apart(image: Image.Image, other: Image.Image) -> float:
    """Return what the difference of one pixel in 200 exceeds on white or black, in the channel where it is largest."""
    differences = [ImageChops.difference(*(Image.alpha_composite(Image.new("RGBA", image.size, ground), one)
                                           for one in (image, other))) for ground in ("white", "black")]
    largest = np.asarray(ImageChops.lighter(*differences).convert("RGB")).max(axis=2)
    return float(np.percentile(largest, 99.5))


def _is_partial(image: Image.Image) -> bool:
    """Say whether a pixel is half transparent."""
    if not image.has_transparency_data:
        return False
    return any(image.convert("RGBA").getchannel("A").histogram()[1:255])
