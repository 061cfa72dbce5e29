"""Photoshop pictures: the composite that Photoshop stores beside its layers.

Pillow decodes it at 8 bits. Here are read what Pillow does not know: 16 bits a channel, files above
30,000 pixels (PSB), and whether a fourth channel of RGB is transparency or just a selection that
somebody saved. (Adobe Photoshop File Formats Specification, November 2019.)
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from PIL import Image, ImageChops

from imagepipe.asset import Color
from imagepipe.codecs.decode_guard import corrupt
from imagepipe.codecs.decode_modes import from_sixteen
from imagepipe.codecs.header import Header
from imagepipe.errors import FormatNotAllowed

__all__ = ["Layout", "composite", "header_of", "layout"]

_NAME = "this PSD"
_MODES = {0: ("1", 1), 1: ("L", 1), 2: ("P", 1), 3: ("RGB", 3), 4: ("CMYK", 4), 8: ("L", 1), 9: ("LAB", 3)}
_CHANNELS = {"1": "bilevel", "L": "gray", "P": "palette", "CMYK": "cmyk", "LAB": "lab"}
_PROFILE = 1039  # the image resource that holds the ICC profile


@dataclass(frozen=True, slots=True)
class Layout:
    """What the header and the section lengths of a PSD say."""

    large: bool  #: PSB: some lengths have twice the bytes.
    width: int
    height: int
    depth: int
    channels: int
    mode: str  #: Pillow's, without alpha.
    transparent: bool  #: The channel after the colours is the transparency of the composite.
    icc: bytes | None
    picture: int  #: Where the composite starts: two bytes of compression, then the data.

    @property
    def by_pillow(self) -> bool:
        """Whether Pillow decodes it."""
        return not self.large and (self.depth == 8 or self.mode == "1")


def layout(data: bytes) -> Layout:
    """Read a PSD up to its composite. Raises `Corrupt`, `FormatNotAllowed` for kinds without a decoder."""
    if len(data) < 30:
        raise corrupt(_NAME, "it breaks off in its header")
    version, channels, height, width, depth, number = struct.unpack_from(">HxxxxxxHIIHH", data, 4)
    if version not in (1, 2) or not 1 <= channels <= 56 or depth not in (1, 8, 16, 32):
        raise corrupt(_NAME, "its header makes no sense")
    if number not in _MODES or depth == 32:
        what = "32 bits a channel" if depth == 32 else f"colour mode {number}"
        raise FormatNotAllowed(f"a Photoshop picture of {what} cannot be decoded here; save it as JPEG or PNG")
    mode, colors = _MODES[number]
    if channels < colors:
        raise corrupt(_NAME, f"it has {channels} channels where {mode} has {colors}")
    at = 26
    at += 4 + _number(data, at, 4)  # the palette
    size = _number(data, at, 4)
    icc = _profile_in(data[at + 4:at + 4 + size])
    at += 4 + size
    wide = 8 if version == 2 else 4
    size = _number(data, at, wide)
    # The count of layers is negative where the first channel after the colours is the composite's transparency.
    layers = int.from_bytes(data[at + 2 * wide:at + 2 * wide + 2], "big", signed=True) if size > wide + 2 else 0
    return Layout(version == 2, width, height, depth, channels, mode, layers < 0 and channels > colors, icc,
                  at + wide + size)


def _number(data: bytes, at: int, size: int) -> int:
    """Return a length. Raises `Corrupt` where the file has ended before."""
    if at + size > len(data):
        raise corrupt(_NAME, "it breaks off before its picture")
    return int.from_bytes(data[at:at + size], "big")


def _profile_in(resources: bytes) -> bytes | None:
    """Return the ICC profile among the image resources; None where there is none, or they make no sense."""
    at = 0
    while resources[at:at + 4] == b"8BIM" and at + 12 <= len(resources):
        number = int.from_bytes(resources[at + 4:at + 6], "big")
        start = at + 6 + (resources[at + 6] + 2) // 2 * 2  # a name, padded to even with its length byte
        size = int.from_bytes(resources[start:start + 4], "big")
        if number == _PROFILE:
            icc = resources[start + 4:start + 4 + size]
            return icc if len(icc) == size >= 128 else None
        at = start + 4 + size + size % 2
    return None


def header_of(data: bytes) -> Header:
    """Return what a PSD says of its composite."""
    found = layout(data)
    return Header("psd", found.width, found.height, has_alpha=found.transparent, bit_depth=found.depth,
                  channels=_CHANNELS.get(found.mode, "rgb"), color=Color(icc=found.icc))


def composite(data: bytes, found: Layout) -> Image.Image:
    """Decode what Pillow does not: a composite of 16 bits a channel, scaled to 8, or of a PSB. Raises `Corrupt`."""
    import numpy as np  # comes with simplejpeg

    count = len(Image.new(found.mode, (1, 1)).getbands()) + found.transparent
    compression = _number(data, found.picture, 2)
    at = found.picture + 2
    row = found.width * found.depth // 8
    if found.mode in ("1", "P"):
        raise FormatNotAllowed("a large Photoshop picture (PSB) of this colour mode cannot be decoded here; "
                               "save it as JPEG or PNG")
    bands = []
    if compression == 0:
        size = row * found.height
        for band in range(count):
            plane = data[at + band * size:at + (band + 1) * size]
            if len(plane) < size:
                raise corrupt(_NAME, f"{len(data) - at:,} of {size * count:,} bytes of its picture are there")
            bands.append(_band(plane, found, "raw"))
    elif compression == 1:
        wide, lines = (4 if found.large else 2), found.channels * found.height
        if at + wide * lines > len(data):
            raise corrupt(_NAME, "it breaks off before its picture")
        lengths = np.frombuffer(data, dtype=f">u{wide}", count=lines, offset=at).reshape(found.channels, found.height)
        at += wide * lines
        for band in range(count):
            size = int(lengths[band].sum(dtype=np.int64))
            if at + size > len(data):
                raise corrupt(_NAME, "it breaks off in its picture")
            bands.append(_band(data[at:at + size], found, "packbits"))
            at += size
    else:
        raise FormatNotAllowed("a Photoshop picture of this compression cannot be decoded here; save it as JPEG or PNG")
    if found.mode == "CMYK":  # Photoshop stores inks inverted
        bands = [ImageChops.invert(band) for band in bands[:4]] + bands[4:]
    if found.mode in ("CMYK", "LAB") and found.transparent:
        bands.pop()
    mode = found.mode + "A" * (found.transparent and found.mode in ("L", "RGB"))
    return bands[0] if mode == "L" else Image.merge(mode, bands)


def _band(plane: bytes, found: Layout, decoder: str) -> Image.Image:
    """Return one channel with 8 bits. Raises what Pillow raises where data are missing."""
    size = (found.width, found.height)
    if found.depth == 16:
        arguments = ("I;16B", 0, 1) if decoder == "raw" else ("I;16B",)
        return from_sixteen(Image.frombytes("I;16", size, plane, decoder, *arguments))
    return Image.frombytes("L", size, plane, decoder, *(("L", 0, 1) if decoder == "raw" else ("L",)))
