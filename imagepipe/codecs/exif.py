"""EXIF as far as a picture needs it: which way is up, and whose it is.

The block is a TIFF file of its own (Exif 2.32, section 4.5.2; TIFF 6.0, section 2). Only the first
directory is followed, and one step from it, so that loops lead nowhere; what cannot be read is
not there. Blocks here start with the byte order: the `PREFIX` that JPEG puts before them is not
part of them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

PREFIX = b"Exif\0\0"

_ORIENTATION, _ARTIST, _COPYRIGHT, _EXIF, _GPS, _MAKER_NOTE = 0x0112, 0x013B, 0x8298, 0x8769, 0x8825, 0x927C
_ASCII, _SHORT, _LONG = 2, 3, 4
_MAX_ENTRIES = 1_000  # cameras write fewer than 100
_MAX_TEXT = 4_096

_Order = Literal["little", "big"]


@dataclass(frozen=True, slots=True)
class Exif:
    """What matters of an EXIF block."""

    orientation: int = 1  #: 1 to 8; anything else that is written there counts as 1.
    copyright: str = ""
    artist: str = ""
    has_gps: bool = False
    has_thumbnail: bool = False
    has_maker_note: bool = False

    def __str__(self) -> str:
        held = [words for words, there in (("GPS position", self.has_gps), ("a thumbnail", self.has_thumbnail),
                                           ("maker notes", self.has_maker_note)) if there]
        if not held:
            return "EXIF"
        return f"EXIF (with {', '.join(held[:-1]) + ' and ' if held[1:] else ''}{held[-1]})"


@dataclass(frozen=True, slots=True)
class _Entry:
    at: int  #: Where the twelve bytes of the entry are.
    tag: int
    kind: int
    count: int


def read(block: bytes) -> Exif:
    """Return what `block` says; what is broken or absent is as if it said nothing. Never raises."""
    block = block.removeprefix(PREFIX)
    order = _order(block)
    if order is None:
        return Exif()
    directory = int.from_bytes(block[4:8], order)
    entries = list(_entries(block, directory, order))
    return Exif(
        orientation=_orientation(block, entries, order),
        copyright=_text(block, entries, _COPYRIGHT, order),
        artist=_text(block, entries, _ARTIST, order),
        has_gps=any(entry.tag == _GPS for entry in entries),
        has_thumbnail=_next_directory(block, directory, order) != 0,
        has_maker_note=any(inner.tag == _MAKER_NOTE
                           for entry in entries if entry.tag == _EXIF
                           for inner in _entries(block, _value(block, entry, order), order)),
    )


def write(orientation: int = 1, *, copyright: str = "", artist: str = "") -> bytes:
    """Return the smallest block that says this much; empty where there is nothing to say.

    >>> read(write(6, copyright="© Ann")).orientation
    6
    >>> write()
    b''
    """
    fields = {}
    if orientation in range(2, 9):
        fields[_ORIENTATION] = struct.pack(">HHIHH", _ORIENTATION, _SHORT, 1, orientation, 0)
    tail = b""
    texts = [(tag, _ascii(text)) for tag, text in ((_ARTIST, artist), (_COPYRIGHT, copyright)) if _ascii(text) != b"\0"]
    start = 8 + 2 + 12 * (len(fields) + len(texts)) + 4
    for tag, value in texts:
        if len(value) <= 4:
            fields[tag] = struct.pack(">HHI4s", tag, _ASCII, len(value), value)
        else:
            fields[tag] = struct.pack(">HHII", tag, _ASCII, len(value), start + len(tail))
            tail += value + b"\0" * (len(value) & 1)  # TIFF wants values at even offsets
    if not fields:
        return b""
    directory = b"".join(fields[tag] for tag in sorted(fields))
    return b"MM\0*\0\0\0\x08" + struct.pack(">H", len(fields)) + directory + b"\0\0\0\0" + tail


def with_orientation(block: bytes, orientation: int) -> bytes:
    """Return `block` whole, but with `orientation` as the one that it states.

    A block that cannot be read is replaced by one that says just this.
    """
    prefix = PREFIX if block.startswith(PREFIX) else b""
    block = block.removeprefix(PREFIX)
    order = _order(block)
    if order is None:
        smallest = write(orientation)
        return prefix + smallest if smallest else b""
    directory = int.from_bytes(block[4:8], order)
    entries = list(_entries(block, directory, order))
    stated = [entry for entry in entries if entry.tag == _ORIENTATION]
    value = (_ORIENTATION.to_bytes(2, order) + _SHORT.to_bytes(2, order) + (1).to_bytes(4, order)
             + orientation.to_bytes(2, order) + b"\0\0")
    if stated:
        is_true = _orientation(block, entries, order) == orientation
        if is_true and len(stated) == 1 and _is_sound(block, stated[0], order):
            return prefix + block
        changed = bytearray(block)
        for entry in stated:
            changed[entry.at:entry.at + 12] = value
        return prefix + bytes(changed)
    if orientation == 1:
        return prefix + block
    # no room in the old directory: a copy with one entry more goes to the end
    records = sorted([*(block[entry.at:entry.at + 12] for entry in entries), value],
                     key=lambda record: int.from_bytes(record[:2], order))
    block += b"\0" * (len(block) & 1)
    following = _next_directory(block, directory, order).to_bytes(4, order)
    return (prefix + block[:4] + len(block).to_bytes(4, order) + block[8:]
            + len(records).to_bytes(2, order) + b"".join(records) + following)


def _order(block: bytes) -> _Order | None:
    if block[:4] == b"II*\0":
        return "little"
    return "big" if block[:4] == b"MM\0*" else None


def _entries(block: bytes, directory: int, order: _Order) -> Iterator[_Entry]:
    """Yield the entries of a directory that lie within the block; none where it does not."""
    if not 8 <= directory <= len(block) - 2:
        return
    claimed = int.from_bytes(block[directory:directory + 2], order)
    for index in range(min(claimed, _MAX_ENTRIES, (len(block) - directory - 2) // 12)):
        at = directory + 2 + 12 * index
        yield _Entry(at, int.from_bytes(block[at:at + 2], order), int.from_bytes(block[at + 2:at + 4], order),
                     int.from_bytes(block[at + 4:at + 8], order))


def _next_directory(block: bytes, directory: int, order: _Order) -> int:
    """Return where the second directory claims to be; 0 where there is none within the block."""
    if not 8 <= directory <= len(block) - 2:
        return 0
    at = directory + 2 + 12 * int.from_bytes(block[directory:directory + 2], order)
    following = int.from_bytes(block[at:at + 4], order) if at + 4 <= len(block) else 0
    return following if following < len(block) else 0


def _value(block: bytes, entry: _Entry, order: _Order) -> int:
    return int.from_bytes(block[entry.at + 8:entry.at + (10 if entry.kind == _SHORT else 12)], order)


def _is_sound(block: bytes, entry: _Entry, order: _Order) -> bool:
    return entry.kind in (_SHORT, _LONG) and entry.count == 1 and 1 <= _value(block, entry, order) <= 8


def _orientation(block: bytes, entries: list[_Entry], order: _Order) -> int:
    """Return the orientation: 1 unless it is one integer from 1 to 8, or the same one again."""
    stated = [entry for entry in entries if entry.tag == _ORIENTATION]
    values = {_value(block, entry, order) if _is_sound(block, entry, order) else 1 for entry in stated}
    return values.pop() if len(values) == 1 else 1


def _text(block: bytes, entries: list[_Entry], tag: int, order: _Order) -> str:
    for entry in entries:
        if entry.tag != tag or entry.kind != _ASCII or not 0 < entry.count <= _MAX_TEXT:
            continue
        start = entry.at + 8 if entry.count <= 4 else int.from_bytes(block[entry.at + 8:entry.at + 12], order)
        if start + entry.count <= len(block):
            value = block[start:start + entry.count]
            # Copyright may be two texts, photographer and editor, with a NUL between (Exif 2.32, 4.6.4)
            parts = [part.decode("utf-8", "replace").strip() for part in value.rstrip(b"\0").split(b"\0")]
            return "; ".join(part for part in parts if part)
    return ""


def _ascii(text: str) -> bytes:
    """Return `text` as EXIF holds it: UTF-8, which readers take, and a NUL."""
    return text.strip().encode("utf-8", "replace").replace(b"\0", b" ")[:_MAX_TEXT - 1] + b"\0"
