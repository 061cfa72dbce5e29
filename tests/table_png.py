"""PNGs for the table, written here."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

import numpy as np
from pictures import CANARY, chunk, exif, in_png, xmp
from table_pictures import AFTER_THE_END, SOFT, packed


def png(array: np.ndarray, depth: int = 8, colour: int | None = None, *chunks: bytes, palette: np.ndarray | None = None,
        interlaced: bool = False, before_palette: tuple[bytes, ...] = ()) -> bytes:
    """A PNG, written here; values of `array` have `depth` bits."""
    kinds = {1: 0, 2: 4, 3: 2, 4: 6}
    kind = 3 if palette is not None else kinds[array.shape[2]] if colour is None else colour
    height, width = array.shape[:2]
    array = array.reshape(height, width, -1)
    steps = [(0, 0, 1, 1)]
    if interlaced:
        steps = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    rows = b"".join(_png_rows(array[top::down, left::across], depth) for left, top, across, down in steps)
    head = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, int(interlaced))
    colours = chunk(b"PLTE", palette.tobytes()) if palette is not None else b""
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + b"".join(before_palette) + colours + b"".join(chunks)
            + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND"))


def _png_rows(array: np.ndarray, depth: int) -> bytes:
    if not array.size:
        return b""
    return b"".join(b"\0" + row for row in packed(array.reshape(len(array), -1), depth))


def private_png(data: bytes, orientation: int = 1) -> bytes:
    return in_png(data, chunk(b"tEXt", b"Author\0" + CANARY), chunk(b"zTXt", b"Comment\0\0" + zlib.compress(CANARY)),
                  chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp()), chunk(b"eXIf", exif(orientation)),
                  chunk(b"tIME", b"\x07\xe8\5\1\0\0\0"), chunk(b"prVt", CANARY), chunk(b"caBX", CANARY)) + AFTER_THE_END


def iccp(profile: bytes) -> bytes:
    return chunk(b"iCCP", b"x\0\0" + zlib.compress(profile))


def cut(data: bytes, size: int, *, empty: bool = False) -> bytes:
    """The data in parts of `size` bytes, perhaps with parts of no bytes between them."""
    (head, body), = ((data[:at - 4], data[at + 4:at + 4 + int.from_bytes(data[at - 4:at], "big")])
                     for at in [data.index(b"IDAT")])
    between = chunk(b"IDAT") if empty else b""
    parts = [between + chunk(b"IDAT", body[at:at + size]) for at in range(0, len(body), size)]
    return head + b"".join(parts) + between + chunk(b"IEND")


def with_surplus(data: bytes, surplus: bytes) -> bytes:
    """More bytes behind the end of the compressed data."""
    at = data.index(b"IDAT")
    body = data[at + 4:at + 4 + int.from_bytes(data[at - 4:at], "big")]
    return data[:at - 4] + chunk(b"IDAT", body + surplus) + chunk(b"IEND")


def with_rows(array: np.ndarray, more: int) -> bytes:
    """More rows than the header says, which show a canary to whom looks."""
    rows = np.frombuffer(CANARY * 2000, np.uint8)[:more * array[0].size].reshape(more, *array.shape[1:])
    data = png(np.concatenate([array, rows]))
    head = data[16:20] + struct.pack(">I", len(array)) + data[24:29]
    return data[:8] + chunk(b"IHDR", head) + data[33:]


def animated_png(frames: Sequence[np.ndarray]) -> bytes:
    """An APNG of whole frames, for ever."""
    return _animation([(frame, (0, 0), 0, 0) for frame in frames], frames[0].shape)


def moving_parts(disposal: int, blending: int, *, unlike_all: bool) -> bytes:
    """An APNG whose later frames are parts, at different places, all of them transparent in part.

    With `unlike_all`, the first picture in the file is none of its frames.
    """
    parts = [(SOFT[10:30, 5:25], (8 * number, 20 - 5 * number), disposal, blending) for number in (1, 2, 3)]
    return _animation([(SOFT, (0, 0), 0, 0), *parts], SOFT.shape, 255 - SOFT if unlike_all else None)


def _animation(frames: Sequence[tuple[np.ndarray, tuple[int, int], int, int]], shape: tuple[int, ...],
               default: np.ndarray | None = None) -> bytes:
    """Frames as (values, place, disposal, blending); `default` is shown where animation is not."""
    parts, number = [chunk(b"acTL", struct.pack(">II", len(frames), 0))], 0
    if default is not None:
        parts.append(chunk(b"IDAT", zlib.compress(_png_rows(default, 8))))
    for values, (left, top), disposal, blending in frames:
        height, width = values.shape[:2]
        parts.append(chunk(b"fcTL", struct.pack(">IIIIIHHBB", number, width, height, left, top, 70, 1000, disposal,
                                                blending)))
        rows = zlib.compress(_png_rows(values, 8))
        number += 1
        if number > 1 or default is not None:
            parts.append(chunk(b"fdAT", struct.pack(">I", number) + rows))
            number += 1
        else:
            parts.append(chunk(b"IDAT", rows))
    head = struct.pack(">IIBBBBB", shape[1], shape[0], 8, 2 if shape[2] == 3 else 6, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + b"".join(parts) + chunk(b"IEND")
