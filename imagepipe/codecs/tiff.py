"""The directories of a TIFF: classic and BigTIFF, of both byte orders, and which of them is the picture.

Numbers are believed only where they lie inside the file. References are to TIFF 6.0, to its
supplements by Adobe (Technical Notes 1 and 2, and those for Photoshop), and to BigTIFF.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from imagepipe.codecs.decode_guard import corrupt
from imagepipe.errors import Corrupt

__all__ = ["CCITT", "JPEG", "OLD_JPEG", "WEBP", "Page", "Tiff", "build", "is_developed", "read"]

CCITT = frozenset({2, 3, 4})
OLD_JPEG, JPEG, WEBP = 6, 7, 50001

_NAME = "this TIFF"
_TYPES = {1: "B", 2: "B", 3: "H", 4: "I", 5: "I", 6: "b", 7: "B", 8: "h", 9: "i", 11: "f", 12: "d", 13: "I", 16: "Q",
          17: "q", 18: "Q"}
_NEW_KIND, _OLD_KIND, _WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 254, 255, 256, 257, 258, 259, 262
_FILL_ORDER, _OFFSETS, _ORIENTATION, _SAMPLES, _ROWS, _COUNTS, _PLANAR = 266, 273, 274, 277, 278, 279, 284
_PREDICTOR, _MAP, _TILE_WIDTH, _TILE_HEIGHT, _TILE_OFFSETS, _TILE_COUNTS = 317, 320, 322, 323, 324, 325
_CHILDREN, _INKS, _EXTRA, _FORMAT, _PROFILE = 330, 332, 338, 339, 34675
#: Without these there would be another picture; of all others, a value that is not in the file is let be.
_ESSENTIAL = frozenset({_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _FILL_ORDER, _OFFSETS, _SAMPLES, _ROWS,
                        _COUNTS, _PLANAR, _PREDICTOR, _MAP, _TILE_WIDTH, _TILE_HEIGHT, _TILE_OFFSETS, _TILE_COUNTS,
                        _INKS, _EXTRA, _FORMAT, 347})
_MAX_ENTRIES = 4096  # of a directory; the richest that cameras write have some 200
_MAX_PAGES = 4096
_MAX_PROFILE = 8_000_000  # bytes; a profile larger than a picture is none
_MAX_VALUES = 3 << 16  # of a tag: the colours of a palette of 16 bits
_MAX_BLOCKS = 1 << 22  # strips or tiles: those of 200 megapixels are fewer
_FEW = 64  # values of a tag that are enough to see whether a directory is that of a picture
_SHARED, _AGAIN = 16_000_000, 4  # bytes, and times the file: what strips that lie on each other may have together
_ORDINARY = frozenset({0, 1, 2, 3, 5, 6, 8, 9})  # photometric interpretations of what is no sensor's data
_REDUCED, _MASK = 1, 4  # bits of NewSubfileType: a smaller version of another picture, its transparency mask


@dataclass(frozen=True, slots=True)
class Page:
    """One picture of a TIFF, as its directory describes it."""

    at: int  #: Where in the file its directory is.
    order: str  #: Of numbers: `<` or `>`.
    width: int
    height: int
    bits: int  #: A sample.
    samples: int  #: A pixel.
    numbers: int  #: 1 unsigned, 2 signed, 3 floating-point.
    compression: int
    photometric: int
    extra: tuple[int, ...]  #: What the samples after the colours are: 0 unstated, 1 alpha multiplied in, 2 alpha.
    separate: bool  #: Each sample in a plane of its own.
    predictor: int
    bits_reversed: bool  #: The first pixel of a byte in its lowest bit (FillOrder 2).
    orientation: int
    tiled: bool
    block: tuple[int, int]  #: Width and height of a strip or tile.
    offsets: tuple[int, ...]
    counts: tuple[int, ...]  #: Bytes of each strip or tile; empty where not stated.
    colors: tuple[int, ...] = field(repr=False)  #: The palette: all reds, all greens, all blues, 16 bits each.
    inks: int  #: 1: cyan, magenta, yellow, black.
    icc: bytes | None = field(repr=False)
    kind: int  #: Bits of NewSubfileType.
    tags: dict[int, tuple[int, ...]] = field(repr=False)  #: What some compressions need besides: options, tables.

    @property
    def depth(self) -> str:
        """How a sentence names the samples: `3 x 16 floating-point bits`."""
        numbers = {2: " signed", 3: " floating-point", 5: " complex", 6: " complex"}.get(self.numbers, "")
        return f"{self.samples} x {self.bits or 'different'}{numbers} bits"

    def part(self, data: bytes, block: int) -> bytes:
        """Return a strip or tile as it is in the file, empty where it is not there."""
        if block >= len(self.offsets):
            return b""
        start = self.offsets[block]
        if block < len(self.counts) and self.counts[block]:
            return data[start:start + self.counts[block]]
        # Some old writers state no lengths: then it may reach to the next, or to the end.
        after = self.offsets[block + 1] if block + 1 < len(self.offsets) else 0
        return data[start:after if after > start else len(data)]

    def parts(self, data: bytes, blocks: Iterable[int]) -> list[bytes]:
        """Return strips or tiles as they are in the file.

        Empty ones may be the same bytes of it. Raises `Corrupt` where so many are that they only cost memory.
        """
        found, total = [], 0
        for block in blocks:
            found.append(self.part(data, block))
            total += len(found[-1])
            if total > _AGAIN * len(data) + _SHARED:
                raise corrupt(_NAME, "the parts of its picture lie on each other")
        return found

    def first(self, data: bytes) -> bytes:
        """Return the file with this picture as its first."""
        if data[2:4] in (b"+\0", b"\0+"):
            return data[:8] + struct.pack(self.order + "Q", self.at) + data[16:]
        return data[:4] + struct.pack(self.order + "I", self.at) + data[8:]


@dataclass(frozen=True, slots=True)
class Tiff:
    """The picture that is taken from a TIFF, and how many there are to choose from."""

    page: Page
    pictures: int  #: Small versions and masks of others not counted.


class _Directory:
    """The tags of one directory."""

    def __init__(self, data: bytes, order: str, big: bool, at: int) -> None:
        self.data, self.order, self.at = data, order, at
        self.entries: dict[int, tuple[int, int, int]] = {}
        count = _number(data, order + ("Q" if big else "H"), at)
        entry, inline = (order + "HHQ", 8) if big else (order + "HHI", 4)
        size, at = struct.calcsize(entry) + inline, at + (8 if big else 2)
        if not 0 < count <= _MAX_ENTRIES or at + count * size > len(data):
            raise corrupt(_NAME, "a list of what it holds is broken")
        for place in range(at, at + count * size, size):
            tag, kind, number = struct.unpack_from(entry, data, place)
            value = place + size - inline
            if kind in _TYPES:
                length = struct.calcsize("=" + _TYPES[kind]) * number * (2 if kind == 5 else 1)
                if length > inline:
                    value = _number(data, order + ("Q" if big else "I"), value)
                if value + length <= len(data):
                    self.entries.setdefault(tag, (kind, number * (2 if kind == 5 else 1), value))
                elif tag in _ESSENTIAL:
                    raise corrupt(_NAME, f"it breaks off before a value of its picture (tag {tag})")
        at += count * size
        whole = at + (8 if big else 4) <= len(data)
        self.next = _number(data, order + ("Q" if big else "I"), at) if whole else 0

    def many(self, tag: int, most: int = _MAX_VALUES) -> tuple[int, ...]:
        """Return the values of a tag as integers, no more than `most` of them, none where it is absent."""
        kind, number, at = self.entries.get(tag, (1, 0, 0))
        values = struct.unpack_from(f"{self.order}{min(number, most)}{_TYPES[kind]}", self.data, at)
        return tuple(map(int, values)) if kind not in (11, 12) else ()

    def one(self, tag: int, default: int) -> int:
        """Return the first value of a tag."""
        kind, number, at = self.entries.get(tag, (1, 0, 0))
        if not number or kind in (11, 12):
            return default
        return int(struct.unpack_from(self.order + _TYPES[kind], self.data, at)[0])

    def raw(self, tag: int, most: int) -> bytes | None:
        """Return the bytes of a tag, None where it is absent or larger than `most`."""
        kind, number, at = self.entries.get(tag, (1, 0, 0))
        size = number * struct.calcsize("=" + _TYPES[kind])
        return self.data[at:at + size] if 0 < size <= most else None


def _number(data: bytes, kind: str, at: int) -> int:
    """Return a number. Raises `Corrupt` where the file has ended before."""
    if at < 0 or at + struct.calcsize(kind) > len(data):
        raise corrupt(_NAME, "it breaks off in the list of what it holds")
    return int(struct.unpack_from(kind, data, at)[0])


def read(data: bytes) -> Tiff:
    """Return the picture that a TIFF shows. Raises `Corrupt` where there is none.

    That is the first that is no smaller version and no mask of another. Where the first directory
    is such a smaller version, as in files of cameras, its own list of others (SubIFDs) is looked
    through as well; where all are, the largest is taken.
    """
    order = {b"II": "<", b"MM": ">"}.get(data[:2], "")
    version = _number(data, order + "H", 2) if order else 0
    if version not in (42, 43) or (version == 43 and _number(data, order + "H", 4) != 8):
        raise corrupt(_NAME, "its first bytes make no sense")
    big = version == 43
    chosen: Page | None = None
    small: list[Page] = []
    pictures = 0
    for page in _pages(data, order, big):
        if page.kind & _MASK or page.photometric == 4:
            continue
        if page.kind & _REDUCED:
            small.append(page)
            continue
        chosen = chosen or page
        pictures += 1
    if chosen is None:
        if not small:
            raise corrupt(_NAME, "there is no picture in it")
        chosen, pictures = max(small, key=lambda page: page.width * page.height), 1
    return Tiff(_page(_Directory(data, order, big, chosen.at)) or chosen, pictures)


def is_developed(data: bytes) -> bool:
    """Say whether the first picture of a TIFF is a whole one of ordinary colours, with only smaller ones in its list.

    So programs of camera makers export TIFF, with the maker's name in it; a RAW picture has its
    sensor data in that list, or first.
    """
    order = {b"II": "<", b"MM": ">"}.get(data[:2], "<")
    big = data[2:4] in (b"+\0", b"\0+")
    try:
        directory = _Directory(data, order, big, _number(data, order + ("Q" if big else "I"), 8 if big else 4))
        page = _page(directory, brief=True)
        small = [_page(_Directory(data, order, big, at), brief=True) for at in directory.many(_CHILDREN, _MAX_PAGES)]
    except Corrupt:
        return False
    whole = page is not None and not page.kind & _REDUCED and page.photometric in _ORDINARY
    return whole and all(one is not None and one.kind & _REDUCED and one.photometric in _ORDINARY for one in small)


def _pages(data: bytes, order: str, big: bool) -> Iterator[Page]:
    """Yield the pictures of a file, in brief, each with those of its own list behind it where it is a small version."""
    waiting = [_number(data, order + ("Q" if big else "I"), 8 if big else 4)]
    seen: set[int] = set()
    first = True
    while waiting and len(seen) < _MAX_PAGES:
        at = waiting.pop()
        if at == 0 or at in seen:  # of 0 the list ends; some lists lead back to their start
            continue
        seen.add(at)
        try:
            directory = _Directory(data, order, big, at)
            page = _page(directory, brief=True)
        except Exception:
            if first:
                raise
            return  # what comes after the picture is no reason to refuse it
        waiting.append(directory.next)
        if page is not None and page.kind & _REDUCED:
            waiting.extend(reversed(directory.many(_CHILDREN, _MAX_PAGES)))
        if page is not None:
            yield page
            first = False


def _page(tags: _Directory, *, brief: bool = False) -> Page | None:
    """Return what a directory describes; None where that is no picture.

    In `brief`, without its profile, and of lists only the start: thousands of directories may name the same long ones.
    """
    values, blocks = (_FEW, 1) if brief else (_MAX_VALUES, _MAX_BLOCKS)
    width, height = tags.one(_WIDTH, 0), tags.one(_HEIGHT, 0)
    tiled = _TILE_OFFSETS in tags.entries or (_TILE_WIDTH in tags.entries and _OFFSETS in tags.entries)
    offsets = tags.many(_TILE_OFFSETS, blocks) or tags.many(_OFFSETS, blocks)
    compression = tags.one(_COMPRESSION, 1)
    if not offsets and compression == OLD_JPEG:  # where the first form of JPEG in TIFF has its data elsewhere
        offsets = (tags.one(513, 0),)
    if not 0 < width < 1 << 32 or not 0 < height < 1 << 32 or not offsets:
        return None
    all_bits = tags.many(_BITS, values) or (1,)
    samples = tags.one(_SAMPLES, 3 if compression == OLD_JPEG else len(all_bits))
    formats = tags.many(_FORMAT, values)[:samples] or (1,)
    bits = all_bits[0] if len(set(all_bits[:samples])) == 1 else 0
    numbers = formats[0] if len(set(formats)) == 1 else 0
    rows = tags.one(_ROWS, height)
    block = (tags.one(_TILE_WIDTH, 0), tags.one(_TILE_HEIGHT, 0)) if tiled else (width, min(max(rows, 1), height))
    if min(block) < 1:
        return None
    old = {2: _REDUCED, 3: 2}.get(tags.one(_OLD_KIND, 0), 0)
    icc = None if brief else tags.raw(_PROFILE, _MAX_PROFILE)
    orientation = tags.one(_ORIENTATION, 1)
    return Page(
        tags.at, tags.order, width, height, bits, samples, 1 if numbers == 4 else numbers, compression,
        tags.one(_PHOTOMETRIC, 0 if compression in CCITT else 2 if samples >= 3 else 1),
        tags.many(_EXTRA, values)[:samples], tags.one(_PLANAR, 1) == 2 and samples > 1, tags.one(_PREDICTOR, 1),
        tags.one(_FILL_ORDER, 1) == 2,
        orientation if 1 <= orientation <= 8 else 1, tiled, block, offsets,
        tags.many(_TILE_COUNTS, blocks) or tags.many(_COUNTS, blocks), tags.many(_MAP, values), tags.one(_INKS, 1),
        icc if icc is not None and len(icc) >= 128 else None, tags.one(_NEW_KIND, old),
        {tag: tags.many(tag, values) for tag in (292, 293, 347, 529, 530, 531, 532) if tag in tags.entries})


def build(order: str, tags: dict[int, tuple[str, tuple[int, ...]]], blocks: list[bytes]) -> bytes:
    """Return a TIFF of one picture whose strips, or tiles where `tags` say so, are `blocks`, for libtiff to decode.

    `tags` gives for each its type, a letter of `struct`, and its values.
    """
    places, counts = (_TILE_OFFSETS, _TILE_COUNTS) if _TILE_WIDTH in tags else (_OFFSETS, _COUNTS)
    starts, at = [], 8
    for block in blocks:
        starts.append(at)
        at += len(block) + len(block) % 2
    every = tags | {places: ("I", tuple(starts)), counts: ("I", tuple(map(len, blocks)))}
    table, beyond = [], b""
    after = at + 2 + 12 * len(every) + 4
    for tag, (letter, values) in sorted(every.items()):
        packed = struct.pack(f"{order}{len(values)}{letter}", *values)
        entry = struct.pack(order + "HHI", tag, {"B": 7, "H": 3, "I": 4}[letter], len(values))
        if len(packed) > 4:
            table.append(entry + struct.pack(order + "I", after + len(beyond)))
            beyond += packed + bytes(len(packed) % 2)
        else:
            table.append(entry + packed.ljust(4, b"\0"))
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", at)
    padded = [part for block in blocks for part in (block, bytes(len(block) % 2))]
    return b"".join((head, *padded, struct.pack(order + "H", len(every)), *table, bytes(4), beyond))
