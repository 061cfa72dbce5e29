"""PAM and colour PFM, of the PPM family, which Pillow does not read.

https://netpbm.sourceforge.net/doc/pam.html and https://netpbm.sourceforge.net/doc/pfm.html
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

from PIL import Image

from imagepipe.codecs.decode_modes import from_floats
from imagepipe.codecs.header import Header
from imagepipe.errors import Corrupt, FormatNotAllowed, NotAnImage

__all__ = ["decode", "is_ours", "read_header"]

_MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
_MAX_HEADER = 65_536  # bytes
_MAX_EDGE = 1 << 31  # pixels; what there may be is checked by who asks
_PFM = re.compile(rb"PF\s+(\d{1,10})\s+(\d{1,10})\s+([-+0-9.eE]{1,32})[ \t\r\n]")


@dataclass(frozen=True, slots=True)
class _Layout:
    width: int
    height: int
    depth: int  #: Values a pixel.
    size: int  #: Bytes a value.
    start: int  #: Of the values.
    maximum: int = 0  #: The largest value; 0 in floating point.
    order: str = ">"  #: Of the bytes of a value: `>` or `<`.

    @property
    def length(self) -> int:
        """How many bytes the values take."""
        return self.width * self.height * self.depth * self.size


def is_ours(data: bytes) -> bool:
    """Say whether this is a PAM or a colour PFM."""
    return data[:2] in (b"P7", b"PF")


def read_header(data: bytes, *, accept_damaged: bool = False) -> Header:
    """Return what the header says. Raises `NotAnImage`, `FormatNotAllowed`, and `Corrupt` where values are missing."""
    found = _layout(data)
    if len(data) - found.start < found.length and not accept_damaged:
        raise Corrupt(f"the picture is incomplete: {found.length - len(data) + found.start:,} bytes are missing of "
                      f"{found.width} x {found.height} pixels")
    depth = 32 if not found.maximum else 8 * found.size
    return Header("ppm", found.width, found.height, has_alpha=found.depth in (2, 4), bit_depth=depth,
                  channels="gray" if found.depth < 3 else "rgb")


def decode(data: bytes) -> tuple[Image.Image, bool]:
    """Return the picture in 8 bits a channel, and whether values are missing, which are 0 then.

    Check the size with `read_header` first.
    """
    import numpy as np

    found = _layout(data)
    body = data[found.start:found.start + found.length]
    is_short = len(body) < found.length
    body = body.ljust(found.length, b"\0")
    shape = (found.height, found.width, found.depth)
    if not found.maximum:
        values: Any = np.frombuffer(body, found.order + "f4").reshape(shape)[::-1]  # rows go from the bottom up
        planes = np.concatenate([values[..., band] for band in range(3)])  # of one range, so below each other
        grey = from_floats(Image.fromarray(planes.astype(np.float32)))
        bands = [grey.crop((0, top, found.width, top + found.height)) for top in range(0, grey.height, found.height)]
        return Image.merge("RGB", bands), is_short
    values = np.frombuffer(body, ">u2" if found.size == 2 else np.uint8).reshape(shape)
    if found.maximum != 255:
        result = np.empty(shape, np.uint8)
        for row in range(found.height):
            scaled = np.minimum(values[row], found.maximum).astype(np.uint32) * 510 + found.maximum
            result[row] = scaled // (2 * found.maximum)  # rounded
        values = result
    mode = _MODES[found.depth]
    return Image.frombytes(mode, (found.width, found.height), values.tobytes()), is_short


def _layout(data: bytes) -> _Layout:
    return _pfm(data) if data[:2] == b"PF" else _pam(data)


def _pfm(data: bytes) -> _Layout:
    match = _PFM.match(data[:_MAX_HEADER])
    if match is None:
        raise NotAnImage("this is no PFM: its header makes no sense")
    try:
        scale = float(match[3])
    except ValueError:
        scale = math.nan
    if not math.isfinite(scale) or not scale:
        raise NotAnImage("this is no PFM: its header makes no sense")
    return _Layout(int(match[1]), int(match[2]), 3, 4, match.end(), order="<" if scale < 0 else ">")


def _pam(data: bytes) -> _Layout:
    if data[2:3] != b"\n":
        raise FormatNotAllowed("a thumbnail of the program xv, which is not taken; give the picture itself")
    head, end, _ = data[:_MAX_HEADER].partition(b"\nENDHDR\n")
    values: dict[bytes, int] = {}
    kind = b""
    for line in head.split(b"\n")[1:]:
        words = line.split(None, 1)
        if not words or line.startswith(b"#"):
            continue
        if words[0] == b"TUPLTYPE":
            kind = words[-1].strip()
        elif len(words) == 2 and words[1].strip().isdigit() and len(words[1]) <= 10:
            values[words[0]] = int(words[1])
    try:
        width, height, depth, maximum = (values[name] for name in (b"WIDTH", b"HEIGHT", b"DEPTH", b"MAXVAL"))
    except KeyError:
        raise NotAnImage("this is no PAM: its header makes no sense") from None
    if not end or not 0 < width < _MAX_EDGE or not 0 < height < _MAX_EDGE or not 0 < maximum < 65_536:
        raise NotAnImage("this is no PAM: its header makes no sense")
    if depth not in _MODES or b"CMYK" in kind:
        raise FormatNotAllowed(f"a PAM of {depth} channels, which is not taken; save it as PNG or JPEG")
    return _Layout(width, height, depth, 1 if maximum < 256 else 2, len(head) + len(end), maximum)
