"""Photoshop pictures: the composite that Photoshop stores beside its layers.

Pillow knows it only with 8 bits a channel and below 30,000 pixels, and not whether a fourth channel
of RGB is transparency or just a selection that somebody saved. (Adobe Photoshop File Formats
Specification, November 2019.)
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from imagepipe.asset import Color
from imagepipe.codecs.decode_guard import corrupt
from imagepipe.codecs.header import Header
from imagepipe.errors import FormatNotAllowed

__all__ = ["Layout", "header_of", "layout"]

_NAME = "this PSD"
_MODES = {0: "1", 1: "L", 2: "P", 3: "RGB", 4: "CMYK", 8: "L", 9: "LAB"}  # of a duotone the grey is stored
_COLORS = {"1": 1, "L": 1, "P": 1, "RGB": 3, "CMYK": 4, "LAB": 3}
_DEPTHS = {"1": (1,), "L": (8, 16, 32), "P": (8,), "RGB": (8, 16, 32), "CMYK": (8, 16), "LAB": (8, 16)}
_OTHERS = {7: "separate spot inks (multichannel)"}
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
    palette: bytes  #: Of `P`: all reds, all greens, all blues.
    picture: int  #: Where the composite starts: two bytes of compression, then the data.

    @property
    def colors(self) -> int:
        """How many channels are the colour."""
        return _COLORS[self.mode]

    @property
    def row(self) -> int:
        """Bytes of a row of a channel."""
        return (self.width * self.depth + 7) // 8


def layout(data: bytes) -> Layout:
    """Read a PSD up to its composite. Raises `Corrupt`, `FormatNotAllowed` for kinds without a decoder."""
    if len(data) < 30:
        raise corrupt(_NAME, "it breaks off in its header")
    version, channels, height, width, depth, number = struct.unpack_from(">HxxxxxxHIIHH", data, 4)
    if version not in (1, 2) or not 1 <= channels <= 56 or depth not in (1, 8, 16, 32):
        raise corrupt(_NAME, "its header makes no sense")
    if number not in _MODES:
        what = _OTHERS.get(number, f"an unknown colour mode (number {number})")
        raise FormatNotAllowed(f"a Photoshop picture of {what} cannot be decoded here; save it as JPEG or PNG")
    mode = _MODES[number]
    colors = _COLORS[mode]
    if depth not in _DEPTHS[mode]:
        raise corrupt(_NAME, f"it says that {mode} has {depth} bits a channel")
    if channels < colors:
        raise corrupt(_NAME, f"it has {channels} channels where {mode} has {colors}")
    at = 26
    size = _number(data, at, 4)
    palette = data[at + 4:at + 4 + size] if mode == "P" else b""
    if mode == "P" and len(palette) < 768:
        raise corrupt(_NAME, f"its palette has {len(palette) // 3} of 256 colours")
    at += 4 + size
    size = _number(data, at, 4)
    icc = _profile_in(data[at + 4:at + 4 + size])
    at += 4 + size
    wide = 8 if version == 2 else 4
    size = _number(data, at, wide)
    # The count of layers is negative where the first channel after the colours is the composite's transparency.
    layers = int.from_bytes(data[at + 2 * wide:at + 2 * wide + 2], "big", signed=True) if size > wide + 2 else 0
    return Layout(version == 2, width, height, depth, channels, mode, layers < 0 and channels > colors, icc,
                  palette, at + wide + size)


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
    return Header("psd", found.width, found.height,
                  has_alpha=found.transparent and found.mode not in ("CMYK", "LAB"), bit_depth=found.depth,
                  channels=_CHANNELS.get(found.mode, "rgb"), color=Color(icc=found.icc))
