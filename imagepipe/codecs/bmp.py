"""BMP: what its header says (Microsoft: BITMAPFILEHEADER, BITMAPCOREHEADER to BITMAPV5HEADER; OS/2 2.0)."""

from __future__ import annotations

import struct

from imagepipe.asset import Color
from imagepipe.codecs import profile
from imagepipe.codecs.header import Header
from imagepipe.errors import Corrupt, FormatNotAllowed, NotAnImage

_SIZES = frozenset({12, 16, 40, 52, 56, 64, 108, 124})  #: Of the second header; it names the version.
_RGB, _RLE8, _RLE4, _BITFIELDS, _JPEG, _PNG, _ALPHA_BITFIELDS = 0, 1, 2, 3, 4, 5, 6
_DEPTHS = {_RGB: (1, 2, 4, 8, 16, 24, 32), _RLE8: (8,), _RLE4: (4,), _BITFIELDS: (16, 32), _ALPHA_BITFIELDS: (16, 32)}
_EMBEDDED = 0x4D424544  # "MBED": a profile is in the file


def read_header(data: bytes, *, accept_damaged: bool = False) -> Header:
    """Return what the header says.

    Raises `NotAnImage`, `Corrupt` where it contradicts itself or rows are missing, and
    `FormatNotAllowed` for a JPEG or PNG in disguise.
    """
    if data[:2] != b"BM" or len(data) < 26:
        raise NotAnImage("this is no BMP: it does not start like one")
    offset, size = struct.unpack_from("<II", data, 10)
    if size not in _SIZES:
        raise NotAnImage(f"this is no BMP of a known version: its header has {size} bytes")
    if len(data) < 14 + size:
        raise Corrupt("the BMP breaks off within its header")
    compression = 0
    if size == 12:
        width, height, planes, depth = struct.unpack_from("<HHHH", data, 18)
    else:
        width, height, planes, depth = struct.unpack_from("<iiHH", data, 18)
        compression = struct.unpack_from("<I", data, 30)[0] if size >= 40 else 0
    if compression in (_JPEG, _PNG):
        raise FormatNotAllowed("a BMP that holds a JPEG or a PNG, as printers take it; save it as that")
    if size == 64 and compression in (_BITFIELDS, _JPEG):
        raise FormatNotAllowed("a BMP of OS/2 with fax or 24-bit run-length coding; save it as a PNG")
    if width <= 0 or not height or height == -2**31 or planes != 1 or depth not in _DEPTHS.get(compression, ()):
        raise Corrupt(f"the BMP makes no sense: {width} x {height} pixels of {depth} bits, compression {compression}")
    if height < 0 and compression in (_RLE8, _RLE4):
        raise Corrupt("the BMP makes no sense: run-length coding from the top down")
    notes = _length(data, offset, 14 + size, width * depth, abs(height), compression, accept_damaged)
    if height < 0:
        notes.append("rows from the top down")
    icc = _profile(data, size)
    return Header(
        "bmp", width, abs(height),
        has_alpha=depth in (16, 32) and _alpha(data, size, compression) != 0,
        bit_depth=1 if depth == 1 else 8,
        channels="palette" if depth <= 8 else "rgb",
        color=Color(icc=icc),
        notes=tuple(notes),
    )


def _length(data: bytes, offset: int, headers: int, row_bits: int, height: int, compression: int,
            accept_damaged: bool) -> list[str]:
    """Check that the rows are there, and return notes."""
    if offset < headers or offset >= len(data):
        raise Corrupt("the BMP is damaged or incomplete: its rows are not where it says")
    if compression in (_RLE8, _RLE4):
        return []  # how long it has to be only decoding can tell
    length = (row_bits + 31) // 32 * 4 * height
    missing = length - (len(data) - offset)
    if missing > 0 and not accept_damaged:
        raise Corrupt(f"the BMP is incomplete: {missing:,} bytes of {length:,} are missing")
    return []


def _alpha(data: bytes, size: int, compression: int) -> int:
    """Return the mask of the alpha channel; 0 where there is none."""
    if size in (56, 108, 124) and compression in (_BITFIELDS, _ALPHA_BITFIELDS):
        return int(struct.unpack_from("<I", data, 14 + 52)[0])
    if compression == _ALPHA_BITFIELDS and len(data) >= 14 + 56:
        return int(struct.unpack_from("<I", data, 14 + 52)[0])
    return 0


def _profile(data: bytes, size: int) -> bytes | None:
    """Return the embedded profile of a V5 header, if it is sound."""
    if size != 124 or struct.unpack_from("<I", data, 14 + 56)[0] != _EMBEDDED:
        return None
    start, length = struct.unpack_from("<II", data, 14 + 112)
    return profile.sound(data[14 + start:14 + start + length], "rgb") if length <= profile.MAX_PROFILE else None
