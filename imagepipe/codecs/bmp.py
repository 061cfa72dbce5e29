"""BMP: what its header says (Microsoft: BITMAPFILEHEADER, BITMAPCOREHEADER to BITMAPV5HEADER; OS/2 2.0)."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from imagepipe.asset import Color
from imagepipe.codecs import profile
from imagepipe.codecs.header import Header
from imagepipe.errors import Corrupt, FormatNotAllowed, NotAnImage

RGB, RLE8, RLE4, BITFIELDS, ALPHA_BITFIELDS = 0, 1, 2, 3, 6  #: Values of `Layout.compression`.

_SIZES = frozenset({12, 16, 40, 52, 56, 64, 108, 124})  #: Of the second header; it names the version.
_JPEG, _PNG = 4, 5
_DEPTHS = {RGB: (1, 2, 4, 8, 16, 24, 32), RLE8: (8,), RLE4: (4,), BITFIELDS: (16, 32), ALPHA_BITFIELDS: (16, 32)}
_PLAIN_MASKS = {16: (0x7C00, 0x3E0, 0x1F, 0), 32: (0xFF0000, 0xFF00, 0xFF, 0)}  # without masks in the file
_EMBEDDED = 0x4D424544  # "MBED": a profile is in the file


@dataclass(frozen=True, slots=True)
class Layout:
    """Where everything is in a BMP."""

    width: int
    height: int
    depth: int  #: Bits a pixel.
    compression: int
    start: int  #: Of the rows.
    size: int  #: Of the second header.
    is_top_down: bool = False
    masks: tuple[int, int, int, int] = (0, 0, 0, 0)  #: Of red, green, blue and alpha; 0 where there is none.
    palette: tuple[tuple[int, int, int], ...] = ()  #: Red, green and blue; where there are no more than 8 bits.

    @property
    def row_bytes(self) -> int:
        """Bytes of a row that is not compressed: a multiple of four."""
        return (self.width * self.depth + 31) // 32 * 4


def read_header(data: bytes, *, accept_damaged: bool = False) -> Header:
    """Return what the header says.

    Raises `NotAnImage`, `Corrupt` where it contradicts itself or rows are missing, and
    `FormatNotAllowed` for a JPEG or PNG in disguise.
    """
    found = layout(data)
    if found.compression not in (RLE8, RLE4):  # of those only decoding can tell how long they have to be
        length = found.row_bytes * found.height
        missing = length - (len(data) - found.start)
        if missing > 0 and not accept_damaged:
            raise Corrupt(f"the BMP is incomplete: {missing:,} bytes of {length:,} are missing")
    deep = any(_bits(mask) > 8 for mask in found.masks)
    return Header(
        "bmp", found.width, found.height,
        has_alpha=found.masks[3] != 0,
        bit_depth=1 if found.depth == 1 else 16 if deep else 8,
        channels="palette" if found.depth <= 8 else "rgb",
        color=Color(icc=_profile(data, found.size)),
        notes=("rows from the top down",) if found.is_top_down else (),
    )


def layout(data: bytes) -> Layout:
    """Return where everything is. Raises as `read_header` does, except that nothing is said of missing rows."""
    if data[:2] != b"BM" or len(data) < 26:
        raise NotAnImage("this is no BMP: it does not start like one")
    start, size = struct.unpack_from("<II", data, 10)
    if size not in _SIZES:
        raise NotAnImage(f"this is no BMP of a known version: its header has {size} bytes")
    if len(data) < 14 + size:
        raise Corrupt("the BMP breaks off within its header")
    compression = colors = 0
    if size == 12:
        width, height, planes, depth = struct.unpack_from("<HHHH", data, 18)
    else:
        width, height, planes, depth = struct.unpack_from("<iiHH", data, 18)
        if size >= 40:
            compression, colors = struct.unpack_from("<I", data, 30)[0], struct.unpack_from("<I", data, 46)[0]
    if compression in (_JPEG, _PNG):
        raise FormatNotAllowed("a BMP that holds a JPEG or a PNG, as printers take it; save it as that")
    if size == 64 and compression in (BITFIELDS, _JPEG):
        raise FormatNotAllowed("a BMP of OS/2 with fax or 24-bit run-length coding; save it as a PNG")
    if width <= 0 or not height or height == -2**31 or planes != 1 or depth not in _DEPTHS.get(compression, ()):
        raise Corrupt(f"the BMP makes no sense: {width} x {height} pixels of {depth} bits, compression {compression}")
    if height < 0 and compression in (RLE8, RLE4):
        raise Corrupt("the BMP makes no sense: run-length coding from the top down")
    if start < 14 + size or start >= len(data):
        raise Corrupt("the BMP is damaged or incomplete: its rows are not where it says")
    # where the rows start says nothing of the palette: programs that are wrong about one are read by all others
    palette = _palette(data[14 + size:14 + size + 1024], depth, 3 if size == 12 else 4, colors) if depth <= 8 else ()
    return Layout(width, abs(height), depth, compression, start, size, is_top_down=height < 0,
                  masks=_masks(data, size, compression, depth), palette=palette)


def _masks(data: bytes, size: int, compression: int, depth: int) -> tuple[int, int, int, int]:
    """Return the bits of red, green, blue and alpha: in the header, or behind a header of 40 bytes."""
    if compression not in (BITFIELDS, ALPHA_BITFIELDS):
        return _PLAIN_MASKS.get(depth, (0, 0, 0, 0))
    has_alpha = size >= 56 or compression == ALPHA_BITFIELDS
    if len(data) < (70 if has_alpha else 66):
        raise Corrupt("the BMP breaks off within its header")
    red, green, blue, alpha = struct.unpack_from("<IIII", data[54:70].ljust(16, b"\0"))
    masks = (red, green, blue, alpha if has_alpha else 0)
    if any(mask >> depth or not _is_one_piece(mask) for mask in masks):
        raise Corrupt("the BMP makes no sense: its masks of colours are not in one piece")
    return masks


def _is_one_piece(mask: int) -> bool:
    lowest = mask & -mask
    return not mask & (mask + lowest)


def _bits(mask: int) -> int:
    return mask.bit_count()


def _palette(table: bytes, depth: int, entry: int, colors: int) -> tuple[tuple[int, int, int], ...]:
    """Return the colours that pixels of `depth` bits can name, as far as they are there."""
    count = min(colors or 1 << depth, 1 << depth, len(table) // entry)
    return tuple((table[at + 2], table[at + 1], table[at]) for at in range(0, count * entry, entry))


def _profile(data: bytes, size: int) -> bytes | None:
    """Return the embedded profile of a V5 header, if it is sound."""
    if size != 124 or struct.unpack_from("<I", data, 14 + 56)[0] != _EMBEDDED:
        return None
    start, length = struct.unpack_from("<II", data, 14 + 112)
    return profile.sound(data[14 + start:14 + start + length], "rgb") if length <= profile.MAX_PROFILE else None
