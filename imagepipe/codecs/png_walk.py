"""Walking through a PNG or APNG, chunk by chunk (PNG Specification, Third Edition, section 5)."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field

from imagepipe.codecs.container import MAX_PARTS
from imagepipe.errors import Corrupt, FormatNotAllowed, NotAnImage, TooSlow

SIGNATURE = b"\x89PNG\r\n\x1a\n"

_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
#: Beside the critical chunks those that change what is seen: of a broken one, decoders make different things.
_SHOWS = frozenset({b"tRNS", b"acTL", b"fcTL", b"fdAT", b"cICP", b"iCCP", b"sRGB", b"gAMA", b"cHRM", b"eXIf"})
_KNOWN = frozenset({b"IHDR", b"PLTE", b"IDAT", b"IEND"})


@dataclass(frozen=True, slots=True)
class Chunk:
    """One chunk."""

    kind: bytes
    start: int  #: Of its length.
    end: int  #: Behind its checksum.
    is_intact: bool = True  #: The checksum is right. Chunks that a picture needs have to be.

    def body(self, data: bytes) -> bytes:
        """Return what is between name and checksum."""
        return data[self.start + 8:self.end - 4]

    @property
    def size(self) -> int:
        """Of the body."""
        return self.end - self.start - 12


@dataclass(frozen=True, slots=True)
class Rectangle:
    """Where a frame of an animation lies, and what is done before the next (fcTL)."""

    width: int
    height: int
    left: int
    top: int
    disposal: int = 0  #: 1: wiped, 2: what was there before comes back.

    def covers(self, other: Rectangle) -> bool:
        """Return whether `other` lies within."""
        return (self.left <= other.left and self.top <= other.top
                and self.left + self.width >= other.left + other.width
                and self.top + self.height >= other.top + other.height)


@dataclass(slots=True)
class Layout:
    """Where everything is in a PNG."""

    chunks: list[Chunk] = field(default_factory=list)
    width: int = 0
    height: int = 0
    depth: int = 8
    color_type: int = 2
    is_interlaced: bool = False
    colors: int = 0  #: Entries of the palette.
    frames: list[Rectangle] = field(default_factory=list)  #: Of an animation; empty in a still picture.
    plays: int = 0  #: Of an animation; 0 for ever.
    claimed_frames: int = 0
    has_fallback: bool = False  #: The picture shown by programs without animation is not part of it.
    first_data: int = 0  #: Where the first IDAT starts.
    end: int = 0  #: Behind the last chunk.
    complete: bool = True

    @property
    def leaves_holes(self) -> bool:
        """Some frame of an animation leaves part of the canvas, which is transparent, uncovered."""
        if not self.frames:
            return False
        wiped = [frame.disposal == 1 or (number == 0 and frame.disposal == 2)  # nothing was there before the first
                 for number, frame in enumerate(self.frames)]
        return not self.frames[0].covers(Rectangle(self.width, self.height, 0, 0)) or any(
            is_wiped and not following.covers(frame)
            for is_wiped, frame, following in zip(wiped, self.frames, self.frames[1:], strict=False))


def walk(data: bytes, *, accept_damaged: bool = False) -> Layout:
    """Return the layout of the PNG in `data`; what follows its end is not looked at.

    Raises `NotAnImage`, `Corrupt` for a wrong checksum or an unknown chunk that a decoder would
    need, `FormatNotAllowed` for Apple's own kind, and `TooSlow`. With `accept_damaged`, a picture
    that breaks off within its data, or has wrong checksums, is taken as it is.
    """
    if data[:8] != SIGNATURE:
        raise NotAnImage("this is no PNG: it does not start like one")
    layout, at, view = Layout(), 8, memoryview(data)
    while at + 12 <= len(data):
        if len(layout.chunks) >= MAX_PARTS:
            raise TooSlow(f"the PNG is cut into more than {MAX_PARTS:,} parts; save it again with another program")
        kind = data[at + 4:at + 8]
        end = at + 12 + int.from_bytes(data[at:at + 4], "big")
        if not kind.isalpha():  # bytes.isalpha means the letters of ASCII
            raise Corrupt("the PNG is damaged: the name of a part is not made of letters")
        if end > len(data):
            break
        is_intact = zlib.crc32(view[at + 4:end - 4]) == int.from_bytes(data[end - 4:end], "big")
        is_critical = not kind[0] & 0x20
        if not is_intact and (is_critical or kind in _SHOWS) and not accept_damaged:
            raise Corrupt(f"the PNG is damaged: the checksum of its part {kind.decode('latin-1')} is wrong")
        if kind == b"CgBI":
            raise FormatNotAllowed("a PNG as Xcode packs it for iPhones (CgBI), which only Apple's programs read; "
                                   "take the picture from before it was packed")
        if is_critical and kind not in _KNOWN:
            raise Corrupt(f"the PNG needs an extension that nothing knows: {kind.decode('latin-1')}")
        layout.chunks.append(Chunk(kind, at, end, is_intact))
        if len(layout.chunks) == 1:
            _header(data, layout)
        at = end
        if kind == b"IEND":
            layout.end = end
            break
    if not layout.chunks:
        raise Corrupt("the PNG breaks off at its start")
    if not layout.end:
        layout.end, layout.complete = at, False
        if not accept_damaged:
            raise Corrupt("the PNG is incomplete: it breaks off before its end")
    _checked(data, layout, accept_damaged)
    return layout


def _header(data: bytes, layout: Layout) -> None:
    chunk = layout.chunks[0]
    body = chunk.body(data)
    if chunk.kind != b"IHDR" or len(body) != 13:
        raise Corrupt("the PNG is damaged: it does not start with its size")
    layout.width, layout.height = int.from_bytes(body[:4], "big"), int.from_bytes(body[4:8], "big")
    layout.depth, layout.color_type, layout.is_interlaced = body[8], body[9], body[12] == 1
    if not 0 < layout.width < 2**31 or not 0 < layout.height < 2**31:
        raise Corrupt(f"the PNG is damaged: it says it is {layout.width} x {layout.height} pixels")
    if layout.depth not in _DEPTHS.get(layout.color_type, ()) or body[10] or body[11] or body[12] > 1:
        raise Corrupt("the PNG is damaged: its header makes no sense")


def _checked(data: bytes, layout: Layout, accept_damaged: bool) -> None:
    """Check the order of the chunks that show the picture, and read the palette and the frames."""
    data_ended = False
    previous = b""
    for chunk in layout.chunks[1:]:
        if chunk.kind == b"IHDR":
            raise Corrupt("the PNG is damaged: it states its size twice")
        if chunk.kind == b"IDAT":
            # a decoder may stop at the gap: once the gap is gone, it would show more than before
            if data_ended and not accept_damaged:
                raise Corrupt("the PNG is damaged: its data is not in one piece")
        elif previous == b"IDAT":
            data_ended = True
        if chunk.kind == b"PLTE":
            if layout.colors or data_ended or previous == b"IDAT":
                raise Corrupt("the PNG is damaged: a palette where none may be")
            layout.colors = chunk.size // 3
            if chunk.size % 3 or not 1 <= layout.colors <= 256:
                raise Corrupt("the PNG is damaged: its palette has the wrong length")
        previous = chunk.kind
    layout.first_data = next((chunk.start for chunk in layout.chunks if chunk.kind == b"IDAT"), 0)
    if not layout.first_data:
        raise Corrupt("the PNG holds no picture data")
    if layout.color_type == 3 and not layout.colors:
        raise Corrupt("the PNG is damaged: its palette is missing")
    control = next((chunk for chunk in layout.chunks if chunk.kind == b"acTL"), None)
    if control is not None and control.size == 8 and control.start < layout.first_data:
        try:
            _frames(data, layout, control.body(data))
        except Corrupt:
            if not accept_damaged:
                raise
            layout.frames = []


def _frames(data: bytes, layout: Layout, control: bytes) -> None:
    """Read the frames of an animation (section 11.3.7): counted, whatever is claimed."""
    layout.claimed_frames = int.from_bytes(control[:4], "big")
    layout.plays = int.from_bytes(control[4:], "big")
    expected, has_data, seen_data = 0, True, False
    for chunk in layout.chunks:
        if chunk.kind == b"IDAT":
            if not seen_data:
                seen_data = True
                if not layout.frames:
                    layout.has_fallback = True
                elif not layout.frames[0].covers(Rectangle(layout.width, layout.height, 0, 0)):
                    raise Corrupt("the PNG is damaged: the first picture of its animation is not of full size")
                has_data = True
            continue
        if chunk.kind not in (b"fcTL", b"fdAT"):
            continue
        body = data[chunk.start + 8:chunk.start + 8 + 26]
        if chunk.size < 4 or int.from_bytes(body[:4], "big") != expected:
            raise Corrupt("the PNG is damaged: the parts of its animation are out of order")
        expected += 1
        if chunk.kind == b"fdAT":
            if not seen_data or not layout.frames or (len(layout.frames) == 1 and not layout.has_fallback):
                raise Corrupt("the PNG is damaged: animation data without a frame")
            has_data = True
            continue
        if chunk.size != 26 or not has_data:
            raise Corrupt("the PNG is damaged: a frame of its animation is cut short")
        width, height, left, top = (int.from_bytes(body[at:at + 4], "big") for at in range(4, 20, 4))
        if not width or not height or left + width > layout.width or top + height > layout.height:
            raise Corrupt("the PNG is damaged: a frame of its animation lies outside the picture")
        if body[24] > 2 or body[25] > 1:
            raise Corrupt("the PNG is damaged: a frame of its animation makes no sense")
        layout.frames.append(Rectangle(width, height, left, top, body[24]))
        has_data = False
    if not has_data:
        raise Corrupt("the PNG is damaged: the last frame of its animation is missing")
