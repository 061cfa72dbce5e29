"""JPEG: what its container says, and the same picture in a container of only what shows it.

Kept are the tables, the frame and its scans byte for byte; JFIF without its thumbnail and Adobe's
APP14, because both decide how colour is decoded; the profile, if it is sound and not sRGB; the
orientation, if it is not 1. See ITU-T T.81 annex B, T.871 (JFIF), T.872 (APP14), ICC.1:2022 annex B.4.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from imagepipe.asset import Color
from imagepipe.codecs import exif as exif_codec
from imagepipe.codecs import profile
from imagepipe.codecs.container import Cleaned, Piece, assemble, ends, trailer, unique
from imagepipe.codecs.exif import Exif
from imagepipe.codecs.header import Header
from imagepipe.codecs.jpeg_tables import quality_of, subsampling_of
from imagepipe.codecs.jpeg_walk import APP0, COM, DNL, SOS, Layout, Segment, before_filling, is_table, walk
from imagepipe.codecs.statements import iptc_of, statement, upright

_APP1, _APP2, _APP11, _APP13, _APP14 = APP0 + 1, APP0 + 2, APP0 + 11, APP0 + 13, APP0 + 14
_XMP = b"http://ns.adobe.com/xap/1.0/\0"
_MORE_XMP = b"http://ns.adobe.com/xmp/extension/\0"
_ICC = b"ICC_PROFILE\0"
_PHOTOSHOP = b"Photoshop 3.0\0"
_GAIN_MAP = b"urn:iso:std:iso:ts:21496:-1\0"
_ALL_OF_IT = b"\0\x3f\0"  #: At the end of a scan's head: from the first coefficient to the last, in full.
_FILLED = re.compile(rb"\xff\xff\0")
_LARGEST = 65_535 - 2


@dataclass(slots=True)
class _Parts:
    """The parts around the picture that have a meaning, found among the segments before its first scan."""

    layout: Layout
    jfif: Segment | None = None
    adobe: Segment | None = None
    exif: Segment | None = None
    xmp: Segment | None = None
    profiles: list[Segment] = field(default_factory=list)
    icc: bytes | None = None
    iptc: bytes = b""
    said: Exif = Exif()  #: What the EXIF block says.
    names: dict[int, str] = field(default_factory=dict)  #: Of segments that show nothing, by where they start.
    notes: list[str] = field(default_factory=list)
    trailer: str = ""  #: What follows the end, in words.
    transform: int = 0  #: Of Adobe's APP14.

    @property
    def channels(self) -> str:
        """As in `Header`."""
        count = len(self.layout.components)
        return {1: "gray", 3: "rgb"}.get(count, "ycck" if self.transform else "cmyk")  # as libjpeg reads odd ones


def read_header(data: bytes, *, accept_damaged: bool = False) -> Header:
    """Return what the container says.

    Raises `NotAnImage`, `Corrupt` (where the last scan has not even begun, unless damage is
    accepted; whether it is whole only decoding tells), `FormatNotAllowed` for 12 bits, lossless
    and hierarchical coding, and `TooSlow` for more than 100 scans.
    """
    parts = _parts(data, walk(data, accept_damaged=accept_damaged))
    layout = parts.layout
    luma = layout.tables.get(layout.components[0].table)
    second = layout.components[min(1, len(layout.components) - 1)].table
    has_chroma = len(layout.components) == 3 and second != layout.components[0].table  # RGB has one table for all
    chroma = layout.tables.get(second) if has_chroma else None
    return Header(
        "jpeg", layout.width, layout.height,
        channels=parts.channels,
        orientation=parts.said.orientation,
        color=Color(icc=parts.icc),
        quality=quality_of(luma, chroma) if luma else None,
        subsampling=subsampling_of([component.factors for component in layout.components]),
        progressive_scans=layout.scans,
        hidden=_hidden(parts),
        notes=tuple(parts.notes),
    )


def rebuild(data: bytes, keep: frozenset[str] = frozenset(), *, accept_damaged: bool = False) -> bytes:
    """Return the picture in a container of only what shows it; `data` itself if it is one already.

    `keep` may name `copyright`, `icc`, `exif` and `xmp`. Raises as `read_header` does.
    """
    return clean(data, keep, accept_damaged=accept_damaged).data


def clean(data: bytes, keep: frozenset[str] = frozenset(), *, accept_damaged: bool = False) -> Cleaned:
    """Do what `rebuild` does, and say what was left out."""
    parts = _parts(data, walk(data, accept_damaged=accept_damaged))
    layout = parts.layout
    pieces: list[Piece] = [(0, 2)]
    kept: set[int] = set()  # where the segments start that are carried on
    exif = _exif_to_write(data, parts, keep)
    if exif and parts.exif is None:
        pieces.append(_segment(_APP1, exif_codec.PREFIX + exif))
    carries_icc = parts.icc is not None and profile.is_worth_keeping(parts.icc, keep)
    for segment in layout.head:
        if is_table(segment):
            pieces.append((segment.start, segment.end))
        elif segment is layout.frame:
            pieces.append(_frame(data, layout, segment))
        elif segment is parts.jfif:
            pieces.append(_jfif(segment.body(data)))
        elif segment is parts.adobe:
            pieces.append(_adobe(segment.body(data), len(layout.components)))
        elif segment is parts.exif and exif:
            pieces.append(_segment(_APP1, exif_codec.PREFIX + exif))
            if "exif" in keep:
                kept.add(segment.start)
        elif segment.marker == _APP1 and "xmp" in keep and segment.body(data).startswith((_XMP, _MORE_XMP)):
            kept.add(segment.start)
            body = segment.body(data)
            pieces.append((segment.start, segment.end) if segment is not parts.xmp else
                          _segment(_APP1, upright(body, parts.said.orientation)))
        elif carries_icc and parts.profiles and segment is parts.profiles[0]:
            pieces += _profile(parts.icc or b"")
    for part in layout.body:
        if isinstance(part, tuple):
            pieces += _data(data, *part)
        elif part.marker == SOS:
            pieces.append(_scan(data, layout, part))
        elif is_table(part):
            pieces.append((part.start, part.end))
    pieces.append((layout.end - 2, layout.end) if layout.complete else b"\xff\xd9")
    return Cleaned(assemble(data, pieces), _removed(parts, kept, exif, carries_icc), tuple(parts.notes))


def metadata(data: bytes) -> dict[str, bytes]:
    """Return what may be kept on request.

    `exif` (from its byte order on), `xmp`, `iptc`, and `copyright` and `artist` as UTF-8 text: those
    that are there.
    """
    parts = _parts(data, walk(data, accept_damaged=True))
    exif = parts.exif.body(data)[len(exif_codec.PREFIX):] if parts.exif else b""
    xmp = parts.xmp.body(data)[len(_XMP):] if parts.xmp else b""
    said = statement(parts.said, xmp, parts.iptc)
    found = {"exif": exif, "xmp": xmp, "iptc": parts.iptc, "copyright": said.copyright.encode(),
             "artist": said.artist.encode()}
    return {name: value for name, value in found.items() if value}


def _parts(data: bytes, layout: Layout) -> _Parts:
    parts = _Parts(layout)
    for segment in layout.head:
        if segment.marker == COM or APP0 <= segment.marker <= APP0 + 15:
            _sort(data, segment, parts)
        elif segment.marker == DNL:
            parts.notes.append("a stray marker (DNL)")
    for part in layout.body:
        if isinstance(part, Segment) and (part.marker == COM or APP0 <= part.marker <= APP0 + 15):
            parts.names[part.start] = "a comment" if part.marker == COM else f"APP{part.marker - APP0} data"
    if parts.exif:
        parts.said = exif_codec.read(parts.exif.body(data))
        parts.names[parts.exif.start] = str(parts.said)
    if parts.adobe:
        parts.transform = parts.adobe.body(data)[11]
    if parts.profiles:
        parts.icc = _joined(data, parts)
        if parts.icc is None:
            parts.notes.append("a broken colour profile, so sRGB is assumed")
    _oddities(data, parts)
    if layout.end < len(data):
        words, worth_naming = trailer(ends(data, layout.end))
        parts.trailer = words if worth_naming else ""
        if not worth_naming:
            parts.notes.append(f"{len(data) - layout.end:,} bytes of {words}")
    return parts


def _sort(data: bytes, segment: Segment, parts: _Parts) -> None:
    """Put a segment where it belongs. As in libjpeg, the last JFIF and the last Adobe marker count."""
    marker, body = segment.marker, segment.body(data)
    name = f"APP{marker - APP0} data"
    if marker == COM:
        name = "a comment"
    elif marker == APP0 and body.startswith(b"JFIF\0") and len(body) >= 14:
        parts.jfif = segment
        name = "a JFIF thumbnail" if len(body) > 14 else ""
    elif marker == APP0 and body.startswith(b"JFXX\0"):
        name = "a JFIF thumbnail"
    elif marker == _APP1 and body.startswith(exif_codec.PREFIX):
        parts.exif = parts.exif or segment
        name = "EXIF"
    elif marker == _APP1 and body.startswith(_XMP):
        parts.xmp = parts.xmp or segment
        name = "XMP with a gain map (Ultra HDR)" if b"hdrgm:" in body or b"hdr-gain-map" in body else "XMP"
    elif marker == _APP1 and body.startswith(_MORE_XMP):
        name = "extended XMP"
    elif marker == _APP2 and body.startswith(_ICC) and len(body) >= 14:
        parts.profiles.append(segment)
        name = ""
    elif marker == _APP2 and body.startswith(b"MPF\0"):
        name = "an index of further pictures (MPO)"
    elif marker == _APP2 and body.startswith(_GAIN_MAP):
        name = "a gain map (Ultra HDR)"
    elif marker == _APP11 and body.startswith(b"JP"):
        name = "content credentials (C2PA)" if b"c2pa" in body else "JUMBF data"
    elif marker == _APP13 and body.startswith(_PHOTOSHOP):
        records = iptc_of(body[len(_PHOTOSHOP):])
        parts.iptc = parts.iptc or records
        name = "IPTC" if records else "Photoshop data"
    elif marker == _APP14 and body.startswith(b"Adobe") and len(body) >= 12:
        parts.adobe = segment
        name = ""
    if name:
        parts.names[segment.start] = name


def _oddities(data: bytes, parts: _Parts) -> None:
    layout = parts.layout
    if layout.padding:
        parts.notes.append(f"{layout.padding:,} bytes of padding between its parts")
    if not layout.complete:
        parts.notes.append("its end marker is missing")
    if not layout.has_all_detail:
        parts.notes.append("its last scans are missing, which hold the fine detail")
    if layout.coding.startswith("arithmetic"):
        parts.notes.append("arithmetic coding, which few programs read")
    if layout.height_is_late:
        parts.notes.append("its height is stated only after its data")
    if parts.jfif:
        version = parts.jfif.body(data)[5]
        if version != 1:
            parts.notes.append(f"JFIF version {version}")


def _joined(data: bytes, parts: _Parts) -> bytes | None:
    """Return the profile from its numbered pieces; None unless each is there once and the whole is sound."""
    bodies = [segment.body(data) for segment in parts.profiles]
    numbered = {body[12]: body[14:] for body in bodies}
    count = len(bodies)
    if sorted(numbered) != list(range(1, count + 1)) or any(body[13] != count for body in bodies):
        return None
    return profile.sound(b"".join(numbered[number] for number in range(1, count + 1)), parts.channels)


def _profile(icc: bytes) -> list[Piece]:
    size = _LARGEST - 14
    chunks = [icc[at:at + size] for at in range(0, len(icc), size)]
    return [_segment(_APP2, _ICC + bytes((number, len(chunks))) + chunk) for number, chunk in enumerate(chunks, 1)]


def _exif_to_write(data: bytes, parts: _Parts, keep: frozenset[str]) -> bytes:
    """Return the EXIF block to carry: whole if asked for, else the orientation and the statement, if any."""
    if "exif" in keep and parts.exif:
        whole = exif_codec.with_orientation(parts.exif.body(data), parts.said.orientation)
        return whole.removeprefix(exif_codec.PREFIX)
    if "copyright" not in keep:
        return exif_codec.write(parts.said.orientation)
    xmp = parts.xmp.body(data)[len(_XMP):] if parts.xmp else b""
    return statement(parts.said, xmp, parts.iptc).exif(parts.said.orientation)


def _jfif(body: bytes) -> bytes:
    """Return a JFIF segment without a thumbnail, of a version that exists, and with a density that can be."""
    version = body[5:7] if body[5] == 1 and body[6] <= 2 else b"\1\1"
    units, across, down = body[7], body[8:10], body[10:12]
    if units > 2 or across == b"\0\0" or down == b"\0\0":
        units, across, down = 0, b"\0\1", b"\0\1"
    return _segment(APP0, b"JFIF\0" + version + bytes((units,)) + across + down + b"\0\0")


def _adobe(body: bytes, channels: int) -> bytes:
    """Return Adobe's segment with a transform that exists; others are taken for luminance and chroma (jdapimin.c)."""
    usual = {3: 1, 4: 2}.get(channels, body[11])
    return _segment(_APP14, body[:11] + bytes((body[11] if body[11] in (0, usual) else usual,)))


def _scan(data: bytes, layout: Layout, segment: Segment) -> Piece:
    """Return the head of a scan; outside progressive ones its last three bytes mean nothing, and have one legal value.

    Some cameras leave them at zero, on which decoders remark (T.81, table B.3; jdhuff.c).
    """
    if layout.coding.endswith("progressive") or data[segment.end - 3:segment.end] == _ALL_OF_IT:
        return (segment.start, segment.end)
    return data[segment.start:segment.end - 3] + _ALL_OF_IT


def _data(data: bytes, start: int, end: int) -> list[Piece]:
    """Return entropy-coded data without filling in front of a stuffed byte.

    Filling may stand only before a marker (T.81, B.1.1.5). Elsewhere libjpeg-turbo reads over it, or not, depending
    on where in its buffer it meets it.
    """
    pieces: list[Piece] = []
    for found in _FILLED.finditer(data, start, end):
        pieces.append((start, before_filling(data, found.start(), start)))
        start = found.end() - 2
    return [*pieces, (start, end)]


def _frame(data: bytes, layout: Layout, segment: Segment) -> Piece:
    if not layout.height_is_late:
        return (segment.start, segment.end)
    start = segment.start
    return data[start:start + 5] + layout.height.to_bytes(2, "big") + data[start + 7:segment.end]


def _segment(marker: int, body: bytes) -> bytes:
    return bytes((0xFF, marker)) + (len(body) + 2).to_bytes(2, "big") + body


def _hidden(parts: _Parts) -> tuple[str, ...]:
    names = [name for _, name in sorted(parts.names.items())]
    return unique([*names, parts.trailer] if parts.trailer else names)


def _removed(parts: _Parts, kept: set[int], exif: bytes, carries_icc: bool) -> tuple[str, ...]:
    names = []
    minimal = parts.exif is not None and bool(exif)
    for start, name in sorted(parts.names.items()):
        if start in kept:
            continue
        if minimal and parts.exif and start == parts.exif.start:
            if parts.exif.end - start == 4 + len(exif_codec.PREFIX) + len(exif):
                continue  # it was the smallest block already
            name += " but the orientation" if parts.said.orientation != 1 else " but the copyright"
        names.append(name)
    if parts.profiles and not carries_icc:
        names.append("the sRGB profile" if parts.icc else "a broken colour profile")
    return unique([*names, parts.trailer] if parts.trailer else names)
