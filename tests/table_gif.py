"""GIFs for the table, written here."""

from __future__ import annotations

import struct

import numpy as np
from pictures import CANARY, gif_extension, in_gif
from table_pictures import AFTER_THE_END, LEVELS, RAMP, SIZE


def gif(*frames: bytes, palette: np.ndarray | None = RAMP, loop: int | None = None,
        size: tuple[int, int] = SIZE) -> bytes:
    """A GIF of frames that `gif_frame` made."""
    flags = 0xF5 if palette is not None else 0x70  # 64 colours
    data = b"GIF89a" + struct.pack("<HHBBB", *size, flags, 0, 0) + (palette.tobytes() if palette is not None else b"")
    if loop is not None:
        data += gif_extension(0xFF, b"NETSCAPE2.0", b"\1" + struct.pack("<H", loop))
    return data + b"".join(frames) + b";"


def gif_frame(indices: np.ndarray = LEVELS, at: tuple[int, int] = (0, 0), *, palette: np.ndarray | None = None,
              disposal: int = 0, transparent: int | None = None, delay: int = 7, interlaced: bool = False) -> bytes:
    """A frame: its times, its place, and its indices without compression (a clear code before the table grows)."""
    height, width = indices.shape
    if interlaced:
        indices = np.concatenate([indices[0::8], indices[4::8], indices[2::4], indices[1::2]])
    flags = disposal << 2 | (transparent is not None)
    control = b"\x21\xf9\4" + struct.pack("<BHB", flags, delay, transparent or 0) + b"\0"
    head = b"," + struct.pack("<HHHHB", *at, width, height, (0x85 if palette is not None else 0) | interlaced << 6)
    stream, bits, filled = bytearray(), 0, 0
    codes = [value for start in range(0, indices.size, 32)
             for value in (64, *indices.reshape(-1)[start:start + 32].tolist())]
    for code in (*codes, 65):
        bits |= code << filled
        filled += 7
        while filled >= 8:
            stream.append(bits & 255)
            bits, filled = bits >> 8, filled - 8
    stream.append(bits)
    blocks = b"".join(bytes((len(stream[at:at + 255]),)) + stream[at:at + 255] for at in range(0, len(stream), 255))
    return control + head + (palette.tobytes() if palette is not None else b"") + b"\6" + blocks + b"\0"


def private_gif(data: bytes) -> bytes:
    return in_gif(data, gif_extension(0xFE, CANARY), gif_extension(0xFF, b"XMP DataXMP", CANARY),
                  gif_extension(0x01, b"\0" * 12, CANARY)) + AFTER_THE_END
