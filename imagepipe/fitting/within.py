"""A picture becomes a file of at most so many bytes: at the best quality of a type, or without loss."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from PIL import Image
from PIL.ImageFile import MAXBLOCK

from imagepipe.asset import Frame, Pixels
from imagepipe.codecs.encode import clean, encode, metadata_to_write, upright
from imagepipe.codecs.encode_jpeg import (
    FINE_CHROMA,
    PILLOW_ROOM,
    Coding,
    default_subsampling,
    fine_chroma,
    tidy_for_jpeg,
    write_jpeg,
)
from imagepipe.codecs.sampling import STRIP, mosaic, strips
from imagepipe.fitting.curve import ENCODES, Curve, Found, search
from imagepipe.fitting.sample import Part, part_of

__all__ = ["Fitted", "Range", "fit_lossless", "fit_quality", "lossless_size", "overhead", "share_of", "smooth"]

_WHOLE = 1 << 14  # pixels up to which a picture is its own sample: half of it would say little
_LARGEST, _LEAST = 3 << 17, 1 << 16  # pixels of a sample: an eighth of the picture, but of a small one half
_HEADERS = {"progressive": 700, "optimised": 650, "plain": 620}  # of a colour JPEG, tables included, in bytes
_GREY_HEADERS = 350
_START = 1.5  # bytes that a strip of the sample takes more than it does where it was, for its first DC values
_CODED = 1.06  # how much larger a JPEG is with the tables of the standard, roughly
_SAMPLE_FRAMES = 10
_PREDICTED = 1 << 19  # pixels from which on it is worth looking at a sample before encoding without loss
_HOPELESS = 1.3  # how far over the budget a sample has to be for that


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
    colors: int | None = None  #: How many it was reduced to.


def fit_quality(pixels: Pixels, format: str, budget: int, allowed: Range, most: int = ENCODES) -> Fitted:
    """Return the picture, as JPEG or lossy WebP, at the best quality within `budget` bytes, if there is one allowed.

    The whole picture is encoded at most `most` times.
    """
    pixels = upright(pixels)
    if format == "jpeg":
        found = _Jpeg(pixels, budget, allowed).search(most)
    else:
        curve = _webp_curve(pixels)
        found = search(lambda quality: encode(pixels, "webp", quality=quality, lossless=False), curve, budget,
                       math.ceil(allowed.low), math.floor(allowed.high), most)
    return Fitted(found.data, format, pixels.size, found.size, found.quality, found.encodes)


def fit_lossless(pixels: Pixels, format: str, budget: int, *, hard: bool = False, colors: int | None = None) -> Fitted:
    """Return the picture as PNG, GIF or lossless WebP if that is within `budget` bytes; a GIF in so many colours.

    It is not encoded where a sample of it is far too large.
    """
    how: dict[str, Any] = {"lossless": True, "hard": hard}
    if colors is not None:
        how |= {"colors": colors, "together": True}
    guess = lossless_size(part_of(pixels), format, **how) if _count(pixels) > _PREDICTED else 0
    if guess > budget * _HOPELESS:
        return Fitted(None, format, pixels.size, guess)
    data = encode(pixels, format, **how)
    return Fitted(data if len(data) <= budget else None, format, pixels.size, len(data), None, 1, colors)


def lossless_size(part: Part, format: str, **how: Any) -> float:
    """Return roughly how many bytes a picture takes without loss, by a part of it."""
    return part.judged(lambda piece: len(encode(piece, format, **how))) * part.share


def _count(pixels: Pixels) -> int:
    return pixels.size[0] * pixels.size[1] * len(pixels.frames)


def share_of(image: Image.Image, sample: Image.Image) -> float:
    """Return how many times as many pixels the picture has as its sample."""
    return (image.width * image.height) / (sample.width * sample.height)


def smooth(image: Image.Image) -> Image.Image:
    """Return the picture in a mode that can be resized smoothly."""
    if image.mode == "1":
        return image.convert("L")
    if image.mode in ("P", "PA"):
        return image.convert("RGBA" if image.has_transparency_data else "RGB")
    return image


class _Jpeg:
    """A picture that is to become a JPEG, and a sample of it that was encoded in several ways."""

    def __init__(self, pixels: Pixels, budget: int, allowed: Range) -> None:
        self.image = tidy_for_jpeg(clean(pixels.frames[0].image))
        self.budget, self.allowed, self.icc = budget, allowed, pixels.color.icc
        self.about = metadata_to_write(pixels)
        self.extra = sum(map(len, self.about.values())) + len(self.icc or b"")
        count = self.image.width * self.image.height
        self.sample = strips(self.image, max(min(count // 2, _LEAST), min(count // 8, _LARGEST))
                             ) if count > _WHOLE else self.image
        self.share = 1.0 if self.sample is self.image else _units(self.image) / _units(self.sample)
        self.fine = fine_chroma(pixels)
        self.chroma = default_subsampling(allowed.high, pixels)

    def search(self, most: int) -> Found:
        """Return the picture at the best quality within the budget.

        Coding with the tables of the standard takes a quarter of the time of the scans of a progressive
        JPEG, and tables made to measure half of it: the former say roughly where the quality is, and so which
        chroma and which coding are best there, the latter with which quality to begin.
        """
        low, high = self.allowed.low, self.allowed.high
        plain, quality = self._roughly(FINE_CHROMA)
        if self.chroma != "4:2:0" and quality < self.fine:
            self.chroma = "4:2:0"
            plain, quality = self._roughly(quality + 4)
        count = self.image.width * self.image.height
        coding: Coding = "optimised"
        first: Curve | None = None
        if self.budget > 0.8 * PILLOW_ROOM * count and plain.size(high) > self._room(count):
            coding, curve = "plain", plain
        else:
            curve = self._curve(coding, quality, plain)
            scans = self._curve("progressive", quality, plain)
            if scans.size(quality) < curve.size(quality):
                coding, first, curve = "progressive", curve.times(scans, quality), scans
        return search(lambda quality: write_jpeg(self.image, quality, self.chroma, coding, icc=self.icc, **self.about),
                      curve, self.budget, low, high, most, first)

    def _roughly(self, start: float) -> tuple[Curve, float]:
        """Return the sizes with the tables of the standard, and roughly the quality for the budget."""
        plain = self._curve("plain", start)
        return plain, round(plain.near(self.budget * _CODED, self.allowed.low, self.allowed.high, 2), 1)

    def _curve(self, coding: Coding, start: float, plain: Curve | None = None) -> Curve:
        """Return the sizes in a coding; those in `plain` stand where the others would not fit into Pillow's buffer."""
        room = self._room(self.sample.width * self.sample.height)
        starts = 0 if self.sample is self.image else round(
            _START * self.sample.width * self.sample.height / (STRIP[0] * STRIP[1]))

        def size(quality: float) -> int:
            if plain is not None and plain.modelled(quality) > 0.8 * room * self.share:
                instead = plain.size(quality) / self.share
                if instead > room:
                    return round(instead)
            return len(write_jpeg(self.sample, quality, self.chroma, coding)) + self.extra - starts

        return Curve(size, self.share, overhead(self.image, coding) + self.extra, place=_place, slope=_SLOPE,
                     start=start)

    @staticmethod
    def _room(count: int) -> float:
        return max(MAXBLOCK, PILLOW_ROOM * count)


def _place(quality: float) -> float:
    """Return where a quality is on the axis over which the logarithm of a JPEG's size is nearly a straight line."""
    scale = 5000 / quality if quality < 50 else 200 - 2 * quality  # of the tables, in percent
    return -math.log(scale + _OFFSET)


_OFFSET, _SLOPE = 4.0, 0.65  # fitted to 24 pictures at qualities 65 to 97: off by 1.7 % on average


def _units(image: Image.Image) -> int:
    """Return how many coding units of a JPEG an image is cut into."""
    return -(-image.width // 16) * -(-image.height // 16)


def overhead(image: Image.Image, coding: Coding) -> int:
    """Return roughly how many bytes of a JPEG do not grow with the picture."""
    return _GREY_HEADERS if image.mode == "L" else _HEADERS[coding]


def _webp_curve(pixels: Pixels) -> Curve:
    frames = pixels.frames
    if len(frames) > 1:
        count = min(_SAMPLE_FRAMES, len(frames))
        start = (len(frames) - count) // 2
        sample, share = replace(pixels, frames=frames[start:start + count]), len(frames) / count
    else:
        image = frames[0].image
        count = image.width * image.height
        piece = mosaic(smooth(image), max(1 << 17, min(count // 8, 1 << 19)), (128, 128)) if count > 1 << 16 else image
        sample, share = replace(pixels, frames=(Frame(piece),)), 1.0 if piece is image else share_of(image, piece)
    return Curve(lambda quality: len(encode(sample, "webp", quality=quality, lossless=False)), share, 40, 1.0,
                 start=80)
