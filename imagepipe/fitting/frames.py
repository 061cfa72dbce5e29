"""The frames of an animation: fewer of them, and whether they are what they were."""

from __future__ import annotations

import io
from dataclasses import replace

from PIL import Image, ImageChops

from imagepipe.asset import Pixels

__all__ = ["is_exact_gif", "thinned"]


def thinned(pixels: Pixels, most: int) -> Pixels:
    """Return at most so many frames of an animation; those that stay are shown for longer."""
    count = len(pixels.frames)
    starts = [index * count // most for index in range(most)] + [count]
    frames = []
    for start, end in zip(starts, starts[1:], strict=False):
        group = pixels.frames[start:end]
        frames.append(replace(group[0], duration=sum(frame.duration for frame in group)))
    return replace(pixels, frames=tuple(frames))


def is_exact_gif(data: bytes, pixels: Pixels) -> bool:
    """Say whether every frame of a GIF shows what it was made of."""
    with Image.open(io.BytesIO(data), formats=["GIF"]) as written:
        for index, frame in enumerate(pixels.frames):
            written.seek(index)
            if ImageChops.difference(written.convert("RGBA"), frame.image.convert("RGBA")).getbbox(alpha_only=False):
                return False
    return True

