"""ICO: of its pictures the largest, and of several of that size the one with the most colours, as browsers take it.

Pillow takes the one with the fewest, and believes the directory on how many bits a picture has.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace

from PIL import Image

from imagepipe.asset import Color
from imagepipe.codecs import decode_png, png
from imagepipe.codecs.decode_guard import corrupt
from imagepipe.codecs.decode_modes import opaque, plain
from imagepipe.codecs.decode_pillow import open_one, still
from imagepipe.codecs.header import Header

__all__ = ["decode", "peek"]

_NAME = "this icon"
_DEPTHS = frozenset({1, 4, 8, 16, 24, 32})
_LOOKED_AT = 40  # bytes of a picture that say how large it is


@dataclass(frozen=True, slots=True)
class _Entry:
    """One picture of an icon."""

    width: int
    height: int
    depth: int  #: Bits a pixel, as the picture itself says.
    start: int
    end: int
    is_png: bool = False

    def body(self, data: bytes) -> bytes:
        """Return a PNG, or a BMP of double height without its file header."""
        return data[self.start:self.end]

    def alone(self, data: bytes) -> bytes:
        """Return an icon of only this picture."""
        body = self.body(data)
        directory = struct.pack("<BBBBHHII", self.width % 256, self.height % 256, 0, 0, 1, self.depth,
                                len(body), 6 + 16)
        return b"\0\0\1\0\1\0" + directory + body


def peek(data: bytes) -> Header:
    """Return what the picture that will be taken says of itself. Raises `Corrupt` where there is none."""
    entry, notes = _best(data)
    if not entry.is_png:
        return Header("ico", entry.width, entry.height, has_alpha=True, notes=notes)
    header = png.read_header(entry.body(data))
    return replace(header, format="ico", frames=1, loop=None, hidden=(), notes=notes)


def decode(data: bytes, header: Header, *, accept_damaged: bool = False
           ) -> tuple[Image.Image, tuple[str, ...], bool, Color]:
    """Return the picture, what there is to say, whether it is damaged, and its colour. Raises what decoders raise."""
    entry, _ = _best(data)
    if not entry.is_png:
        return *still(entry.alone(data), header, accept_damaged=accept_damaged), header.color
    found = decode_png.parts(entry.body(data), still=True)
    decode_png.check_rows(found)
    if found.depth == 16:
        image = decode_png.deep(found)
    else:
        with open_one(found.file(), "png") as opened:
            opened.load()
            image = plain(opened)
    if image.mode.endswith("A") and opaque(image):
        image = image.convert(image.mode[:-1])
    return image, (), False, header.color


def _best(data: bytes) -> tuple[_Entry, tuple[str, ...]]:
    """Return the picture to take, and a note where there are other sizes."""
    found = [entry for at in range(6, 6 + 16 * int.from_bytes(data[4:6], "little"), 16)
             if (entry := _entry(data, data[at:at + 16])) is not None]
    if not found:
        raise corrupt(_NAME, "none of its pictures is where it says")
    sizes = len({(entry.width, entry.height) for entry in found})
    best = max(found, key=lambda entry: (entry.width * entry.height, entry.depth))
    return best, (f"it has {sizes} sizes, the largest is taken",) if sizes > 1 else ()


def _entry(data: bytes, place: bytes) -> _Entry | None:
    """Return a picture that the directory names; None where there is none."""
    if len(place) < 16:
        return None
    size, start = struct.unpack_from("<II", place, 8)
    end = min(start + size, len(data))
    head = data[start:min(start + _LOOKED_AT, end)]  # thousands of entries may name the same long picture
    if head[:8] == b"\x89PNG\r\n\x1a\n" and len(head) >= 33:
        width, height = struct.unpack_from(">II", head, 16)
        return _Entry(width, height, 32, start, end, is_png=True)
    if len(head) < _LOOKED_AT:
        return None
    length, width, height, _, depth = struct.unpack_from("<IiiHH", head)
    if not 40 <= length <= 124 or width <= 0 or height < 2 or depth not in _DEPTHS:
        return None
    return _Entry(width, height // 2, depth, start, end)
