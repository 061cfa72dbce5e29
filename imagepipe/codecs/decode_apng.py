"""APNG: frames put on the canvas one after the other, as the standard says (PNG, Third Edition, 11.3.5).

Pillow decodes each as a picture of its own; putting them together is done here, as Pillow mixes
what is transparent in part into the alpha of what is below, where it is to be laid over it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from PIL import Image

from imagepipe.codecs.decode_modes import plain
from imagepipe.codecs.decode_pillow import open_one, too_many_frames, too_many_pixels
from imagepipe.codecs.decode_png import Parts, deep

__all__ = ["frames"]

_CLEAR, _BRING_BACK = 1, 2
_OVER = 1


@dataclass(frozen=True, slots=True)
class _Stored:
    """A frame as it is stored: what fcTL says of it, and its compressed data."""

    control: bytes
    data: list[bytes] = field(default_factory=list)

    def number(self, at: int, size: int = 4) -> int:
        return int.from_bytes(self.control[at:at + size], "big")

    @property
    def place(self) -> tuple[int, int, int, int]:
        """Left, top, right and bottom on the canvas."""
        width, height, left, top = (self.number(at) for at in (4, 8, 12, 16))
        return left, top, left + width, top + height

    @property
    def duration(self) -> int:
        """In milliseconds; the time is a fraction, of which a denominator of 0 means 100."""
        return round(1000 * self.number(20, 2) / (self.number(22, 2) or 100))


def frames(found: Parts, max_frames: int, max_pixels: int) -> Iterator[tuple[Image.Image, int]]:
    """Yield every frame as a whole `RGBA` picture, and how long it is shown in milliseconds.

    The parts are those of a container that was found to be sound. Raises `TooManyFrames`,
    `TooManyPixels` and what the decoder raises.
    """
    screen = Image.new("RGBA", (found.width, found.height))
    for number, stored in enumerate(_stored(found), 1):
        if number > max_frames:
            raise too_many_frames(f"more than {max_frames}", max_frames)
        if number * found.width * found.height > max_pixels:
            raise too_many_pixels(found.width, found.height, number, max_pixels)
        place, disposal = stored.place, stored.control[24]
        before = screen.crop(place)
        image = _decoded(found, stored)
        if stored.control[25] == _OVER:
            below = before.copy()
            below.alpha_composite(image)
            image = below
        screen.paste(image, place)
        yield screen.copy(), stored.duration
        if disposal == _CLEAR or (disposal == _BRING_BACK and number == 1):
            screen.paste((0, 0, 0, 0), place)
        elif disposal == _BRING_BACK:
            screen.paste(before, place)


def _stored(found: Parts) -> Iterator[_Stored]:
    """Yield the frames; a picture in front of the first is shown only where animation is not."""
    frame: _Stored | None = None
    for name, content in found.chunks:
        if name == b"fcTL":
            if frame is not None:
                yield frame
            frame = _Stored(content)
        elif frame is not None and name in (b"IDAT", b"fdAT"):
            frame.data.append(content[4:] if name == b"fdAT" else content)
    if frame is not None:
        yield frame


def _decoded(found: Parts, stored: _Stored) -> Image.Image:
    """Return the picture of one frame alone."""
    left, top, right, bottom = stored.place
    header = found.chunks[0][1]
    size = (right - left).to_bytes(4, "big") + (bottom - top).to_bytes(4, "big")
    chunks = [(b"IHDR", size + header[8:])]
    chunks += [(name, content) for name, content in found.chunks if name in (b"PLTE", b"tRNS")]
    chunks += [(b"IDAT", content) for content in stored.data]
    alone = Parts(right - left, bottom - top, found.depth, found.kind, found.interlaced, [*chunks, (b"IEND", b"")])
    if found.depth == 16:
        return deep(alone).convert("RGBA")
    with open_one(alone.file(), "png") as image:
        image.load()
        return plain(image).convert("RGBA")
