"""A part of a picture or animation that says what all of it takes in a type without loss."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from PIL import Image

from imagepipe.asset import Frame, Pixels

__all__ = ["Part", "part_of"]

_PIXELS = 1 << 17  # of a sample, roughly, over its frames; but at most half of the picture
_BAND = 16  # rows
_RUN = 6  # frames


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a picture, and how to judge the whole by it."""

    pixels: Pixels
    share: float  #: How many times as high a frame is.
    later: float  #: For each frame of the part but the first, how many there are in the picture.

    def judged(self, size: Callable[[Pixels], int]) -> float:
        """Return what all frames take at the height of the part, where `size` says it of some frames."""
        whole = size(self.pixels)
        if self.later == 1:
            return whole
        first = size(replace(self.pixels, frames=self.pixels.frames[:1]))
        return first + (whole - first) * self.later


def part_of(pixels: Pixels, change: Callable[[Pixels], Pixels] | None = None) -> Part:
    """Return a part of the picture, after a `change` of its size that is made to as few frames as will do.

    It has bands of rows, the same ones of each frame, because rows are what PNG and GIF compress; and
    of a long animation a run of frames, because what is new in a frame is what counts.
    """
    count = len(pixels.frames)
    start = max(0, (count - _RUN) // 2)
    run = replace(pixels, frames=pixels.frames[start:start + _RUN])
    later = (count - 1) / (len(run.frames) - 1) if count > _RUN else 1.0
    run = change(run) if change else run
    width, height = run.size
    every = max(2, width * height * len(run.frames) // _PIXELS)
    band = max(1, min(_BAND, height // (2 * every)))
    tops = range(0, height - band + 1, band * every)
    rows = len(tops) * band
    if rows == height:
        return Part(run, 1.0, later)
    frames = tuple(Frame(_bands(frame.image, tops, band), frame.duration) for frame in run.frames)
    return Part(replace(run, frames=frames), height / rows, later)


def _bands(image: Image.Image, tops: range, band: int) -> Image.Image:
    if image.mode in ("P", "PA"):
        image = image.convert("RGBA")
    out = Image.new(image.mode, (image.width, len(tops) * band))
    for number, top in enumerate(tops):
        out.paste(image.crop((0, top, image.width, top + band)), (0, number * band))
    return out
