"""PNG and APNG: what the container says, and the same picture in a container of only what shows it.

Kept are the palette, transparency, data, animation, and the one statement on colour that counts:
cICP; else a profile, if it is sound and not sRGB; else sRGB; else gAMA and cHRM (PNG, Third
Edition, section 13.13 and table 8). A profile that is sRGB goes, with the gAMA and cHRM that it
overrides. The orientation stays, as the smallest eXIf, if it is not 1.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field

from imagepipe.asset import Color
from imagepipe.codecs import exif as exif_codec
from imagepipe.codecs import profile
from imagepipe.codecs.container import Cleaned, Piece, assemble, ends, trailer, unique
from imagepipe.codecs.exif import Exif
from imagepipe.codecs.header import Header
from imagepipe.codecs.png_data import without_surplus
from imagepipe.codecs.png_walk import Chunk, Layout, walk
from imagepipe.codecs.statements import Statement, statement, upright

_CHANNELS = {0: "gray", 2: "rgb", 3: "palette", 4: "gray", 6: "rgb"}
_DATA = frozenset({b"IHDR", b"IDAT", b"IEND"})
_ANIMATION = frozenset({b"fcTL", b"fdAT"})
_COLOR = frozenset({b"cICP", b"iCCP", b"sRGB", b"gAMA", b"cHRM"})
_XMP = b"XML:com.adobe.xmp"
_PROFILE_NAME = b"ICC Profile"
_MAX_TEXT = 1_000_000  # of a packet that is kept on request
_TEXTS = frozenset({b"tEXt", b"zTXt", b"iTXt"})
_NAMES = {b"tIME": "the time of the last change", b"pHYs": "the density", b"sBIT": "the number of significant bits",
          b"bKGD": "a background colour", b"hIST": "a histogram", b"oFFs": "an offset", b"sPLT": "a suggested palette",
          b"caBX": "content credentials (C2PA)", b"iDOT": "data of Apple", b"mDCV": "data of a screen",
          b"cLLI": "light levels"}


@dataclass(slots=True)
class _Parts:
    """What a PNG says beside its pixels."""

    layout: Layout
    chosen: dict[bytes, Chunk] = field(default_factory=dict)  #: Of each kind that there is once, the one that counts.
    is_transparent: bool | None = None  #: By tRNS.
    color: dict[bytes, bytes] = field(default_factory=dict)  #: What cICP, gAMA and cHRM say.
    icc: bytes | None = None
    has_profile: bool = False  #: Sound or not.
    icc_is_smallest: bool = False  #: The chunk is as we would write it.
    exif: bytes = b""
    said: Exif = Exif()
    names: dict[int, str] = field(default_factory=dict)  #: Of chunks that show nothing, by where they start.
    notes: list[str] = field(default_factory=list)
    trailer: str = ""

    @property
    def is_animated(self) -> bool:
        """More than one picture is shown, or another one than stands in the data."""
        return len(self.layout.frames) > 1 or (bool(self.layout.frames) and self.layout.has_fallback)

    def texts(self, data: bytes) -> dict[bytes, bytes]:
        """Return the texts that may be kept on request, as UTF-8; compressed ones up to a megabyte."""
        found: dict[bytes, bytes] = {}
        tried: set[bytes] = set()  # each is read once, so that a thousand of them do not inflate to a gigabyte
        for chunk in self.layout.chunks:
            if chunk.kind not in _TEXTS or not chunk.is_intact:
                continue
            keyword, _, rest = chunk.body(data).partition(b"\0")
            if keyword not in (_XMP, b"Copyright", b"Author", b"Artist") or keyword in tried:
                continue
            tried.add(keyword)
            if chunk.kind == b"iTXt":
                packed, rest = rest[:1] == b"\1", rest[2:].split(b"\0", 2)[-1]
            else:
                packed, rest = chunk.kind == b"zTXt", rest[1:] if chunk.kind == b"zTXt" else rest
            plain = profile.inflated(rest, _MAX_TEXT) if packed else (rest[:_MAX_TEXT], True)
            if plain:
                text = plain[0] if chunk.kind == b"iTXt" else plain[0].decode("latin-1").encode()
                found[keyword] = text
        return found

    def effective(self) -> Color:
        """Return the statement on colour that counts."""
        if b"cICP" in self.color:
            first, transfer, matrix, full = self.color[b"cICP"]
            return Color(icc=self.icc, cicp=(first, transfer, matrix, full))
        if self.icc is not None or b"sRGB" in self.chosen:
            return Color(icc=self.icc)
        gamma, points = self.color.get(b"gAMA"), self.color.get(b"cHRM")
        return Color(
            gamma=int.from_bytes(gamma, "big") / 100_000 if gamma else None,
            chromaticities=tuple(int.from_bytes(points[at:at + 4], "big") / 100_000 for at in range(0, 32, 4))
            if points else None,
        )


def read_header(data: bytes, *, accept_damaged: bool = False) -> Header:
    """Return what the container says.

    Raises `NotAnImage`, `Corrupt` (a wrong checksum, an unknown part that a decoder needs, no end)
    and `TooSlow`.
    """
    parts = _parts(data, walk(data, accept_damaged=accept_damaged))
    layout = parts.layout
    return Header(
        "png", layout.width, layout.height,
        frames=len(layout.frames) if parts.is_animated else 1,
        has_alpha=layout.color_type in (4, 6) or bool(parts.is_transparent) or (
            parts.is_animated and layout.leaves_holes),
        bit_depth=8 if layout.color_type == 3 else layout.depth,
        channels="bilevel" if (layout.color_type, layout.depth) == (0, 1) else _CHANNELS[layout.color_type],
        orientation=parts.said.orientation,
        color=parts.effective(),
        loop=layout.plays if parts.is_animated else None,
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
    color = _color_to_write(parts, keep)
    changed = without_surplus(data, layout)
    pieces: list[Piece] = [(0, 8)]
    for chunk in layout.chunks:
        kind, as_it_is = chunk.kind, (chunk.start, chunk.end)
        if kind == b"IHDR":
            pieces += [as_it_is, *_extra(data, parts, keep)]
        elif chunk.start in changed and (kind == b"IDAT" or parts.is_animated):
            if kind == b"fdAT" or changed[chunk.start]:
                pieces.append(_chunk(kind, changed[chunk.start]))
        elif (kind == b"IDAT" and chunk.is_intact) or (kind in _ANIMATION and parts.is_animated):
            pieces.append(as_it_is)
        elif kind == b"IEND":
            pieces.append(_chunk(kind, b""))
        elif parts.chosen.get(kind) is not chunk:
            continue
        elif kind == b"acTL" and parts.is_animated:
            pieces.append(_chunk(kind, len(layout.frames).to_bytes(4, "big") + layout.plays.to_bytes(4, "big")))
        elif kind in (b"PLTE", b"tRNS") or kind in color:
            pieces.append(_profile(parts) if kind == b"iCCP" and not parts.icc_is_smallest else as_it_is)
    if not layout.complete:
        pieces.append(_chunk(b"IEND", b""))
    removed = _removed(parts, keep, color)
    if sum(map(len, changed.values())) < sum(chunk.size for chunk in layout.chunks if chunk.start in changed):
        removed = (*removed, "data that is no part of the picture")
    return Cleaned(assemble(data, pieces), removed, tuple(parts.notes))


def metadata(data: bytes) -> dict[str, bytes]:
    """Return what may be kept on request.

    `exif`, `xmp`, and `copyright` and `artist` as UTF-8 text: those that are there.
    """
    parts = _parts(data, walk(data, accept_damaged=True))
    xmp = parts.texts(data).get(_XMP, b"")
    said = _statement(data, parts)
    found = {"exif": parts.exif, "xmp": xmp, "copyright": said.copyright.encode(), "artist": said.artist.encode()}
    return {name: value for name, value in found.items() if value}


def _parts(data: bytes, layout: Layout) -> _Parts:
    parts = _Parts(layout)
    for chunk in layout.chunks:
        if chunk.kind in _DATA or chunk.kind in _ANIMATION:
            if chunk.kind in _ANIMATION and not layout.frames:
                parts.names[chunk.start] = "a broken animation"
        elif chunk.kind not in parts.chosen and _counts(data, chunk, parts):
            parts.chosen[chunk.kind] = chunk
        else:
            parts.names[chunk.start] = _name(data, chunk)
    if layout.color_type != 3 and (palette := parts.chosen.pop(b"PLTE", None)):
        parts.names[palette.start] = "a suggested palette"
    if exif := parts.chosen.get(b"eXIf"):
        parts.exif = exif.body(data).removeprefix(exif_codec.PREFIX)
        parts.said = exif_codec.read(parts.exif)
        parts.names[exif.start] = str(parts.said)
    if layout.frames and layout.claimed_frames != len(layout.frames):
        parts.notes.append(f"it claims {layout.claimed_frames:,} frames and has {len(layout.frames)}")
    if layout.has_fallback and layout.frames:
        parts.notes.append("programs that know no animation show a picture that is not part of it")
    if not layout.complete:
        parts.notes.append("the end is missing")
    if any(not chunk.is_intact for chunk in layout.chunks):
        parts.notes.append("a part with a wrong checksum")
    if layout.end < len(data):
        words, worth_naming = trailer(ends(data, layout.end))
        parts.trailer = words if worth_naming else ""
        if not worth_naming:
            parts.notes.append(f"{len(data) - layout.end:,} bytes of {words}")
    return parts


def _counts(data: bytes, chunk: Chunk, parts: _Parts) -> bool:
    """Return whether a chunk is one that decoders heed: known, intact, sound and in its place."""
    kind, body, seen = chunk.kind, chunk.body(data), parts.chosen
    if not chunk.is_intact and kind != b"PLTE":
        return False
    if chunk.start > parts.layout.first_data and kind not in (b"eXIf", b"PLTE"):
        return False
    if kind in _COLOR and b"PLTE" in seen:
        return False
    match kind:
        case b"PLTE" | b"eXIf":
            return True
        case b"acTL":
            return bool(parts.layout.frames)
        case b"tRNS":
            if parts.layout.color_type == 3 and b"PLTE" not in seen:
                return False
            parts.is_transparent = _is_transparent(body, parts.layout)
            return parts.is_transparent is not None
        case b"iCCP":
            return _take_profile(body, parts)
        case b"sRGB":
            return len(body) == 1 and body[0] <= 3
        case b"gAMA":
            return len(body) == 4 and 0 < int.from_bytes(body, "big") < 2**31 and _note(parts, kind, body)
        case b"cHRM":
            points = [int.from_bytes(body[at:at + 4], "big") for at in range(0, len(body), 4)]
            return len(body) == 32 and all(points[1::2]) and max(points) <= 200_000 and _note(parts, kind, body)
        case b"cICP":
            return len(body) == 4 and body[2] == 0 and body[3] <= 1 and _note(parts, kind, body)
        case _:
            return False


def _note(parts: _Parts, kind: bytes, body: bytes) -> bool:
    parts.color[kind] = body
    return True


def _is_transparent(body: bytes, layout: Layout) -> bool | None:
    """Return whether tRNS makes anything transparent; None where it is not what it should be."""
    if layout.color_type == 3:
        return min(body) < 255 if 0 < len(body) <= layout.colors else None
    return True if len(body) == {0: 2, 2: 6}.get(layout.color_type) else None


def _take_profile(body: bytes, parts: _Parts) -> bool:
    """Read a profile, the first that there is; False where it is broken, or would not end (the note says so)."""
    if parts.has_profile:
        return False
    parts.has_profile = True
    name, _, rest = body.partition(b"\0")
    inflated = profile.inflated(rest[1:]) if 1 <= len(name) <= 79 and rest[:1] == b"\0" else None
    icc = profile.sound(inflated[0], _CHANNELS[parts.layout.color_type]) if inflated else None
    if inflated is None or icc is None:
        parts.notes.append("a broken colour profile, which does not count")
        return False
    parts.icc = icc
    parts.icc_is_smallest = name == _PROFILE_NAME and inflated[1] and len(icc) == len(inflated[0])
    return True


def _color_to_write(parts: _Parts, keep: frozenset[str]) -> set[bytes]:
    """Return the kinds of chunks on colour to carry: what counts, and for older programs the next best."""
    color = {b"cICP"} & parts.chosen.keys()
    if parts.icc is not None:
        return color | ({b"iCCP"} if profile.is_worth_keeping(parts.icc, keep) else set())
    if b"sRGB" in parts.chosen:
        return color | {b"sRGB"}
    return color | ({b"gAMA", b"cHRM"} & parts.chosen.keys())


def _extra(data: bytes, parts: _Parts, keep: frozenset[str]) -> list[bytes]:
    """Return the chunks on other things than pixels: orientation, and what is kept on request."""
    said = _statement(data, parts) if "copyright" in keep else Statement()
    if "exif" in keep and parts.exif:
        exif = exif_codec.with_orientation(parts.exif, parts.said.orientation)
    else:
        exif = said.exif(parts.said.orientation)
    chunks = [_chunk(b"eXIf", exif)] if exif else []
    for keyword, text in ((b"Copyright", said.copyright), (b"Author", said.artist)):
        if text:
            chunks.append(_chunk(b"iTXt", keyword + b"\0\0\0\0\0" + text.encode()))
    xmp = parts.texts(data).get(_XMP) if "xmp" in keep else None
    if xmp:
        chunks.append(_chunk(b"iTXt", _XMP + b"\0\0\0\0\0" + upright(xmp, parts.said.orientation)))
    return chunks


def _statement(data: bytes, parts: _Parts) -> Statement:
    texts = {keyword: text.decode("utf-8", "replace") for keyword, text in parts.texts(data).items()}
    named = Statement(texts.get(b"Copyright", ""), texts.get(b"Author", "") or texts.get(b"Artist", ""))
    return statement(parts.said, parts.texts(data).get(_XMP, b""), text=named)


def _profile(parts: _Parts) -> bytes:
    return _chunk(b"iCCP", _PROFILE_NAME + b"\0\0" + zlib.compress(parts.icc or b"", 9))


def _chunk(kind: bytes, body: bytes) -> bytes:
    return len(body).to_bytes(4, "big") + kind + body + zlib.crc32(kind + body).to_bytes(4, "big")


def _name(data: bytes, chunk: Chunk) -> str:
    """Return what a chunk that shows nothing is, in words."""
    kind = chunk.kind
    if kind in _TEXTS:
        keyword = data[chunk.start + 8:chunk.start + 8 + 80].partition(b"\0")[0]
        if keyword == _XMP or keyword == b"Raw profile type xmp":
            return "XMP"
        return {b"Raw profile type exif": "EXIF", b"Raw profile type APP1": "EXIF",
                b"Raw profile type iptc": "IPTC"}.get(keyword, "text")
    if kind in _COLOR:
        return "a broken colour profile" if kind == b"iCCP" else "values on colour that do not count"
    return _NAMES.get(kind, "EXIF" if kind == b"eXIf" else f"{kind.decode('ascii')} data")


def _hidden(parts: _Parts) -> tuple[str, ...]:
    names = [name for _, name in sorted(parts.names.items())]
    return unique([*names, parts.trailer] if parts.trailer else names)


def _removed(parts: _Parts, keep: frozenset[str], color: set[bytes]) -> tuple[str, ...]:
    exif = parts.chosen.get(b"eXIf")
    names = []
    for start, name in sorted(parts.names.items()):
        if exif and start == exif.start:
            if "exif" in keep or parts.exif == exif_codec.write(parts.said.orientation):
                continue
            name += " but the orientation" if parts.said.orientation != 1 else ""
        if name == "XMP" and "xmp" in keep:
            continue
        names.append(name)
    if parts.icc is not None and b"iCCP" not in color:
        names.append("the sRGB profile")
    if (_COLOR - {b"iCCP"}) & parts.chosen.keys() - color:
        names.append("values on colour that do not count")
    return unique([*names, parts.trailer] if parts.trailer else names)
