"""Pixels become a file of at most so many bytes: the best quality of a type, or as many pixels as go in."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from PIL import Image
from PIL.ImageFile import MAXBLOCK

from imagepipe.asset import Frame, Pixels
from imagepipe.codecs.encode import clean, encode, metadata_to_write, upright
from imagepipe.codecs.encode_jpeg import (
    FINE_CHROMA,
    PILLOW_ROOM,
    Coding,
    default_subsampling,
    tidy_for_jpeg,
    write_jpeg,
)
from imagepipe.codecs.sampling import mosaic, strips
from imagepipe.fitting import ENCODES, Curve, Found, first_target, search, shrink_by

__all__ = ["Fitted", "Range", "fit_lossless", "fit_quality", "predicted", "resized", "scaled", "shrunk"]

_WHOLE = 1 << 16  # pixels up to which a picture is its own sample: a probe costs less than one of a large picture
_JPEG_HEADERS = {"progressive": 700, "optimised": 650, "plain": 620}  # of a colour picture, tables included
_GREY_HEADERS = 350
_SAMPLE_FRAMES = 10


@dataclass(frozen=True, slots=True)
class Range:
    """Which qualities are allowed."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Fitted:
    """A picture that was encoded, or could not be."""

    data: bytes | None  #: None: it does not fit.
    format: str
    size: tuple[int, int]  #: In pixels.
    bytes: float  #: Of the data; else what the smallest allowed would roughly take.
    quality: float | None = None  #: None where there is no loss.
    encodes: int = 0  #: Of the whole picture.


def fit_quality(pixels: Pixels, format: str, budget: int, allowed: Range) -> Fitted:
    """Return the picture, as JPEG or lossy WebP, at the best quality within `budget` bytes, if there is one allowed."""
    pixels = upright(pixels)
    if format == "jpeg":
        found = _jpeg(pixels, budget, allowed)
    else:
        curve = _webp_curve(pixels)
        found = search(lambda quality: encode(pixels, "webp", quality=quality, lossless=False), curve, budget,
                       math.ceil(allowed.low), math.floor(allowed.high))
    return Fitted(found.data, format, pixels.size, found.size, found.quality, found.encodes)


def fit_lossless(pixels: Pixels, format: str, budget: int, *, hopeless: float = 1.3, colors: int = 256) -> Fitted:
    """Return the picture as PNG, GIF or lossless WebP if that is within `budget` bytes.

    It is not encoded where a sample of it takes `hopeless` times as much as it may.
    """
    guess = predicted(pixels, format)
    if guess > budget * hopeless:
        return Fitted(None, format, pixels.size, guess)
    data = encode(pixels, format, lossless=True, colors=colors)
    return Fitted(data if len(data) <= budget else None, format, pixels.size, len(data), None, 1)


def predicted(pixels: Pixels, format: str) -> float:
    """Return roughly how many bytes the picture takes without loss; 0 where a sample would tell nothing."""
    if len(pixels.frames) > 1:
        return 0
    image = pixels.frames[0].image
    if image.width * image.height <= 8 * _WHOLE:
        return 0
    sample = mosaic(image, 2 * _WHOLE, (128, 128))
    size = len(encode(replace(pixels, frames=(Frame(sample),), orientation=1), format, lossless=True))
    return size * _share(image, sample)


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
    frames = tuple(Frame(_smooth(frame.image).resize(size, Image.Resampling.LANCZOS), frame.duration)
                   for frame in pixels.frames)
    return replace(pixels, frames=frames, subsampling=None)


def shrunk(pixels: Pixels, attempt: Callable[[Pixels], Fitted], size_at: Callable[[float], float],
           budget: int, aim: float = 100) -> Fitted:
    """Return the picture with as many pixels as `attempt` gets into `budget`; without data if even one is too many.

    `size_at(factor)` predicts what the picture takes at a size, and `aim` is the quality that it
    predicts for. Where the first size that fits leaves much room, a larger one is tried.
    """
    factor = shrink_by(size_at, round(budget * 0.98))
    best: Fitted | None = None
    failed, encodes, tries = 1.0, 0, 0
    while True:
        smaller = resized(pixels, scaled(pixels.size, factor))
        fitted = attempt(smaller)
        encodes += fitted.encodes
        tries += 1
        if fitted.data is not None:
            best = fitted if best is None or fitted.size[0] > best.size[0] else best
            room = budget / fitted.bytes if fitted.quality is None else _room(fitted.quality, aim)
            larger = min(factor * min(2.0, room ** 0.5) * 0.99, (factor + 4 * failed) / 5)
            if encodes >= ENCODES or tries >= ENCODES or room < 1.15 or larger < factor * 1.03:
                return replace(best, encodes=encodes)
            factor = larger
            continue
        if best is not None or smaller.size == (1, 1):
            return replace(best or fitted, encodes=encodes)
        failed = factor
        limit = 0.96 if tries < 3 else 0.8 if tries < 6 else 0.5
        factor = min(factor * min(limit, 0.98 * (budget / fitted.bytes) ** 0.5),
                     (max(smaller.size) - 0.6) / max(pixels.size))


def _room(quality: float, aim: float) -> float:
    """Return roughly how many times the bytes a picture takes at its quality, compared with what it takes at `aim`."""
    return 1.0 if quality < aim + 10 else 1.02 ** (quality - aim)


def quality_size_at(pixels: Pixels, format: str, quality: float) -> Callable[[float], float]:
    """Return a function that predicts the bytes of a lossy picture at this quality when both sides are scaled."""
    image = tidy_for_jpeg(clean(pixels.frames[0].image)) if format == "jpeg" else pixels.frames[0].image
    frames = len(pixels.frames)
    sample = mosaic(_smooth(image), 1 << 20 if format == "jpeg" else 1 << 18, (128, 128))
    share = _share(image, sample) * (1 if frames == 1 else frames * 0.7)

    def size_at(factor: float) -> float:
        small = sample.resize(scaled(sample.size, factor), Image.Resampling.LANCZOS)
        if format == "jpeg":
            overhead = _overhead(small, "optimised")
            coded = len(write_jpeg(small, quality, "4:2:0", "optimised"))
            return overhead + max(1, coded - overhead) * share
        return len(encode(Pixels((Frame(small),)), format, quality=quality, lossless=False)) * share

    return size_at


def _smooth(image: Image.Image) -> Image.Image:
    """Return the picture in a mode that can be resized smoothly."""
    if image.mode == "1":
        return image.convert("L")
    if image.mode in ("P", "PA"):
        return image.convert("RGBA" if image.has_transparency_data else "RGB")
    return image


def _share(image: Image.Image, sample: Image.Image) -> float:
    return (image.width * image.height) / (sample.width * sample.height)


def _jpeg(pixels: Pixels, budget: int, allowed: Range) -> Found:
    image = tidy_for_jpeg(clean(pixels.frames[0].image))
    about = metadata_to_write(pixels)
    extra = sum(map(len, about.values())) + len(pixels.color.icc or b"")
    count = image.width * image.height
    sample = strips(image, max(min(count // 2, 3 << 17), min(count // 8, 1 << 20))) if count > _WHOLE else image
    high = allowed.high
    chroma = default_subsampling(100, pixels.subsampling) if high >= FINE_CHROMA else "4:2:0"

    def curve_of(coding: Coding) -> Curve:
        share = 1.0 if sample is image else _units(image) / _units(sample)
        return Curve(lambda quality: len(write_jpeg(sample, quality, chroma, coding)) + extra, share,
                     _overhead(image, coding) + extra)

    def highest() -> tuple[float, Coding]:
        return _within_room(sample, allowed, chroma, budget / count)

    high, coding = highest()
    curve = curve_of(coding)
    quality = curve.best(first_target(budget), allowed.low, high)
    if chroma != "4:2:0" and quality < FINE_CHROMA:
        chroma = "4:2:0"
        high, coding = highest()
        curve = curve_of(coding)
        quality = curve.best(first_target(budget), allowed.low, high)
    if coding == "progressive":
        other = curve_of("optimised")
        if other.size(quality) < curve.size(quality):
            coding, curve = "optimised", other
    return search(lambda quality: write_jpeg(image, quality, chroma, coding, icc=pixels.color.icc, **about), curve,
                  budget, allowed.low, high)


def _within_room(sample: Image.Image, allowed: Range, chroma: str, wanted: float) -> tuple[float, Coding]:
    """Return the highest quality to try, and how to code: optimised files must fit into the buffer of Pillow.

    `wanted` is how many bytes a pixel there may be.
    """
    size = sample.width * sample.height

    def fits(quality: float) -> bool:
        return len(write_jpeg(sample, quality, chroma, "plain")) <= max(MAXBLOCK, PILLOW_ROOM * size)

    high = allowed.high
    if size * 4.2 < MAXBLOCK or fits(high):
        return high, "progressive"
    if wanted > 0.8 * PILLOW_ROOM:
        return high, "plain"
    while high > allowed.low and not fits(high):
        high -= 1
    return max(high, allowed.low), "progressive" if fits(high) else "plain"


def _units(image: Image.Image) -> int:
    """Return how many coding units of a JPEG an image is cut into."""
    return -(-image.width // 16) * -(-image.height // 16)


def _overhead(image: Image.Image, coding: Coding) -> int:
    return _GREY_HEADERS if image.mode == "L" else _JPEG_HEADERS[coding]


def _webp_curve(pixels: Pixels) -> Curve:
    frames = pixels.frames
    if len(frames) > 1:
        count = min(_SAMPLE_FRAMES, len(frames))
        start = (len(frames) - count) // 2
        sample, share = replace(pixels, frames=frames[start:start + count]), len(frames) / count
    else:
        image = frames[0].image
        count = image.width * image.height
        piece = mosaic(_smooth(image), max(1 << 17, min(count // 8, 1 << 19)), (128, 128)) if count > _WHOLE else image
        sample, share = replace(pixels, frames=(Frame(piece),)), 1.0 if piece is image else _share(image, piece)
    return Curve(lambda quality: len(encode(sample, "webp", quality=quality, lossless=False)), share, 40, 1.0)
