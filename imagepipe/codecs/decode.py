"""Every type on the allow-list, decoded to `Pixels`: whole, strictly, within limits.

The order is always the same: the container is read without a decoder, its numbers are compared
with the limits, memory is reserved, and only then is something decoded. What a decoder raises
becomes `Corrupt`. Colour is not converted here, but bits are: frames have 8 bits a channel.

Some doubtful cases, and what was decided:

- 16-bit pictures are scaled to 8 bits with rounding (`decode_modes`), HEIC of 10 and 12 bits too, and
  what that leaves over is kept beside them where colours are still to be converted (`Frame.fine`). AVIF is
  scaled by libavif; of animated 16-bit PNGs Pillow takes the high bytes, at most 1/255 off.
- A PNG without its end is refused although its rows may be there: `codecs.png` says so.
- `accept_damaged` does not use Pillow's `LOAD_TRUNCATED_IMAGES`, which all threads share: what a
  decoder left behind when it failed is taken.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from PIL import Image

from imagepipe import budget, codecs
from imagepipe.asset import Color, Frame, Pixels
from imagepipe.codecs import (
    decode_apng,
    decode_bmp,
    decode_gif,
    decode_ico,
    decode_jpeg,
    decode_pillow,
    decode_png,
    decode_psd,
    exif,
    extras,
    pam,
    webp,
)
from imagepipe.codecs.decode_avif import finished
from imagepipe.codecs.decode_guard import corrupt, shielded
from imagepipe.codecs.decode_modes import FINE, opaque, plain
from imagepipe.codecs.header import Header
from imagepipe.codecs.statements import statement
from imagepipe.errors import Corrupt, ImageError, NotAnImage

__all__ = ["MAX_FRAMES", "MAX_PIXELS", "Decoded", "Verified", "decode", "decode_fully", "read_any_header", "verify"]

MAX_PIXELS = 200_000_000  #: Over all frames.
MAX_FRAMES = 150

_WALKED = frozenset({"jpeg", "png", "gif", "webp", "bmp", "wbmp", "xbm"})  # `codecs.read_header` reads these
_ANIMATED = frozenset({"gif", "webp", "png", "avif"})
_UPRIGHT = frozenset({"tiff", "heic", "raw", "jxl"})  # their decoders apply the orientation
_ANY = 1 << 80  # pixels: a header may say anything, `check` compares it with the limits
_WORK = 9  # bytes a pixel at the peak of a preparation: a picture, its turned or converted copy, and a bit
_HEIC_WORK = 10  # the same, and what is left of libheif's own planes; measured with 200 MP in Display P3
_DEEP_WORK = 22  # the same of 16-bit colour: its high and low bytes, what is between them, and the result
_FIXED = 32_000_000  # what decoders take for themselves
_NAMES = {"heic": "HEIC", "jpeg2000": "JPEG 2000", "raw": "raw file", "jxl": "JPEG XL", "webp": "WebP"}
_GLANCE = 256  # longest edge, at least, of the small picture that verifying a JPEG gives


@dataclass(frozen=True, slots=True)
class Decoded:
    """A decoded picture and what there is to say about it."""

    pixels: Pixels
    header: Header
    notes: tuple[str, ...] = ()
    damaged: bool = False  #: Parts are missing or wrong; only where that was accepted.
    fingerprint: str | None = None  #: JPEG: SHA-256 of the rebuilt stream.


@dataclass(frozen=True, slots=True)
class Verified:
    """A picture that was decoded strictly, without keeping its pixels."""

    glance: Image.Image  #: The first frame, for JPEG much smaller; as stored, not turned upright.
    notes: tuple[str, ...] = ()
    damaged: bool = False
    fingerprint: str | None = None  #: JPEG: SHA-256 of the rebuilt stream.
    opaque: bool = True  #: No frame has a pixel that is not shown in full.
    shown_everywhere: bool = True  #: False where browsers do not decode it, or decoders remark or differ.
    pixels: Pixels | None = field(default=None, repr=False)  #: Where they were decoded anyway and asked for.


def name_of(format: str) -> str:
    """Return how a sentence names a picture of a type."""
    return f"this {_NAMES.get(format, format.upper())}"


def read_any_header(data: bytes, format: str, *, accept_damaged: bool = False) -> Header:
    """Return what the container of any allowed type says, without decoding it.

    Raises `Corrupt` or `NotAnImage`; `FormatNotAllowed` for what needs a package that is missing.
    """
    with shielded(name_of(format), _ANY):
        if format in _WALKED:
            header = _walked(data, format, accept_damaged)
        elif format == "heic":
            from imagepipe.codecs.decode_heif import peek_heif

            header = peek_heif(data)
        elif format in extras.FORMATS:
            header = extras.peek_extra(data, format)
        elif format == "psd":
            header = decode_psd.header_of(data)
        elif format == "ico":
            header = decode_ico.peek(data)
        elif format == "tiff":
            from imagepipe.codecs.decode_tiff import peek_tiff  # loads NumPy

            header = peek_tiff(data)
        elif format == "ppm" and pam.is_ours(data):
            header = pam.read_header(data, accept_damaged=accept_damaged)
        elif format in decode_pillow.PLUGINS:
            header = decode_pillow.peek(data, format)
        else:
            raise NotAnImage(f"{format!r} is no type that is taken")
    if header.width < 1 or header.height < 1:
        raise corrupt(name_of(format), f"it says it is {header.width} x {header.height} pixels")
    return header


def _walked(data: bytes, format: str, accept_damaged: bool) -> Header:
    """Return what a container says; where it is broken and that is accepted, what can be made out of its start."""
    try:
        return codecs.read_header(data, format, accept_damaged=accept_damaged)
    except Corrupt:
        if not accept_damaged or format in ("jpeg", "wbmp", "xbm"):
            raise
        return decode_png.first_header(data) if format == "png" else decode_pillow.peek(data, format)


def check(header: Header, max_pixels: int = MAX_PIXELS, max_frames: int = MAX_FRAMES) -> None:
    """Raise `TooManyPixels` or `TooManyFrames` where the header says that there are more than may be."""
    if header.width * header.height > max_pixels:
        raise decode_pillow.too_many_pixels(header.width, header.height, 1, max_pixels)
    if header.frames > max_frames:
        raise decode_pillow.too_many_frames(header.frames, max_frames)
    if header.width * header.height * header.frames > max_pixels:
        raise decode_pillow.too_many_pixels(header.width, header.height, header.frames, max_pixels)


def decode(data: bytes, format: str, *, header: Header | None = None, max_edge: int | None = None,
           max_pixels: int = MAX_PIXELS, max_frames: int = MAX_FRAMES, accept_damaged: bool = False,
           keep_metadata: bool = True) -> Pixels:
    """Return all frames of a picture, each whole.

    With `max_edge`, a JPEG is decoded at the smallest scale that is not below 1.5 times the size
    it will have. Frames are `L`, `LA`, `RGB`, `RGBA`, `CMYK` or `LAB`. Raises `Corrupt`,
    `TooManyPixels`, `TooManyFrames`, `NeedsMemory`.
    """
    return decode_fully(data, format, header=header, max_edge=max_edge, max_pixels=max_pixels, max_frames=max_frames,
                        accept_damaged=accept_damaged, keep_metadata=keep_metadata).pixels


def decode_fully(data: bytes, format: str, *, header: Header | None = None, max_edge: int | None = None,
                 max_pixels: int = MAX_PIXELS, max_frames: int = MAX_FRAMES, accept_damaged: bool = False,
                 keep_metadata: bool = True) -> Decoded:
    """Do what `decode` does, and say what was seen."""
    header = header or read_any_header(data, format, accept_damaged=accept_damaged)
    check(header, max_pixels, max_frames)
    least = decode_jpeg.scaled_size((header.width, header.height), max_edge) if format == "jpeg" else None
    width, height = least or (header.width, header.height)
    budget.reserve(len(data) * 2 + _peak(header, width * height) + _FIXED)
    notes: tuple[str, ...] = ()
    damaged = False
    fingerprint: str | None = None
    color = header.color
    frames: list[Frame] = []
    with shielded(name_of(format), header.width * header.height):
        if format == "jpeg":
            stream = _stream(data, accept_damaged)
            fingerprint = hashlib.sha256(stream).hexdigest()
            opened = decode_jpeg.decode_jpeg(stream, header, least, accept_damaged=accept_damaged)
            frames, notes, damaged = [Frame(opened.image)], opened.notes, opened.damaged
        elif format in _ANIMATED:
            animated = _Animated(data, header, max_frames, max_pixels, accept_damaged)
            frames = [Frame(image, duration) for image, duration in animated]
            if all(opaque(frame.image) for frame in frames):
                frames = [replace(frame, image=_without_alpha(frame.image)) for frame in frames]
            notes, damaged = animated.notes, animated.damaged
        else:
            image, notes, damaged, color = _one(data, header, accept_damaged)
            frames = [Frame(image)]
        frames = [_bare(frame) for frame in frames]
        kept = _metadata(data, format) if keep_metadata else {}
    return Decoded(
        Pixels(tuple(frames), loop=header.loop, color=color, quality=header.quality, subsampling=header.subsampling,
               orientation=1 if format in _UPRIGHT else header.orientation, metadata=kept),
        header, notes, damaged, fingerprint)


def _bare(frame: Frame) -> Frame:
    """Return a frame whose image has an empty `info`: what a plugin puts there finds its way into files."""
    fine = frame.image.info.get(FINE)
    frame.image.info = {}
    return frame if fine is None else replace(frame, fine=fine)


def verify(data: bytes, format: str, *, header: Header | None = None, max_pixels: int = MAX_PIXELS,
           max_frames: int = MAX_FRAMES, keep_pixels: bool = False) -> Verified:
    """Decode a JPEG, PNG, GIF or WebP strictly, all of it, and keep little: what it raises is what `decode` would.

    A JPEG is decoded at a small scale: that reads all its data, at about half the time. With
    `keep_pixels` the frames of the others, which are decoded in full anyway, are kept.
    """
    header = header or read_any_header(data, format)
    check(header, max_pixels, max_frames)
    if format == "jpeg":
        budget.reserve(len(data) * 2 + _coefficients(header) + header.width * header.height // 16 + _FIXED)
        stream = _stream(data, False)
        least = _glance_size(header)
        opened = decode_jpeg.decode_jpeg(stream, header, least)
        return Verified(opened.image, opened.notes, fingerprint=hashlib.sha256(stream).hexdigest(),
                        shown_everywhere=decode_jpeg.fits_browsers(stream) and not opened.notes)
    if keep_pixels or header.frames == 1:
        decoded = decode_fully(data, format, header=header, max_pixels=max_pixels, max_frames=max_frames)
        pixels = decoded.pixels
        return Verified(pixels.frames[0].image, decoded.notes,
                        opaque=all(opaque(frame.image) for frame in pixels.frames),
                        shown_everywhere=header.shown_alike,
                        pixels=pixels if keep_pixels else None)
    budget.reserve(len(data) * 2 + header.width * header.height * 4 * 4 + _FIXED)
    first: Image.Image | None = None
    solid = True
    with shielded(name_of(format), header.width * header.height):
        for image, _ in _Animated(data, header, max_frames, max_pixels, False):
            first = first or image
            solid = solid and opaque(image)
    if first is None:
        raise corrupt(name_of(format), "it has no frame")
    return Verified(first, opaque=solid, shown_everywhere=header.shown_alike)


def _glance_size(header: Header) -> tuple[int, int]:
    """Return the least size for a glance at a JPEG: enough for a likeness, an eighth of a photograph."""
    factor = min(1.0, _GLANCE / max(header.width, header.height))
    return max(1, int(header.width * factor)), max(1, int(header.height * factor))


def _peak(header: Header, pixels: int) -> int:
    """Return an estimate of the bytes that preparing a picture takes, decoded to `pixels` pixels a frame."""
    work = _HEIC_WORK if header.format == "heic" else _WORK
    if header.bit_depth > 8 and header.channels != "gray":
        work = _DEEP_WORK
    later = pixels * (4 * (header.frames - 1) + work)
    return max(later, pixels * 4 + _coefficients(header))


def _coefficients(header: Header) -> int:
    """Return what the decoder holds of a progressive JPEG: 16 bits a sample until the last scan is read."""
    if header.progressive_scans <= 1:
        return 0
    chroma = 3 if header.subsampling == "4:4:4" else 2
    return header.width * header.height * 2 * (1 if header.channels == "gray" else chroma)


def _stream(data: bytes, accept_damaged: bool) -> bytes:
    """Return the JPEG in a container of only what shows it."""
    from imagepipe.codecs import jpeg

    return jpeg.rebuild(data, accept_damaged=accept_damaged)


@dataclass(slots=True)
class _Animated:
    """The frames of a type that may be animated; after iterating, what there is to say."""

    data: bytes
    header: Header
    max_frames: int
    max_pixels: int
    accept_damaged: bool
    notes: tuple[str, ...] = ()
    damaged: bool = False

    def __iter__(self) -> Iterator[tuple[Image.Image, int]]:
        if not self.accept_damaged:
            yield from self._strictly()
            return
        came = 0
        try:
            with shielded(name_of(self.header.format), self.header.width * self.header.height):
                for frame in self._strictly():
                    came += 1
                    yield frame
        except Corrupt as error:
            self.damaged, self.notes = True, (f"damaged: {error}",)
        if not came:
            yield self._salvaged(), 0

    def _strictly(self) -> Iterator[tuple[Image.Image, int]]:
        data = self.data
        if self.header.format == "png":
            found = decode_png.parts(data, still=self.header.loop is None)
            decode_png.check_rows(found)
            if self.header.loop is not None:  # an animation
                yield from decode_apng.frames(found, self.max_frames, self.max_pixels)
                return
            if found.depth == 16:
                from imagepipe.color import is_srgb  # loads littleCMS

                yield decode_png.deep(found, fine=not is_srgb(self.header.color, self.header.channels)), 0
                return
            data = found.file()
        if self.header.format == "gif":
            yield from decode_gif.frames(data, self.header, self.max_frames, self.max_pixels, self.accept_damaged)
            return
        if self.header.format == "webp":  # what stays of its flags is what is true: Pillow believes them
            data = webp.rebuild(data, accept_damaged=self.accept_damaged)
            if self.header.has_alpha and data[12:16] == b"VP8X":  # holes between opaque frames are alpha too
                data = data[:20] + bytes((data[20] | 0x10,)) + data[21:]
        with decode_pillow.open_one(data, self.header.format) as image:
            if self.header.frames <= 1 and not getattr(image, "is_animated", False):
                image.load()
                yield self._finished(plain(image)), 0
            else:
                for frame, duration in decode_pillow.frames(image, self.header, self.max_frames, self.max_pixels):
                    yield self._finished(frame), duration

    def _finished(self, frame: Image.Image) -> Image.Image:
        """Return a frame with what its decoder left undone."""
        return finished(frame, self.data, self.header.frames) if self.header.format == "avif" else frame

    def _salvaged(self) -> Image.Image:
        """Return what can be seen of the first picture."""
        if self.header.format == "png":
            found = decode_png.parts(self.data)
            whole = decode_png.salvage(found)
            if found.depth == 16:
                return decode_png.deep(decode_png.parts(whole))
            with decode_pillow.open_one(whole, "png") as image:
                return plain(image)
        return decode_pillow.still(self.data, self.header, accept_damaged=True)[0]


def _one(data: bytes, header: Header, accept_damaged: bool) -> tuple[Image.Image, tuple[str, ...], bool, Color]:
    """Decode a type that has one picture."""
    format = header.format
    if format == "heic":
        from imagepipe.codecs.decode_heif import decode_heif

        return decode_heif(data), (), False, header.color
    if format in ("wbmp", "xbm"):
        from imagepipe.codecs import wbmp, xbm

        # Pillow has no reader of the one, and shows the other with black and white exchanged
        reader = wbmp if format == "wbmp" else xbm

        try:
            return plain(reader.decode(data)), (), False, header.color
        except Corrupt as error:
            if not accept_damaged:
                raise
            return plain(reader.decode(data, accept_damaged=True)), (f"damaged: {error}",), True, header.color
    if format == "ppm" and pam.is_ours(data):
        image, damaged = pam.decode(data)
        return _opaque_as_such(image), ("damaged: values are missing",) if damaged else (), damaged, header.color
    if format == "bmp":
        image, damaged = decode_bmp.decode(data, accept_damaged=accept_damaged)
        return image, ("damaged: rows are missing",) if damaged else (), damaged, header.color
    if format == "ico":
        return decode_ico.decode(data, header, accept_damaged=accept_damaged)
    if format in extras.FORMATS:
        image, color = extras.decode_extra(data, format)
        return image, (), False, color
    if format == "tiff":
        from imagepipe.codecs.decode_tiff import decode_tiff

        return decode_tiff(data, accept_damaged=accept_damaged)
    if format == "psd":
        from imagepipe.codecs.psd_pixels import composite

        image, notes, damage, color = composite(data, decode_psd.layout(data), accept_damaged=accept_damaged)
        return _opaque_as_such(image), (*notes, *_said(damage)), bool(damage), color
    image, notes, damaged = decode_pillow.still(data, header, accept_damaged=accept_damaged)
    return image, notes, damaged, header.color


def _said(damage: str) -> tuple[str, ...]:
    return (f"damaged: {damage}",) if damage else ()


def _opaque_as_such(image: Image.Image) -> Image.Image:
    return _without_alpha(image) if opaque(image) else image


def _without_alpha(image: Image.Image) -> Image.Image:
    """Return a picture without an alpha channel that hides nothing."""
    return image.convert(image.mode[:-1]) if image.mode in ("RGBA", "LA") else image


def _metadata(data: bytes, format: str) -> Mapping[str, bytes]:
    """Return EXIF, XMP and copyright, which may be kept on request; nothing where they cannot be read."""
    found: dict[str, bytes] = {}
    try:
        with shielded(name_of(format)):
            if format in ("jpeg", "png", "gif", "webp"):
                found = codecs.metadata(data, format)
            elif format == "heic":
                from imagepipe.codecs.decode_heif import metadata

                found = metadata(data)
            elif format in ("avif", "tiff"):
                found = decode_pillow.metadata(data, format)
            if found and format in ("heic", "avif", "tiff"):
                said = statement(exif.read(found.get("exif", b"")), found.get("xmp", b""))
                stated = {"copyright": said.copyright.encode(), "artist": said.artist.encode()}
                found |= {name: value for name, value in stated.items() if value}
    except ImageError:
        return {}  # what is beside a picture is no reason to refuse it
    return found
