"""GIF: what the container says, and the same picture in a container of only what shows it.

GIF89a Specification (CompuServe, 1990). The compressed data is copied byte for byte. Of the
application extensions only the loop count stays (NETSCAPE2.0, or ANIMEXTS1.0).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from imagepipe.codecs.container import MAX_PARTS, Cleaned, Piece, assemble, ends, trailer, unique
from imagepipe.codecs.exif import Exif
from imagepipe.codecs.header import Header
from imagepipe.codecs.statements import Statement, statement
from imagepipe.errors import Corrupt, NotAnImage, TooSlow

_IMAGE, _EXTENSION, _TRAILER = 0x2C, 0x21, 0x3B
_CLEAR, _BRING_BACK = 2, 3  # what is done with a frame before the next
_PICTURE = -1  #: Beside the labels of extensions, which are bytes.
_PLAIN_TEXT, _CONTROL, _COMMENT, _APPLICATION = 0x01, 0xF9, 0xFE, 0xFF
_LOOPS = (b"NETSCAPE2.0", b"ANIMEXTS1.0")
_XMP = b"XMP DataXMP"
_MAX_EDGE = 65_535  # pixels
_MAX_BLOCKS = 5_000_000  #: Of compressed data; a file of a gigabyte, honestly written, has 4 million.
_LARGER, _SMALL = 4, 1_000_000  # times the screen, and pixels: a frame that sticks out is no larger


@dataclass(frozen=True, slots=True)
class _Block:
    """An extension or a picture."""

    kind: int  #: The label of an extension; `_PICTURE` for a picture.
    start: int
    end: int
    name: bytes = b""  #: Of an application.


@dataclass(frozen=True, slots=True)
class _Frame:
    left: int
    top: int
    right: int
    bottom: int
    is_transparent: bool  #: One of its colours is.
    disposal: int

    @property
    def area(self) -> int:
        return (self.right - self.left) * (self.bottom - self.top)

    def covers(self, other: _Frame) -> bool:
        return (self.left <= other.left and self.top <= other.top and self.right >= other.right
                and self.bottom >= other.bottom)


@dataclass(frozen=True, slots=True)
class Patch:
    """A frame as it is stored: a picture of its own, and what is done with it."""

    file: bytes  #: A GIF of only this frame, on a screen of its size.
    at: tuple[int, int]  #: Where its upper left corner is on the screen.
    disposal: int  #: What happens when its time is over: 2 clears its place, 3 brings back what was there before.
    duration: int  #: In milliseconds.


@dataclass(slots=True)
class _Parts:
    """What a GIF holds."""

    width: int = 0  #: Of the screen, with the first frame on it.
    height: int = 0
    has_grown: bool = False  #: The first frame is larger than the screen that the file states.
    sticks_out: bool = False  #: A later frame does.
    start: int = 0  #: Of the first block.
    blocks: list[_Block] = field(default_factory=list)
    frames: list[_Frame] = field(default_factory=list)
    loops: dict[int, int] = field(default_factory=dict)  #: How often an animation is to play again, by block.
    names: dict[int, str] = field(default_factory=dict)  #: Of blocks that show nothing, by where they start.
    notes: list[str] = field(default_factory=list)
    sub_blocks: int = 0
    end: int = 0
    complete: bool = True
    trailer: str = ""


def read_header(data: bytes, *, accept_damaged: bool = False) -> Header:
    """Return what the container says.

    `loop` is how often the animation plays, so one more than the file's count of repetitions, as
    browsers have it. Raises `NotAnImage`, `Corrupt` and `TooSlow`.
    """
    parts = _parts(data, accept_damaged)
    loop = next(reversed(parts.loops.values()), None) if len(parts.frames) > 1 else None
    has_alpha, in_a_colour = _holes(parts)
    if in_a_colour:  # browsers show nothing there
        parts.notes.append("parts of the screen that no frame covers, which some programs show in a colour")
    return Header(
        "gif", parts.width, parts.height,
        frames=len(parts.frames),
        has_alpha=has_alpha,
        channels="palette",
        loop=loop + 1 if loop else loop,
        hidden=_hidden(parts),
        notes=tuple(parts.notes),
        shown_alike=not (parts.sticks_out or in_a_colour),
    )


def rebuild(data: bytes, keep: frozenset[str] = frozenset(), *, accept_damaged: bool = False) -> bytes:
    """Return the picture in a container of only what shows it; `data` itself if it is one already.

    Of `keep`, `copyright` is written as a comment, and `xmp` stays. Raises as `read_header` does.
    """
    return clean(data, keep, accept_damaged=accept_damaged).data


def clean(data: bytes, keep: frozenset[str] = frozenset(), *, accept_damaged: bool = False) -> Cleaned:
    """Do what `rebuild` does, and say what was left out."""
    parts = _parts(data, accept_damaged)
    pieces: list[Piece] = [(0, parts.start)]
    if parts.has_grown:
        screen = parts.width.to_bytes(2, "little") + parts.height.to_bytes(2, "little")
        pieces = [data[:6] + screen, (10, parts.start)]
    said = _statement(data, parts) if "copyright" in keep else Statement()
    if said:
        pieces.append(_comment(said))
    loop = None
    for block in parts.blocks:
        if block.kind in (_PICTURE, _CONTROL):
            pieces.append((block.start, block.end))
        elif block.start in parts.loops and parts.loops[block.start] != loop and len(parts.frames) > 1:
            loop = parts.loops[block.start]
            pieces.append(b"\x21\xff\x0b" + block.name + b"\x03\x01" + loop.to_bytes(2, "little") + b"\0")
        elif block.name == _XMP and "xmp" in keep:
            pieces.append((block.start, block.end))
    pieces.append((parts.end - 1, parts.end) if parts.complete else b"\x3b")
    rebuilt = assemble(data, pieces)
    removed = [name for start, name in sorted(parts.names.items()) if not (name == "XMP" and "xmp" in keep)]
    return Cleaned(rebuilt, () if rebuilt is data else unique([*removed, parts.trailer] if parts.trailer else removed),
                   tuple(parts.notes))


def metadata(data: bytes) -> dict[str, bytes]:
    """Return what may be kept on request: `xmp`, and `copyright` and `artist` as UTF-8 text."""
    parts = _parts(data, accept_damaged=True)
    said = _statement(data, parts)
    found = {"xmp": _packet(data, parts), "copyright": said.copyright.encode(), "artist": said.artist.encode()}
    return {name: value for name, value in found.items() if value}


def patches(data: bytes, *, accept_damaged: bool = False) -> Iterator[Patch]:
    """Yield the frames as they are stored. Raises as `read_header` does."""
    parts = _parts(data, accept_damaged)
    frames = iter(parts.frames)
    control, duration = b"", 0
    for block in parts.blocks:
        if block.kind == _CONTROL:
            control = data[block.start:block.end]
            duration = int.from_bytes(control[4:6], "little") * 10
        elif block.kind == _PICTURE:
            frame = next(frames)
            size = data[block.start + 5:block.start + 9]
            # of two colour tables only the one that counts: Pillow mixes them up where one is a ramp of greys
            table = bytes(3) if data[block.start + 9] & 0x80 else data[10:parts.start]
            file = b"".join((b"GIF89a", size, table, control, b",", bytes(4), size,
                             data[block.start + 9:block.end], b";"))
            yield Patch(file, (frame.left, frame.top), frame.disposal, duration)
            control, duration = b"", 0


def _parts(data: bytes, accept_damaged: bool) -> _Parts:
    if data[:6] not in (b"GIF87a", b"GIF89a"):
        raise NotAnImage("this is no GIF: it does not start like one")
    if len(data) < 13:
        raise Corrupt("the GIF breaks off at its start")
    parts = _Parts(int.from_bytes(data[6:8], "little"), int.from_bytes(data[8:10], "little"))
    parts.start = 13 + _table(data[10])
    try:
        _walk(data, parts)
    except Corrupt:
        if not accept_damaged or not parts.frames:
            raise
        parts.complete = False
        parts.end = len(data)
        parts.notes.append("the end is missing")
    if not parts.frames:
        raise Corrupt("the GIF holds no picture")
    _settle_screen(parts)
    if len(parts.frames) == 1:
        parts.names |= dict.fromkeys(parts.loops, "a loop count without an animation")
    _leave_out_stray_controls(parts)
    if parts.complete and parts.end < len(data):
        words, worth_naming = trailer(ends(data, parts.end))
        parts.trailer = words if worth_naming else ""
        if not worth_naming:
            parts.notes.append(f"{len(data) - parts.end:,} bytes of {words}")
    return parts


def _leave_out_stray_controls(parts: _Parts) -> None:
    """Leave out what says how to show a picture that does not come, or that is said again: programs then differ."""
    control: _Block | None = None
    strays = set()
    for block in parts.blocks:
        if block.kind == _CONTROL:
            strays |= {control.start} if control else set()
            control = block
        elif block.kind == _PICTURE:
            control = None
    strays |= {control.start} if control else set()
    parts.names |= dict.fromkeys(strays, "a stray control block")
    parts.blocks = [block for block in parts.blocks if block.start not in strays]


def _table(flags: int) -> int:
    """Return the size in bytes of the colour table that the flags announce."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _walk(data: bytes, parts: _Parts) -> None:
    at, transparent, disposal = parts.start, False, 0
    for _ in range(MAX_PARTS):
        if at >= len(data):
            raise Corrupt("the GIF is incomplete: it has no end")
        introducer, start = data[at], at
        if introducer == _TRAILER:
            parts.end = at + 1
            return
        if introducer == _IMAGE:
            if at + 11 > len(data):
                raise Corrupt("the GIF is incomplete: it breaks off within a frame")
            left, top, width, height = (int.from_bytes(data[i:i + 2], "little") for i in range(at + 1, at + 9, 2))
            at += 10 + _table(data[at + 9])
            if at >= len(data) or not width or not height or not 1 <= data[at] <= 11:
                raise Corrupt("the GIF is damaged: a frame makes no sense")
            at = _skip(data, at + 1, parts)
            parts.blocks.append(_Block(_PICTURE, start, at))
            parts.frames.append(_Frame(left, top, left + width, top + height, transparent, disposal))
            transparent, disposal = False, 0
        elif introducer == _EXTENSION and at + 2 < len(data):
            label = data[at + 1]
            at = _skip(data, at + 2, parts)
            if label == _CONTROL:
                if data[start + 2] != 4 or at != start + 8:
                    raise Corrupt("the GIF is damaged: a control block has the wrong length")
                transparent, disposal = bool(data[start + 3] & 1), data[start + 3] >> 2 & 7
            _extension(data, label, start, at, parts)
        else:
            # what programs make of this differs: some stop here, some read on
            raise Corrupt("the GIF is damaged: there is something between its parts")
    raise TooSlow(f"the GIF is cut into more than {MAX_PARTS:,} parts; save it again with another program")


def _skip(data: bytes, at: int, parts: _Parts) -> int:
    """Return where a chain of sub-blocks ends."""
    count = parts.sub_blocks
    try:
        while size := data[at]:
            at += size + 1
            count += 1
            if count > _MAX_BLOCKS:
                raise TooSlow(f"the GIF is cut into more than {_MAX_BLOCKS:,} blocks; save it again")
    except IndexError:
        raise Corrupt("the GIF is incomplete: it breaks off within a block") from None
    parts.sub_blocks = count
    return at + 1


def _extension(data: bytes, label: int, start: int, end: int, parts: _Parts) -> None:
    name = data[start + 3:start + 14] if label == _APPLICATION and data[start + 2] == 11 else b""
    if label == _COMMENT:
        parts.names[start] = "a comment"
    elif label == _PLAIN_TEXT:
        parts.names[start] = "text"
    elif name in _LOOPS and data[start + 14:start + 16] == b"\x03\x01" and start + 18 < end:
        parts.loops[start] = int.from_bytes(data[start + 16:start + 18], "little")
        if end - start > 19:
            parts.names[start] = "data in the loop count"
    elif label == _APPLICATION:
        known = {_XMP: "XMP", b"ICCRGBG1012": "a colour profile, which nothing applies", b"C2PA_GIF\x01\x00\x00":
                 "content credentials (C2PA)"}
        parts.names[start] = known.get(name, "data of a program")
    elif label != _CONTROL:
        parts.names[start] = "an unknown extension"
    parts.blocks.append(_Block(label, start, end, name))


def _settle_screen(parts: _Parts) -> None:
    """Settle how large the screen is where frames stick out of it.

    As browsers and libvips have it: the first frame makes the screen grow to the right and down, and
    of a later one is shown what lies on the screen. Raises `Corrupt` for a frame that is so much
    larger than the screen that it would only cost memory.
    """
    first = parts.frames[0]
    if first.right > parts.width or first.bottom > parts.height:
        parts.notes.append(f"a screen of {parts.width} x {parts.height} that its first frame is larger than")
        parts.width, parts.height = max(first.right, parts.width), max(first.bottom, parts.height)
        if max(parts.width, parts.height) > _MAX_EDGE:
            raise Corrupt("the GIF is damaged: its first frame lies outside of every screen that can be")
        parts.has_grown = True
    for number, frame in enumerate(parts.frames):
        if frame.right <= parts.width and frame.bottom <= parts.height:
            continue
        if frame.area > max(_LARGER * parts.width * parts.height, _SMALL):
            raise Corrupt(f"the GIF is damaged: a frame reaches to {frame.right} x {frame.bottom} on a screen of "
                          f"{parts.width} x {parts.height}")
        parts.sticks_out = True
        parts.frames[number] = replace(frame, right=max(frame.left, min(frame.right, parts.width)),
                                       bottom=max(frame.top, min(frame.bottom, parts.height)))
    if parts.sticks_out:
        parts.notes.append("a frame that sticks out of the screen, of which the part inside is shown")


def _holes(parts: _Parts) -> tuple[bool, bool]:
    """Return whether some pixel of some frame may be shown transparent, and whether some programs show a colour there.

    A transparent colour in a frame only lets what was there before show through. Where a frame is wiped away that
    has no transparent colour, libvips and Pillow leave a colour.
    """
    screen = _Frame(0, 0, parts.width, parts.height, False, 0)
    hole: _Frame | None = screen  # what no frame covers at the moment, at most
    wiped_to_a_colour = has_alpha = in_a_colour = False
    for frame in parts.frames:
        before = hole, wiped_to_a_colour
        if hole is not None and (frame.is_transparent or not frame.covers(hole)):
            has_alpha, in_a_colour = True, in_a_colour or wiped_to_a_colour
        else:
            hole, wiped_to_a_colour = None, False
        if frame.disposal == _CLEAR:
            hole = frame if hole is None else screen
            wiped_to_a_colour = wiped_to_a_colour or not frame.is_transparent
        elif frame.disposal == _BRING_BACK:
            hole, wiped_to_a_colour = before
    return has_alpha, in_a_colour or (has_alpha and not any(frame.is_transparent for frame in parts.frames))


def _packet(data: bytes, parts: _Parts) -> bytes:
    """Return the XMP packet, which stands there as text, followed by 258 bytes that end the blocks."""
    for block in parts.blocks:
        if block.name == _XMP:
            return data[block.start + 14:max(block.end - 258, block.start + 14)]
    return b""


def _statement(data: bytes, parts: _Parts) -> Statement:
    """Return whose the picture is: by XMP, or a comment that says so."""
    said = statement(Exif(), _packet(data, parts))
    if said.copyright:
        return said
    for block in parts.blocks:
        if block.kind == _COMMENT:
            text = data[block.start + 3:block.start + 3 + data[block.start + 2]].decode("utf-8", "replace").strip()
            if text.casefold().startswith(("copyright", "©", "(c)")):
                return Statement(text.removeprefix("Copyright: "), said.artist)
    return said


def _comment(said: Statement) -> bytes:
    text = (f"Copyright: {said.copyright}" if said.copyright else f"Author: {said.artist}").encode()[:255]
    return b"\x21\xfe" + bytes((len(text),)) + text + b"\0"


def _hidden(parts: _Parts) -> tuple[str, ...]:
    names = [name for _, name in sorted(parts.names.items())]
    return unique([*names, parts.trailer] if parts.trailer else names)
