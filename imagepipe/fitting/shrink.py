"""Fewer pixels: how a picture gets within a number of bytes that no quality allows."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from PIL import Image

from imagepipe.asset import Frame, Pixels
from imagepipe.codecs.encode import clean, encode
from imagepipe.codecs.encode_jpeg import tidy_for_jpeg, write_jpeg
from imagepipe.codecs.sampling import mosaic
from imagepipe.fitting.curve import ENCODES
from imagepipe.fitting.within import Fitted, overhead, share_of, smooth

__all__ = ["quality_size_at", "resized", "scaled", "shrunk"]


def scaled(size: tuple[int, int], factor: float) -> tuple[int, int]:
    """Return a size times `factor`; no side becomes 0."""
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def resized(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    """Return the picture at another size, every frame of it.

    Lanczos, on the numbers as they are and not in linear light: as browsers, ImageMagick and
    libvips do by default, so that our reduction looks like the one that the store makes of it;
    and a third of the memory. Pillow weighs colours with their alpha, so that nothing hidden bleeds
    into the edges. The image that is reduced stays as it is.
    """
    if size == pixels.size:
        return pixels
    frames = tuple(Frame(smooth(frame.image).resize(size, Image.Resampling.LANCZOS), frame.duration)
                   for frame in pixels.frames)
    return replace(pixels, frames=frames, subsampling=None)


def shrunk(pixels: Pixels, attempt: Callable[[Pixels, int], Fitted], size_at: Callable[[float], float], budget: int,
           most: int, aim: float = 100) -> Fitted:
    """Return the picture with as many pixels as `attempt` gets into `budget`; without data if even one is too many.

    `size_at(factor)` predicts what the picture takes at a size, and `aim` is the quality that it
    predicts for. `attempt` gets a smaller picture, and how often it may encode it. Where the first
    size that fits leaves much room, a larger one is tried. All encodes together are at most `most`,
    unless none of them fitted: then smaller and smaller ones are tried, once each, until one does.
    """
    factor = _shrink_by(size_at, round(budget * 0.97))
    best: Fitted | None = None
    failed, encodes, tries = 1.0, 0, 0
    while True:
        smaller = resized(pixels, scaled(pixels.size, factor))
        fitted = attempt(smaller, max(1, most - encodes - (best is None and most - encodes > 1)))
        encodes += fitted.encodes
        tries += 1
        if fitted.data is not None:
            best = fitted if best is None or fitted.size[0] > best.size[0] else best
            room = budget / fitted.bytes if fitted.quality is None else _room(fitted.quality, aim)
            larger = min(factor * min(2.0, room ** 0.5) * 0.99, (factor + 4 * failed) / 5)
            if encodes >= most or tries >= ENCODES or room < 1.15 or larger < factor * 1.03:
                return replace(best, encodes=encodes)
            factor = larger
            continue
        if best is not None or smaller.size == (1, 1):
            return replace(best or fitted, encodes=encodes)
        failed = factor
        limit = 0.96 if encodes < most - 1 else 0.8 if tries < 6 else 0.5
        factor = min(factor * min(limit, 0.98 * (budget / fitted.bytes) ** 0.5),
                     (max(smaller.size) - 0.6) / max(pixels.size))


def _room(quality: float, aim: float) -> float:
    """Return roughly how many times the bytes a picture takes at its quality, compared with what it takes at `aim`."""
    return 1.0 if quality < aim + 10 else 1.02 ** (quality - aim)


def quality_size_at(pixels: Pixels, format: str, quality: float) -> Callable[[float], float]:
    """Return a function that predicts the bytes of a lossy picture at this quality when both sides are scaled."""
    image = tidy_for_jpeg(clean(pixels.frames[0].image)) if format == "jpeg" else pixels.frames[0].image
    frames = len(pixels.frames)
    sample = mosaic(smooth(image), 1 << 18, (128, 128))
    share = share_of(image, sample) * (1 if frames == 1 else frames * 0.7)

    def size_at(factor: float) -> float:
        small = sample.resize(scaled(sample.size, factor), Image.Resampling.LANCZOS)
        if format == "jpeg":
            extra = overhead(small, "optimised")
            coded = len(write_jpeg(small, quality, "4:2:0", "optimised"))
            return extra + max(1, coded - extra) * share
        return len(encode(Pixels((Frame(small),)), format, quality=quality, lossless=False)) * share

    return size_at


def _shrink_by(size_at: Callable[[float], float], budget: int) -> float:
    """Return the factor for both sides at which a size, predicted by `size_at(factor)`, is just within the budget.

    `size_at(1)` exceeds it.
    """
    upper, at_upper = 1.0, size_at(1.0)
    factor = upper
    for _ in range(6):
        # bytes grow with a power of the factor, between 1 and 2; 2 finds the first guess from above
        factor = max(1e-5, upper * (budget / at_upper) ** 0.5)
        size = size_at(factor)
        if size <= budget:
            if size > budget * 0.9:
                break
            power = math.log(at_upper / size) / math.log(upper / factor)
            factor = min(upper, factor * (budget * 0.97 / size) ** (1 / max(0.5, power)))
            break
        upper, at_upper = factor, size
    return factor
