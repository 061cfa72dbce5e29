"""What the walkers of the containers share: putting a picture together again, and what was left out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

#: A part of the original as (start, end), or new bytes.
Piece = tuple[int, int] | bytes

#: More parts than a container of a picture has: a walk over them would be the attack.
MAX_PARTS = 200_000

#: What `keep` may name.
KEEPABLE = frozenset({"copyright", "icc", "exif", "xmp"})


@dataclass(frozen=True, slots=True)
class Cleaned:
    """A container rebuilt from only the parts that show the picture."""

    data: bytes  #: The very object that was given, where there was nothing to leave out.
    removed: tuple[str, ...] = ()  #: What was left out, in words; empty where nothing was.
    notes: tuple[str, ...] = ()  #: What was put right, in words.


def assemble(data: bytes, pieces: Iterable[Piece]) -> bytes:
    """Return the pieces as one; `data` itself, uncopied, where they say the same."""
    pieces = list(pieces)
    at = 0
    for piece in pieces:
        if isinstance(piece, bytes):
            if not data.startswith(piece, at):
                break
            at += len(piece)
        else:
            if piece[0] != at:
                break
            at = piece[1]
    else:
        if at == len(data):
            return data
    view = memoryview(data)
    return b"".join(piece if isinstance(piece, bytes) else view[piece[0]:piece[1]] for piece in pieces)


def unique(words: Iterable[str]) -> tuple[str, ...]:
    """Return the words, each once, in the order in which they came."""
    return tuple(dict.fromkeys(words))


def listed(words: Sequence[str]) -> str:
    """Return words as a person lists them.

    >>> listed(["EXIF", "XMP", "a comment"])
    'EXIF, XMP and a comment'
    """
    return " and ".join((", ".join(words[:-1]), words[-1])) if words[1:] else "".join(words)


def trailer(rest: bytes) -> tuple[str, bool]:
    """Return what stands after the end of a picture, in words, and whether it is worth a name.

    `rest` needs no more than the first few kilobytes and the last few.
    """
    kinds = (
        (rest[:3] == b"\xff\xd8\xff", "a second picture after the end"),
        (b"ftyp" in rest[4:4096], "a film after the end"),
        (b"PK\x03\x04" in rest or b"PK\x05\x06" in rest, "a ZIP archive after the end"),
        (b"Rar!\x1a\x07" in rest, "a RAR archive after the end"),
        (rest[:8] == b"\x89PNG\r\n\x1a\n", "a second picture after the end"),
        (b"<html" in rest.lower() or b"<script" in rest.lower(), "an HTML page after the end"),
        (b"%PDF-" in rest, "a PDF document after the end"),
        (b"SEFT" in rest[-8:], "data of a Samsung phone after the end"),
    )
    for there, words in kinds:
        if there:
            return words, True
    if not rest.strip(b"\0\r\n \t\xff"):
        return "padding after the end", False
    return "data after the end", True


def ends(data: bytes, start: int, size: int = 4096) -> bytes:
    """Return the first and the last `size` bytes of what follows `start`."""
    rest = len(data) - start
    return data[start:] if rest <= 2 * size else data[start:start + size] + data[-size:]
