"""Fewer pixels: how a picture gets within a number of bytes that no quality allows."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from PIL import Image

from imagepipe.asset import Frame, Pixels
from imagepipe.codecs.encode import clean, encode
from imagepipe.codecs.encode_jpeg import tidy_for_jpeg, write_jpeg
from imagepipe.codecs.sampling import mosaic
from imagepipe.fitting.curve import ENCODES
from imagepipe.fitting.sample import part_of
from imagepipe.fitting.within import Fitted, lossless_size, overhead, share_of, smooth

__all__ = ["lossless_size_at", "quality_size_at", "resized", "scaled", "shrunk"]

_FILL = 0.975  # of the budget that is aimed at
_ENOUGH = 1.07  # how much room a result may leave


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
    predicts for. `attempt` gets a smaller picture, and how often it may encode it. What it measures
    says which size is tried next, as long as one that fits leaves room. All encodes together are at most `most`,
    unless none of them fitted: then smaller and smaller ones are tried, once each, until one does.
    """
    factor = _shrink_by(size_at, budget * _FILL)
    best: Fitted | None = None
    fits, fails, power = 0.0, 1.0, 1.8
    encodes = tries = 0
    seen: list[tuple[float, float]] = []  # factors, and the bytes that they took
    while True:
        smaller = resized(pixels, scaled(pixels.size, factor))
        fitted = attempt(smaller, max(1, most - encodes - (best is None and most - encodes > 1)))
        encodes += fitted.encodes
        tries += 1
        taken = fitted.bytes
        if fitted.data is not None:
            best, fits = fitted, factor
            if fitted.quality is not None:
                taken = budget / _room(fitted.quality, aim)
        elif smaller.size == (1, 1):
            return replace(best or fitted, encodes=encodes)
        else:
            fails = factor
        seen.append((factor, taken))
        if best is not None and (encodes >= most or tries >= ENCODES or taken * _ENOUGH > budget > taken):
            return replace(best, encodes=encodes)
        power = _power(seen, power)
        following = factor * (_FILL * budget / taken) ** (1 / power)
        if best is None:
            limit = 0.98 if encodes < most - 1 else 0.9 if encodes < most else 0.8 if tries < 6 else 0.5
            following = min(factor * limit, following, (max(smaller.size) - 0.6) / max(pixels.size))
        else:
            following = min(following, fits * 2, (fits + 6 * fails) / 7)
            if scaled(pixels.size, following)[0] <= best.size[0] * 1.01:
                return replace(best, encodes=encodes)
        factor = following


def _power(seen: list[tuple[float, float]], power: float) -> float:
    """Return with which power of the factor the bytes grow, by the last two that were seen."""
    if len(seen) < 2:
        return power
    (first, less), (second, more) = sorted(seen[-2:])
    if second < first * 1.005 or more <= less:
        return power
    return min(2.6, max(1.0, math.log(more / less) / math.log(second / first)))


def _room(quality: float, aim: float) -> float:
    """Return roughly how many times the bytes a picture takes at its quality, compared with what it takes at `aim`."""
    return 1.0 if quality < aim + 10 else 1.02 ** (quality - aim)


def lossless_size_at(pixels: Pixels, format: str, **how: Any) -> Callable[[float], float]:
    """Return a function that predicts the bytes of the picture without loss when both sides are scaled."""

    def size_at(factor: float) -> float:
        part = part_of(pixels, lambda run: resized(run, scaled(run.size, factor)))
        return lossless_size(part, format, lossless=True, **how)

    return size_at


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


def _shrink_by(size_at: Callable[[float], float], target: float) -> float:
    """Return the factor for both sides at which a size, predicted by `size_at(factor)`, is near the target.

    `size_at(1)` is thought to exceed it.
    """
    factor, power = 1.0, 2.0  # bytes grow with a power of the factor between 1 and 2
    seen: list[tuple[float, float]] = []
    for _ in range(4):
        seen.append((factor, size_at(factor)))
        if abs(math.log(seen[-1][1] / target)) < 0.05:
            break
        power = _power(seen, power)
        factor = min(1.0, max(1e-5, factor * (target / seen[-1][1]) ** (1 / power)))
    return factor
