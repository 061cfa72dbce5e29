"""Walking through a JPEG, marker by marker (ITU-T T.81, annex B), as libjpeg does.

Entropy-coded data is only searched for the marker that ends it: a picture of 3.4 MB takes two
milliseconds.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from imagepipe.codecs.container import MAX_PARTS
from imagepipe.errors import Corrupt, FormatNotAllowed, NotAnImage, TooSlow

MAX_SCANS = 100  #: Encoders write about ten; a thousand, of a tiny file, take a decoder 20 seconds.

SOI, EOI, SOS, DQT, DNL, DHP, EXP, APP0, COM, TEM = 0xD8, 0xD9, 0xDA, 0xDB, 0xDC, 0xDE, 0xDF, 0xE0, 0xFE, 0x01
_TABLES = frozenset({0xC4, 0xCC, 0xDB, 0xDD})  # DHT, DAC, DQT, DRI
_FRAMES = {0xC0: "baseline", 0xC1: "extended", 0xC2: "progressive", 0xC9: "arithmetic", 0xCA: "arithmetic progressive"}
_UNTAKEN = {0xC3: "lossless", 0xC5: "hierarchical", 0xC6: "hierarchical", 0xC7: "hierarchical", 0xCB: "lossless",
            0xCD: "hierarchical", 0xCE: "hierarchical", 0xCF: "hierarchical", DHP: "hierarchical", EXP: "hierarchical"}

_NEVER = 14  #: More bits than a coefficient can lack that is in a scan (T.81, table B.3).
_NOTHING = [_NEVER] * 64

# a run of 0xFF before a marker is filling: only its last one counts, which also keeps the search linear
_MARKER = re.compile(rb"\xff[\x01-\xfe]")
_END_OF_SCAN = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")


@dataclass(frozen=True, slots=True)
class Segment:
    """One marker with what belongs to it."""

    marker: int
    start: int  #: Of its 0xFF.
    end: int

    def body(self, data: bytes) -> bytes:
        """Return what follows the length."""
        return data[self.start + 4:self.end]


@dataclass(frozen=True, slots=True)
class Component:
    """One channel, as the frame header describes it."""

    number: int
    factors: tuple[int, int]
    table: int


@dataclass(slots=True)
class Layout:
    """Where everything is in a JPEG."""

    head: list[Segment] = field(default_factory=list)  #: What comes before the first scan.
    body: list[Segment | tuple[int, int]] = field(default_factory=list)  #: The rest; pairs are entropy-coded data.
    frame: Segment | None = None
    coding: str = ""
    width: int = 0
    height: int = 0  #: True also where the frame header leaves it open (see `height_is_late`).
    height_is_late: bool = False  #: It is stated behind the first scan, by a DNL marker.
    components: tuple[Component, ...] = ()
    tables: dict[int, tuple[int, ...]] = field(default_factory=dict)  #: Quantisation tables, zigzag.
    scans: int = 0
    lacking: dict[int, list[int]] = field(default_factory=dict)  #: See `_note_detail`.
    padding: int = 0  #: Bytes between segments that belong to none.
    end: int = 0  #: Behind the end marker; where the last scan ends if that is missing.
    complete: bool = True  #: The end marker is there.

    @property
    def has_all_channels(self) -> bool:
        """Whether each channel is in a scan, be it a coarse one."""
        return all(self.lacking.get(component.number, _NOTHING)[0] < _NEVER for component in self.components)

    @property
    def has_all_detail(self) -> bool:
        """Whether the scans that have begun are all that a picture needs, down to the last bit of each channel."""
        return all(not any(self.lacking.get(component.number, _NOTHING)) for component in self.components)


def walk(data: bytes, *, accept_damaged: bool = False) -> Layout:
    """Return the layout of the first picture in `data`; what follows its end is not looked at.

    A picture whose last scan has begun needs no end marker: some programs lose it, and nobody sees
    that. Whether the data of that scan are all there only decoding tells. Raises `NotAnImage`,
    `Corrupt`, `FormatNotAllowed` and `TooSlow`. With `accept_damaged`, a picture that breaks off
    after its first scan has begun is taken as it is.
    """
    if data[:3] != b"\xff\xd8\xff":
        raise NotAnImage("this is no JPEG: it does not start like one")
    layout, at = Layout(), 2
    for _ in range(MAX_PARTS):
        found = _MARKER.search(data, at)
        if found is None:
            return _broken_off(layout, "it breaks off; part of the picture is missing", accept_damaged)
        layout.padding += found.start() - at
        marker, at = data[found.end() - 1], found.end()
        if marker == EOI:
            layout.end = at
            return _checked(layout, accept_damaged)
        if marker == TEM or 0xD0 <= marker <= 0xD7:
            layout.padding += 2  # markers without content: libjpeg reads over them here
            continue
        if marker == SOI or marker in range(0x02, 0xC0) or marker == 0xC8 or marker in range(0xF0, 0xFE):
            return _broken_off(layout, f"a marker 0x{marker:02X} where none may be", accept_damaged)
        end = at + int.from_bytes(data[at:at + 2], "big")
        if end < at + 2 or end > len(data) or at + 2 > len(data):
            return _broken_off(layout, "it breaks off, or a length in it is wrong", accept_damaged)
        segment = Segment(marker, found.start(), end)
        at = end
        if marker == SOS:
            at = _scan(data, layout, segment)
            continue
        if marker in _FRAMES or marker in _UNTAKEN:
            _frame(data, layout, segment)
        elif marker == DQT and not layout.scans:
            _quantisation(segment.body(data), layout)
        elif marker == DNL and layout.height_is_late and layout.scans == 1 and end - segment.start == 6:
            layout.height = layout.height or int.from_bytes(segment.body(data), "big")
        (layout.body if layout.scans else layout.head).append(segment)
    raise TooSlow(f"the JPEG is cut into more than {MAX_PARTS:,} parts; save it again with another program")


def is_table(segment: Segment) -> bool:
    """Return whether the decoder needs the segment as it stands."""
    return segment.marker in _TABLES


def _frame(data: bytes, layout: Layout, segment: Segment) -> None:
    if segment.marker in _UNTAKEN:
        raise FormatNotAllowed(f"a {_UNTAKEN[segment.marker]} JPEG, which no shop or browser shows; save it as a "
                               "baseline JPEG or a PNG")
    if layout.frame is not None:
        raise _damaged("it describes its picture twice")
    body = segment.body(data)
    if len(body) < 6 or len(body) != 6 + 3 * body[5]:
        raise _damaged("the description of its picture has the wrong length")
    if body[0] != 8:
        raise FormatNotAllowed(f"a JPEG of {body[0]} bits a channel, which few programs read; save it with 8 bits")
    if body[5] not in (1, 3, 4):
        raise FormatNotAllowed(f"a JPEG of {body[5]} channels; save it as RGB")
    layout.frame, layout.coding = segment, _FRAMES[segment.marker]
    layout.height, layout.width = int.from_bytes(body[1:3], "big"), int.from_bytes(body[3:5], "big")
    layout.height_is_late = layout.height == 0
    layout.components = tuple(Component(body[at], (body[at + 1] >> 4, body[at + 1] & 15), body[at + 2])
                              for at in range(6, len(body), 3))
    if any(not 1 <= factor <= 4 for component in layout.components for factor in component.factors):
        raise _damaged("impossible sampling factors")


def _scan(data: bytes, layout: Layout, segment: Segment) -> int:
    """Note a scan and its entropy-coded data; return where that ends."""
    if layout.frame is None:
        raise _damaged("it does not say how large it is before its data starts")
    body = segment.body(data)
    if not body or not 1 <= body[0] <= 4 or len(body) != 4 + 2 * body[0]:
        raise _damaged("the start of a scan has the wrong length")
    layout.scans += 1
    if layout.scans > MAX_SCANS:
        raise TooSlow(f"the JPEG is in more than {MAX_SCANS} scans, which take too long to decode; save it again")
    _note_detail(body, layout)
    found = _END_OF_SCAN.search(data, segment.end)
    stop = before_filling(data, len(data) if found is None else found.start(), segment.end)
    layout.body += [segment, (segment.end, stop)]
    return stop


def before_filling(data: bytes, at: int, start: int) -> int:
    """Return where the run of 0xFF that ends at `at` starts."""
    block = b"\xff" * 4096
    while at - 4096 >= start and data[at - 4096:at] == block:
        at -= 4096
    while at > start and data[at - 1] == 0xFF:
        at -= 1
    return at


def _quantisation(body: bytes, layout: Layout) -> None:
    at = 0
    while at < len(body):
        wide, number = body[at] >> 4, body[at] & 15
        size = 128 if wide else 64
        values = body[at + 1:at + 1 + size]
        if len(values) < size or wide > 1 or number > 3:
            raise _damaged("a quantisation table is cut short")
        layout.tables[number] = tuple(values if not wide else
                                      (int.from_bytes(values[i:i + 2], "big") for i in range(0, 128, 2)))
        at += 1 + size


def _note_detail(scan: bytes, layout: Layout) -> None:
    """Note how many low bits the channels of a scan lack after it, for each of their 64 coefficients.

    A scan that is not progressive has all of them (T.81, tables B.3 and G.1).
    """
    first, last, low = 0, 63, 0
    if layout.coding.endswith("progressive"):
        first, last, low = scan[-3], min(scan[-2], 63), min(scan[-1] & 15, _NEVER - 1)
    for number in scan[1:-3:2]:
        lacking = layout.lacking.setdefault(number, list(_NOTHING))
        for coefficient in range(first, last + 1):
            lacking[coefficient] = low


def _broken_off(layout: Layout, how: str, accept_damaged: bool) -> Layout:
    if not layout.scans or not (accept_damaged or layout.has_all_detail):
        raise _damaged(how)
    last = layout.body[-1]
    layout.end, layout.complete = last[1] if isinstance(last, tuple) else last.end, False
    return _checked(layout, accept_damaged)


def _checked(layout: Layout, accept_damaged: bool) -> Layout:
    if not layout.scans:
        raise _damaged("it holds no picture data")
    if not layout.width or not layout.height:
        raise _damaged("it does not say how large it is")
    missing = [component.table for component in layout.components if component.table not in layout.tables]
    if missing and layout.scans == 1:
        raise _damaged("a quantisation table is missing")
    if not accept_damaged and not layout.has_all_channels:
        raise _damaged("one of its channels is missing")
    return layout


def _damaged(why: str) -> Corrupt:
    return Corrupt(f"the JPEG is damaged or incomplete: {why}; use another copy of it")
