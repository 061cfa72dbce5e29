"""What the numbers of a picture mean, said as the type can say it that it becomes."""

from __future__ import annotations

from dataclasses import replace

from imagepipe.asset import Color, Pixels

__all__ = ["fit_meaning", "meaning_in"]

_CHANNELS = {"1": "gray", "L": "gray", "LA": "gray", "CMYK": "cmyk", "LAB": "lab"}


def meaning_in(format: str, pixels: Pixels) -> Color | None:
    """Return how a type says what the colours of a picture mean; None where it cannot."""
    mode = pixels.frames[0].image.mode
    if pixels.color == Color() and mode not in ("CMYK", "LAB"):
        return pixels.color
    from imagepipe.color import color_for  # loads littleCMS

    return color_for(format, pixels.color, _CHANNELS.get(mode, "rgb"))


def fit_meaning(format: str, pixels: Pixels) -> Pixels:
    """Return the picture as the type can say what its colours mean: in sRGB where it cannot otherwise."""
    color = meaning_in(format, pixels)
    if color == pixels.color:
        return pixels
    if color is not None:
        return replace(pixels, color=color)
    from imagepipe.color import to_srgb

    frames = tuple(replace(frame, image=to_srgb(frame.image, pixels.color)[0]) for frame in pixels.frames)
    return replace(pixels, frames=frames, color=Color())
