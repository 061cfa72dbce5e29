"""WebP: what the container says, and the same picture in a container of only what shows it.

RFC 9649, section 2. A part counts only where the flags of VP8X announce it, as libwebp has it
(except alpha, which counts where it is). The rebuilt container is the simple one, without VP8X,
where nothing extended is left.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from imagepipe.asset import Color
from imagepipe.codecs import exif as exif_codec
from imagepipe.codecs import profile
from imagepipe.codecs.container import MAX_PARTS, Cleaned, Piece, assemble, ends, trailer, unique
from imagepipe.codecs.exif import Exif
from imagepipe.codecs.header import Header
from imagepipe.codecs.statements import Statement, statement, upright
from imagepipe.errors import Corrupt, NotAnImage, TooSlow

_ICC, _ALPHA, _EXIF, _XMP, _ANIMATION = 0x20, 0x10, 0x08, 0x04, 0x02


@dataclass(frozen=True, slots=True)
class _Chunk:
    kind: bytes
    start: int  #: Of its name.
    stop: int  #: Behind its body, before padding.
    end: int  #: Behind its padding.

    def body(self, data: bytes) -> bytes:
        return data[self.start + 8:self.stop]


@dataclass(frozen=True, slots=True)
class _Image:
    """One picture: its data, and its alpha where that is apart."""

    width: int
    height: int
    has_alpha: bool
    chunks: tuple[_Chunk, ...]  #: Perhaps ALPH, then `VP8 ` or VP8L.


@dataclass(slots=True)
class _Parts:
    """What a WebP holds."""

    width: int = 0
    height: int = 0
    flags: int = 0
    extended: _Chunk | None = None  #: VP8X.
    still: _Image | None = None
    animation: _Chunk | None = None  #: ANIM.
    frames: list[tuple[_Chunk, _Image]] = field(default_factory=list)  #: ANMF, and what is in it.
    chosen: dict[bytes, _Chunk] = field(default_factory=dict)  #: ICCP, EXIF and `XMP `, where they count.
    icc: bytes | None = None
    exif: bytes = b""
    said: Exif = Exif()
    has_wrong_flags: bool = False
    names: dict[int, str] = field(default_factory=dict)  #: Of chunks that show nothing, by where they start.
    notes: list[str] = field(default_factory=list)
    trailer: str = ""

    @property
    def has_alpha(self) -> bool:
        images = [self.still] if self.still else [image for _, image in self.frames]
        return any(image.has_alpha for image in images)


def is_lossless(data: bytes) -> bool:
    """Say whether every frame is compressed without loss. Raises what `read_header` raises."""
    parts = _parts(data, False)
    images = [parts.still] if parts.still else [image for _, image in parts.frames]
    return all(chunk.kind != b"VP8 " for image in images for chunk in image.chunks)


def read_header(data: bytes, *, accept_damaged: bool = False) -> Header:
    """Return what the container says.

    Raises `NotAnImage`, `Corrupt` where it breaks off or contradicts itself, and `TooSlow`.
    """
    parts = _parts(data, accept_damaged)
    loop = int.from_bytes(parts.animation.body(data)[4:6], "little") if parts.animation else None
    return Header(
        "webp", parts.width, parts.height,
        frames=max(len(parts.frames), 1),
        # frames of an animation may leave the canvas, which is transparent, uncovered
        has_alpha=parts.has_alpha or not _is_covered(data, parts),
        orientation=parts.said.orientation,
        color=Color(icc=parts.icc),
        loop=loop,
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
    parts = _parts(data, accept_damaged)
    exif = _exif_to_write(data, parts, keep)
    packet = parts.chosen.get(b"XMP ") if "xmp" in keep else None
    xmp = upright(packet.body(data), parts.said.orientation) if packet else b""
    icc = parts.icc if parts.icc is not None and profile.is_worth_keeping(parts.icc, keep) else b""
    apart = parts.still is not None and len(parts.still.chunks) > 1
    flags = ((_ICC if icc else 0) | (_EXIF if exif else 0) | (_XMP if xmp else 0)
             | (_ALPHA if parts.has_alpha else 0) | (_ANIMATION if parts.frames else 0))
    pieces: list[Piece] = []
    if icc or exif or xmp or apart or parts.frames:
        pieces.append(_chunk(b"VP8X", bytes((flags, 0, 0, 0)) + (parts.width - 1).to_bytes(3, "little")
                             + (parts.height - 1).to_bytes(3, "little")))
    pieces += [_chunk(b"ICCP", icc)] if icc else []
    if parts.still:
        pieces += _picture(parts.still)
    elif parts.animation:
        pieces.append(_chunk(b"ANIM", parts.animation.body(data)[:6]))
        for frame, image in parts.frames:
            inner = _picture(image)
            size = 16 + sum(len(piece) if isinstance(piece, bytes) else piece[1] - piece[0] for piece in inner)
            pieces += [b"ANMF" + size.to_bytes(4, "little"), (frame.start + 8, frame.start + 24), *inner]
    pieces += [_chunk(b"EXIF", exif)] if exif else []
    pieces += [_chunk(b"XMP ", xmp)] if xmp else []
    size = 4 + sum(len(piece) if isinstance(piece, bytes) else piece[1] - piece[0] for piece in pieces)
    pieces.insert(0, b"RIFF" + size.to_bytes(4, "little") + b"WEBP")
    return Cleaned(assemble(data, pieces), _removed(parts, exif, xmp, icc), tuple(parts.notes))


def metadata(data: bytes) -> dict[str, bytes]:
    """Return what may be kept on request.

    `exif`, `xmp`, and `copyright` and `artist` as UTF-8 text: those that are there.
    """
    parts = _parts(data, accept_damaged=True)
    packet = parts.chosen.get(b"XMP ")
    xmp = packet.body(data) if packet else b""
    said = statement(parts.said, xmp)
    found = {"exif": parts.exif, "xmp": xmp, "copyright": said.copyright.encode(), "artist": said.artist.encode()}
    return {name: value for name, value in found.items() if value}


def _chunks(data: bytes, at: int, end: int, accept_damaged: bool) -> Iterator[_Chunk]:
    """Yield the chunks between two positions. The last one's padding may be missing."""
    for _ in range(MAX_PARTS):
        if at >= end:
            return
        stop = at + 8 + int.from_bytes(data[at + 4:at + 8], "little")
        if at + 8 > end or stop > end:
            if accept_damaged:
                return
            raise Corrupt("the WebP is incomplete: it breaks off, or a length in it is wrong")
        following = min(stop + (stop - at & 1), end)
        yield _Chunk(data[at:at + 4], at, stop, following)
        at = following
    raise TooSlow(f"the WebP is cut into more than {MAX_PARTS:,} parts; save it again with another program")


def _parts(data: bytes, accept_damaged: bool) -> _Parts:
    if data[:4] != b"RIFF" or data[8:12] != b"WEBP":
        raise NotAnImage("this is no WebP: it does not start like one")
    end = 8 + int.from_bytes(data[4:8], "little")
    if end > len(data) and not accept_damaged:
        raise Corrupt(f"the WebP is incomplete: {end - len(data):,} bytes are missing")
    parts = _Parts()
    images: list[tuple[_Chunk, _Image]] = []
    alpha: _Chunk | None = None
    for chunk in _chunks(data, 12, min(end, len(data)), accept_damaged):
        if parts.still is not None and parts.extended is None:
            parts.names[chunk.start] = _name(chunk)  # the simple container holds one part
        elif chunk.start == 12 and chunk.kind == b"VP8X":
            _canvas(data, chunk, parts)
        elif chunk.start == 12 and chunk.kind not in (b"VP8 ", b"VP8L"):
            raise Corrupt("the WebP is damaged: it starts with neither a picture nor a description of one")
        elif chunk.kind in (b"VP8 ", b"VP8L"):
            if parts.still or parts.flags & _ANIMATION:
                raise Corrupt("the WebP is damaged: a picture where none may be")
            parts.still = _image(data, alpha, chunk)
        elif chunk.kind == b"ALPH" and parts.still is None and alpha is None:
            alpha = chunk
        elif chunk.kind == b"ANIM" and parts.animation is None and parts.flags & _ANIMATION and not images:
            if chunk.stop - chunk.start < 14:
                raise Corrupt("the WebP is damaged: the description of its animation is cut short")
            parts.animation = chunk
        elif chunk.kind == b"ANMF":
            if parts.animation is None:
                raise Corrupt("the WebP is damaged: a frame without an animation")
            images.append(_frame(data, chunk, parts, accept_damaged))
        elif chunk.kind in (b"ICCP", b"EXIF", b"XMP ") and chunk.kind not in parts.chosen:
            parts.chosen[chunk.kind] = chunk
        else:
            parts.names[chunk.start] = _name(chunk)
    parts.frames = images
    _checked(data, parts, alpha)
    _read(data, parts)
    if end < len(data):
        words, worth_naming = trailer(ends(data, end))
        parts.trailer = words if worth_naming else ""
        if not worth_naming:
            parts.notes.append(f"{len(data) - end:,} bytes of {words}")
    return parts


def _canvas(data: bytes, chunk: _Chunk, parts: _Parts) -> None:
    body = chunk.body(data)
    if len(body) < 10:
        raise Corrupt("the WebP is damaged: its description is cut short")
    parts.extended, parts.flags = chunk, body[0]
    parts.width = 1 + int.from_bytes(body[4:7], "little")
    parts.height = 1 + int.from_bytes(body[7:10], "little")


def _image(data: bytes, alpha: _Chunk | None, chunk: _Chunk) -> _Image:
    """Read the header of the picture itself: RFC 6386, section 9.1, or RFC 9649, section 3.4."""
    body = data[chunk.start + 8:min(chunk.stop, chunk.start + 18)]
    if chunk.kind == b"VP8L":
        bits = int.from_bytes(body[1:5], "little")
        if len(body) < 5 or body[0] != 0x2F or bits >> 29:
            raise Corrupt("the WebP is damaged: its data does not start as it should")
        width, height = 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
        return _Image(width, height, bool(bits >> 28 & 1), (chunk,))  # it holds its own alpha: ALPH does not count
    first = int.from_bytes(body[:3], "little")
    if len(body) < 10 or first & 1 or body[3:6] != b"\x9d\x01\x2a":
        raise Corrupt("the WebP is damaged: its data does not start as it should")
    width, height = int.from_bytes(body[6:8], "little") & 0x3FFF, int.from_bytes(body[8:10], "little") & 0x3FFF
    if not width or not height or first >> 5 > chunk.stop - chunk.start - 18:
        raise Corrupt("the WebP is damaged: its data is shorter than it says")
    return _Image(width, height, alpha is not None, (chunk,) if alpha is None else (alpha, chunk))


def _frame(data: bytes, chunk: _Chunk, parts: _Parts, accept_damaged: bool) -> tuple[_Chunk, _Image]:
    if chunk.stop - chunk.start < 24:
        raise Corrupt("the WebP is damaged: a frame of its animation is cut short")
    left, top, width, height = _rectangle(data, chunk)
    alpha: _Chunk | None = None
    image: _Image | None = None
    for inner in _chunks(data, chunk.start + 24, chunk.stop, accept_damaged):
        if inner.kind == b"ALPH" and alpha is None and image is None:
            alpha = inner
        elif inner.kind in (b"VP8 ", b"VP8L") and image is None:
            image = _image(data, alpha, inner)
        else:
            parts.names[inner.start] = _name(inner)
    if image is None or (image.width, image.height) != (width, height):
        raise Corrupt("the WebP is damaged: a frame of its animation is not what it says")
    if left + width > parts.width or top + height > parts.height:
        raise Corrupt("the WebP is damaged: a frame of its animation lies outside the picture")
    return chunk, image


def _rectangle(data: bytes, chunk: _Chunk) -> tuple[int, int, int, int]:
    left, top, width, height = (int.from_bytes(data[at:at + 3], "little")
                                for at in range(chunk.start + 8, chunk.start + 20, 3))
    return 2 * left, 2 * top, width + 1, height + 1


def _is_covered(data: bytes, parts: _Parts) -> bool:
    """Return whether the first frame fills the canvas, and none is wiped away again."""
    if not parts.frames:
        return True
    full = (0, 0, parts.width, parts.height)
    return _rectangle(data, parts.frames[0][0]) == full and not any(
        data[frame.start + 23] & 1 and _rectangle(data, following) != full
        for (frame, _), (following, _) in zip(parts.frames, parts.frames[1:], strict=False))


def _checked(data: bytes, parts: _Parts, alpha: _Chunk | None) -> None:
    if parts.flags & _ANIMATION:
        if not parts.frames:
            raise Corrupt("the WebP is damaged: an animation without a frame")
    elif parts.still is None:
        raise Corrupt("the WebP holds no picture data")
    elif parts.extended is None:
        parts.width, parts.height = parts.still.width, parts.still.height
    elif (parts.width, parts.height) != (parts.still.width, parts.still.height):
        raise Corrupt("the WebP is damaged: it states two sizes")
    if alpha is not None and (parts.still is None or alpha not in parts.still.chunks):
        parts.names[alpha.start] = "alpha that does not count"


def _read(data: bytes, parts: _Parts) -> None:
    """Read what counts by the flags, and put the rest among what shows nothing."""
    for kind, flag in ((b"ICCP", _ICC), (b"EXIF", _EXIF), (b"XMP ", _XMP)):
        chunk = parts.chosen.get(kind)
        if bool(parts.flags & flag) != (chunk is not None):
            parts.has_wrong_flags = True
        if chunk and not parts.flags & flag:
            parts.names[chunk.start] = _name(parts.chosen.pop(kind))
    if parts.extended and bool(parts.flags & _ALPHA) != parts.has_alpha:
        parts.has_wrong_flags = True
    if parts.has_wrong_flags:
        parts.notes.append("flags that do not say what is there")
    if icc := parts.chosen.get(b"ICCP"):
        parts.icc = profile.sound(icc.body(data), "rgb")
        if parts.icc is None:
            parts.notes.append("a broken colour profile, so sRGB is assumed")
    if exif := parts.chosen.get(b"EXIF"):
        parts.exif = exif.body(data).removeprefix(exif_codec.PREFIX)
        parts.said = exif_codec.read(parts.exif)
        parts.names[exif.start] = str(parts.said)
    if xmp := parts.chosen.get(b"XMP "):
        parts.names[xmp.start] = "XMP"


def _exif_to_write(data: bytes, parts: _Parts, keep: frozenset[str]) -> bytes:
    if "exif" in keep and parts.exif:
        return exif_codec.with_orientation(parts.exif, parts.said.orientation)
    packet = parts.chosen.get(b"XMP ")
    said = statement(parts.said, packet.body(data) if packet else b"") if "copyright" in keep else Statement()
    return said.exif(parts.said.orientation)


def _picture(image: _Image) -> list[Piece]:
    """Return the chunks of a picture, each with its padding as it is: libwebp reads it, if the data runs short."""
    pieces: list[Piece] = []
    for chunk in image.chunks:
        pieces.append((chunk.start, chunk.end))
        if (chunk.end - chunk.start) & 1:  # the padding is missing at the end
            pieces.append(b"\0")
    return pieces


def _chunk(kind: bytes, body: bytes) -> bytes:
    return kind + len(body).to_bytes(4, "little") + body + b"\0" * (len(body) & 1)


def _name(chunk: _Chunk) -> str:
    known = {b"EXIF": "EXIF", b"XMP ": "XMP", b"ICCP": "a colour profile that does not count",
             b"C2PA": "content credentials (C2PA)", b"ALPH": "alpha that does not count"}
    if chunk.kind in known:
        return known[chunk.kind]
    shown = chunk.kind.decode("ascii", "replace").strip()
    return f"{shown} data" if shown.isalnum() and shown.isascii() else "data of an unknown kind"


def _hidden(parts: _Parts) -> tuple[str, ...]:
    names = [name for _, name in sorted(parts.names.items())]
    return unique([*names, parts.trailer] if parts.trailer else names)


def _removed(parts: _Parts, exif: bytes, xmp: bytes, icc: bytes) -> tuple[str, ...]:
    names = []
    exif_at = parts.chosen[b"EXIF"].start if b"EXIF" in parts.chosen else -1
    for start, name in sorted(parts.names.items()):
        if start == exif_at and exif == parts.exif:
            continue
        if start == exif_at and parts.said.orientation != 1 and len(exif) < len(parts.exif):
            name += " but the orientation"
        if not (name == "XMP" and xmp):
            names.append(name)
    if b"ICCP" in parts.chosen and not icc:
        names.append("the sRGB profile" if parts.icc else "a broken colour profile")
    return unique([*names, parts.trailer] if parts.trailer else names)
