"""WBMP, the bitmap of WAP phones: a header of a few bytes and one bit a pixel.

WAP-237-WAEMT (Wireless Application Environment Defined Media Type Specification, 2001), section 6.
Pillow does not read it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from imagepipe.codecs.header import Header
from imagepipe.errors import Corrupt, FormatNotAllowed, NotAnImage

if TYPE_CHECKING:
    from PIL import Image

MAX_EDGE = 65_535  #: Pixels; the specification has no limit, phones had some hundreds.
_MAX_BYTES = 5  # of a multi-byte integer: 35 bits


def read_header(data: bytes, *, accept_damaged: bool = False) -> Header:
    """Return the size of a WBMP of type 0.

    Raises `NotAnImage` where the size makes no sense, `FormatNotAllowed` for another type, and
    `Corrupt` where rows are missing.
    """
    width, height, start = _size(data)
    length = (width + 7) // 8 * height
    if len(data) - start < length and not accept_damaged:
        raise Corrupt(f"the WBMP is incomplete: {length - len(data) + start:,} bytes are missing of a picture of "
                      f"{width} x {height} pixels")
    extra = len(data) - start - length
    return Header("wbmp", width, height, bit_depth=1, channels="bilevel",
                  notes=(f"{extra:,} bytes after the end",) if extra > 0 else ())


def decode(data: bytes, *, accept_damaged: bool = False) -> Image.Image:
    """Return the picture, of mode `1`; a set bit is white. Raises as `read_header` does.

    Check the size with `read_header` first. With `accept_damaged`, missing rows are white.
    """
    from PIL import Image

    read_header(data, accept_damaged=accept_damaged)
    width, height, start = _size(data)
    length = (width + 7) // 8 * height
    return Image.frombytes("1", (width, height), data[start:start + length].ljust(length, b"\xff"))


def _size(data: bytes) -> tuple[int, int, int]:
    """Return width, height, and where the rows start."""
    kind, at = _integer(data, 0)
    if kind != 0:
        raise FormatNotAllowed(f"a WBMP of type {kind}; only type 0 was ever in use")
    if at >= len(data) or data[at]:  # the fixed header: extensions do not exist for type 0
        raise NotAnImage("this is no WBMP: its header makes no sense")
    width, at = _integer(data, at + 1)
    height, at = _integer(data, at)
    if not 0 < width <= MAX_EDGE or not 0 < height <= MAX_EDGE:
        raise NotAnImage(f"this is no WBMP that can be: it says it is {width} x {height} pixels")
    return width, height, at


def _integer(data: bytes, at: int) -> tuple[int, int]:
    """Return a multi-byte integer, seven bits a byte, and where it ends."""
    value = 0
    for byte in data[at:at + _MAX_BYTES]:
        at += 1
        value = value << 7 | byte & 0x7F
        if not byte & 0x80:
            return value, at
    raise NotAnImage("this is no WBMP: its header makes no sense")
