"""XBM, the bitmap that is a piece of C (X Version 11: XReadBitmapFile; X10 wrote 16 bits a number)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from imagepipe.codecs.header import Header
from imagepipe.errors import Corrupt, NotAnImage

if TYPE_CHECKING:
    from PIL import Image

MAX_EDGE = 65_535
_LOOKED_AT = 4_096  # bytes: the header, with comments of programs in front

_DEFINE = re.compile(rb"^[ \t]*#[ \t]*define[ \t]+(?:\S{0,200}_)?(width|height)[ \t]+([0-9]{1,5})[ \t\r]*$",
                     re.MULTILINE)
_START = re.compile(rb"static[ \t]+(?:const[ \t]+)?(?:unsigned[ \t]+)?(char|short)[ \t]+(?:\S{0,200}_)?bits"
                    rb"[ \t]*\[[ \t0-9]{0,20}\][ \t\r\n]*=[ \t\r\n]*\{")
_NUMBER = re.compile(rb"[ \t\r\n]*(?:0[xX]([0-9a-fA-F]{1,4})|([0-9]{1,5}))[ \t\r\n]*[,}]")


def read_header(data: bytes, *, accept_damaged: bool = False) -> Header:
    """Return the size of an XBM.

    Raises `NotAnImage` where the text is no XBM of a size that can be, `Corrupt` where numbers are
    missing.
    """
    width, height, wide, start = _size(data)
    per_row = (width + 15) // 16 if wide else (width + 7) // 8
    # a number takes two characters at least, with its comma; so this is checked before anything is allocated
    if not accept_damaged and (len(data) - start < 2 * per_row * height - 1 or b"}" not in data[start:]):
        raise Corrupt(f"the XBM is incomplete: numbers are missing of a picture of {width} x {height} pixels")
    return Header("xbm", width, height, bit_depth=1, channels="bilevel")


def decode(data: bytes, *, accept_damaged: bool = False) -> Image.Image:
    """Return the picture, of mode `1`; a set bit is black. Raises as `read_header` does.

    Check the size with `read_header` first. With `accept_damaged`, missing numbers are white.
    """
    from PIL import Image

    read_header(data, accept_damaged=accept_damaged)
    width, height, wide, start = _size(data)
    per_row = (width + 15) // 16 if wide else (width + 7) // 8
    packed, size, at = bytearray(), 2 if wide else 1, start
    for _ in range(per_row * height):
        found = _NUMBER.match(data, at)
        value = (int(found[1], 16) if found[1] else int(found[2])) if found else 1 << 16
        if value >> 8 * size:
            if accept_damaged:
                break
            raise Corrupt(f"the XBM is damaged or incomplete: of {per_row * height:,} numbers only "
                          f"{len(packed) // size:,} can be read")
        packed += value.to_bytes(size, "little")
        at = found.end() if found else at
    packed = packed.ljust(per_row * height * size, b"\0")
    # bits count from the lowest, and 1 is black
    return Image.frombytes("1", (width, height), bytes(packed), "raw", "1;IR", per_row * size, 1)


def _size(data: bytes) -> tuple[int, int, bool, int]:
    """Return width, height, whether numbers hold 16 bits (X10), and where they start."""
    head = data[:_LOOKED_AT]
    start = _START.search(head)
    if start is None:
        raise NotAnImage("this is no XBM: it holds no bits")
    stated = {found[1]: int(found[2]) for found in _DEFINE.finditer(head, 0, start.start())}
    width, height = stated.get(b"width", 0), stated.get(b"height", 0)
    if not 0 < width <= MAX_EDGE or not 0 < height <= MAX_EDGE:
        raise NotAnImage(f"this is no XBM that can be: it says it is {width} x {height} pixels")
    return width, height, start[1] == b"short", start.end()
