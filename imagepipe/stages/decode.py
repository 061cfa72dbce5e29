"""Decode: what a picture is, whether it is whole, and its pixels where they will be needed."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from urllib.parse import urlsplit

from PIL import Image

from imagepipe.asset import Asset, Facts, Pixels, Received
from imagepipe.codecs import sniff
from imagepipe.codecs.decode import (
    MAX_FRAMES,
    MAX_PIXELS,
    Decoded,
    check,
    decode_fully,
    read_any_header,
    verify,
)
from imagepipe.codecs.header import Header
from imagepipe.codecs.webp import is_lossless
from imagepipe.errors import ConfigurationError, Corrupt, FormatNotAllowed, NotAnImage, TooLarge
from imagepipe.likeness import likeness, nearly_blank, upright_glance

_TAKEN = frozenset({"jpeg", "png", "gif", "webp"})  # may leave as they came, so their bytes are kept
_PREVIEW = 96  # pixels
_SHOWING = ("drawing", "document", "picture")  # of what can be looked at, in the names that `sniff` gives
_EXTENSIONS = {
    "jpg": "jpeg", "jpeg": "jpeg", "jpe": "jpeg", "jfif": "jpeg", "png": "png", "apng": "png", "gif": "gif",
    "webp": "webp", "bmp": "bmp", "dib": "bmp", "wbmp": "wbmp", "xbm": "xbm", "heic": "heic", "heif": "heic",
    "hif": "heic", "avif": "avif", "tif": "tiff", "tiff": "tiff", "jp2": "jpeg2000", "j2k": "jpeg2000",
    "psd": "psd", "tga": "tga", "ico": "ico", "ppm": "ppm", "pgm": "ppm", "pbm": "ppm", "jxl": "jxl",
}


@dataclass(frozen=True)
class Decode:
    """Say what a picture is and make sure that it is whole; decode it where its pixels will be needed.

    A JPEG that is upright and sRGB is decoded at a small scale, which verifies all of it. PNG, GIF
    and WebP are decoded in full and their pixels dropped unless orientation, colour, 16 bits or
    `max_edge` ask for them. What must change its type anyway comes out as pixels.
    """

    max_pixels: int = MAX_PIXELS  #: Over all frames.
    max_source_bytes: int = 256_000_000
    max_frames: int = MAX_FRAMES
    accept_damaged: bool = False  #: Take what can be decoded of a damaged picture, with the warning `damaged`.
    max_edge: int | None = None  #: The longest edge that will be wanted: allows decoding at a smaller scale.

    def __call__(self, asset: Asset) -> Asset:
        data = asset.data
        if data is None:
            if asset.pixels is not None:
                return asset
            raise ConfigurationError("Decode found neither data nor pixels; put Read in front of it")
        if len(data) > self.max_source_bytes:
            raise TooLarge(f"it has {len(data):,} bytes, the limit is {self.max_source_bytes:,}; "
                           "raise --max-source-bytes or save it smaller")
        name = _file_name(asset)
        format = _recognised(data, name)
        received = asset.received or Received(hashlib.sha256(data).hexdigest(), len(data))
        asset = asset.evolve(received=replace(received, format=format, is_lossy=format == "jpeg"))
        named = _EXTENSIONS.get(name.rpartition(".")[2].lower()) if "." in name else None
        if named is not None and named != format:
            asset = asset.evolve(note=f"named .{name.rpartition('.')[2].lower()}, but it is a {format.upper()}")
        try:
            return self._whole(asset, data, format)
        except Corrupt:
            if not self.accept_damaged:
                raise
            return self._damaged(asset, data, format)

    def _whole(self, asset: Asset, data: bytes, format: str) -> Asset:
        """Take a picture that is whole, or raise `Corrupt`."""
        header = read_any_header(data, format)
        check(header, self.max_pixels, self.max_frames)
        if format == "webp" and asset.received is not None:
            asset = asset.evolve(received=replace(asset.received, is_lossy=not is_lossless(data)))
        if format not in _TAKEN:
            return self._from_pixels(asset, self._decoded(data, header))
        wanted = self._pixels_wanted(header)
        if format == "jpeg" and wanted:
            return self._from_pixels(asset, self._decoded(data, header), data)
        verified = verify(data, format, header=header, max_pixels=self.max_pixels, max_frames=self.max_frames,
                          keep_pixels=wanted)
        if not verified.shown_everywhere:  # the container's note says why
            return self._from_pixels(asset, self._decoded(data, header))
        facts = _facts(header, has_alpha=header.has_alpha and not verified.opaque)
        return _seen(asset, verified.glance, header.orientation).evolve(
            facts=facts, pixels=verified.pixels, fingerprint=verified.fingerprint,
            notes=_said(asset, header, verified.notes))

    def _damaged(self, asset: Asset, data: bytes, format: str) -> Asset:
        """Take what can be decoded of a damaged picture."""
        header = read_any_header(data, format, accept_damaged=True)
        return self._from_pixels(asset.evolve(warning="damaged"), self._decoded(data, header, accept_damaged=True))

    def _decoded(self, data: bytes, header: Header, *, accept_damaged: bool = False) -> Decoded:
        return decode_fully(data, header.format, header=header, max_edge=self.max_edge, max_pixels=self.max_pixels,
                            max_frames=self.max_frames, accept_damaged=accept_damaged)

    def _pixels_wanted(self, header: Header) -> bool:
        """Say whether the picture cannot stay as it is, so that its pixels will be needed."""
        from imagepipe.color import is_srgb

        return (header.orientation != 1 or header.bit_depth > 8 or not is_srgb(header.color, header.channels)
                or (self.max_edge is not None and max(header.width, header.height) > self.max_edge))

    def _from_pixels(self, asset: Asset, decoded: Decoded, data: bytes | None = None) -> Asset:
        """Return the asset with its pixels, and with `data` where both agree."""
        header, pixels = decoded.header, decoded.pixels
        first = pixels.frames[0].image
        scaled = header.format == "jpeg" and first.size != (header.width, header.height)
        notes = decoded.notes
        if scaled:
            size = f"{first.width} x {first.height} of {header.width} x {header.height}"
            notes = (*notes, f"decoded at {size} pixels, as no more are wanted")
        if scaled or decoded.damaged:
            data = None
        facts = _facts(replace(header, width=first.width, height=first.height, frames=len(pixels.frames),
                               orientation=pixels.orientation, color=pixels.color),
                       has_alpha=any(frame.image.mode.endswith("A") for frame in pixels.frames))
        if data is None:
            facts = replace(facts, bit_depth=8)
        lossless = asset.lossless and not scaled and not decoded.damaged and header.bit_depth <= 8
        fingerprint = decoded.fingerprint
        if fingerprint is None and not decoded.damaged:
            fingerprint = _fingerprint(pixels)
        return _seen(asset, first, pixels.orientation).evolve(
            data=data, pixels=pixels, facts=facts, lossless=lossless, fingerprint=fingerprint,
            notes=_said(asset, header, notes))


def _fingerprint(pixels: Pixels) -> str | None:
    """Return the hash of what a still picture shows, whatever it was stored as; None for an animation."""
    if len(pixels.frames) > 1:
        return None
    image = pixels.frames[0].image
    digest = hashlib.sha256(repr((image.mode, image.size, pixels.orientation, pixels.color)).encode())
    for top in range(0, image.height, 256):  # in strips: a copy of all of it would be as large as the picture
        digest.update(image.crop((0, top, image.width, min(top + 256, image.height))).tobytes())
    return digest.hexdigest()


def _recognised(data: bytes, name: str) -> str:
    """Return the type that the content is of. Raises `NotAnImage` or `FormatNotAllowed` with its name and a hint."""
    kind = sniff.identify(data, name)
    if kind.format is not None:
        return kind.format
    message = f"this is {kind.name}, which is not taken" + (f"; {kind.hint}" if kind.hint else "")
    shows_something = any(word in kind.name for word in _SHOWING) and " no " not in kind.name
    raise (FormatNotAllowed if shows_something else NotAnImage)(message)


def _file_name(asset: Asset) -> str:
    """Return the name of the file or the last part of the address that a picture came from."""
    place = asset.location or asset.source
    path = urlsplit(place).path if "://" in place else place.replace("\\", "/")
    return PurePosixPath(path).name


def _facts(header: Header, *, has_alpha: bool) -> Facts:
    """Return what a header says, as facts."""
    from imagepipe.color import is_srgb

    return Facts(header.format, header.width, header.height, frames=header.frames, has_alpha=has_alpha,
                 bit_depth=header.bit_depth, orientation=header.orientation,
                 is_srgb=is_srgb(header.color, header.channels))


def _said(asset: Asset, header: Header, notes: tuple[str, ...]) -> tuple[str, ...]:
    """Return the asset's notes and those of the container and the decoder."""
    return (*asset.notes, *header.notes, *notes)


def _seen(asset: Asset, image: Image.Image, orientation: int) -> Asset:
    """Return the asset with what can be told from looking at it: likeness, preview, whether it is nearly blank."""
    glance = upright_glance(image, orientation)
    small = glance.copy()
    small.thumbnail((_PREVIEW, _PREVIEW), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    small.save(file, "JPEG", quality=80)
    return asset.evolve(likeness=likeness(glance), preview=file.getvalue(),
                        warning="nearly_blank" if nearly_blank(glance) else "")
