"""Fewer colours: what a GIF loses before it loses pixels, and a PNG where nobody sees it."""

from __future__ import annotations

import math
from dataclasses import replace

from PIL import Image

from imagepipe.asset import Frame, Pixels
from imagepipe.codecs.encode import encode
from imagepipe.codecs.encode_palette import VISIBLE, all_or_nothing, serving
from imagepipe.fitting.curve import Curve, search
from imagepipe.fitting.sample import part_of
from imagepipe.fitting.within import Fitted

__all__ = ["LEAST_COLORS", "fit_colors", "in_palette", "least_unseen"]

#: A GIF has no fewer colours unless it came with fewer: it loses pixels instead.
LEAST_COLORS = 32

_STEP = 8  # between numbers of colours that are tried
_SLOPE = 0.25  # of log(size) over log2(colours), as long as only one size is known
_UNSEEN = 1.0  # mean difference, of 255, of a picture in a palette that is taken for the same


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


def least_unseen(pixels: Pixels) -> int:
    """Return how few colours serve the picture so that nothing has to be diffused; 256 where more would be needed."""
    images = [frame.image for frame in pixels.frames]
    colors = 256
    while colors > LEAST_COLORS and serving(images, colors // 2, with_hole=len(images) > 1).error <= VISIBLE / 2:
        colors //= 2
    return colors


def in_palette(pixels: Pixels) -> Pixels | None:
    """Return the picture in 256 colours; None where that would be seen, or transparency is partial."""
    images = [frame.image for frame in pixels.frames]
    if any(_is_partial(image) for image in images):
        return None
    palette = serving(images, 256, with_hole=False)
    if palette.error > _UNSEEN:
        return None
    applied = palette.applied(all_or_nothing(image) for image in images)
    return replace(pixels, frames=tuple(Frame(image, frame.duration)
                                        for image, frame in zip(applied, pixels.frames, strict=True)))


def _is_partial(image: Image.Image) -> bool:
    """Say whether a pixel is half transparent."""
    if not image.has_transparency_data:
        return False
    return any(image.convert("RGBA").getchannel("A").histogram()[1:255])
