"""BMP of every depth, layout of bits and compression that `bmp` knows.

Pillow knows only the masks of colours that are common, no 2 bits a pixel, no run-length coding that ends without
saying so, and of OS/2 not every version.
"""

from __future__ import annotations

from typing import Any

from PIL import Image

from imagepipe.codecs import bmp
from imagepipe.codecs.decode_guard import corrupt
from imagepipe.codecs.decode_modes import opaque

__all__ = ["decode"]

_NAME = "this BMP"
_BAND = 256  # rows at a time
_END_OF_ROW, _END, _MOVE = 0, 1, 2


def decode(data: bytes, *, accept_damaged: bool = False) -> tuple[Image.Image, bool]:
    """Return the picture as `L`, `RGB` or `RGBA`, and whether parts are missing, which show the first colour.

    Check the size with `bmp.read_header` first. Raises as that does, and `Corrupt`.
    """
    found = bmp.layout(data)
    if found.compression in (bmp.RLE8, bmp.RLE4):
        return _runs(data, found, accept_damaged)
    length = found.row_bytes * found.height
    is_short = len(data) - found.start < length
    if is_short and not accept_damaged:
        raise corrupt(_NAME, "rows are missing")
    rows = data[found.start:found.start + length]
    if is_short:
        rows = rows.ljust(length, b"\0")
    if found.depth in (16, 32):
        return _masked(rows, found), is_short
    mode, rawmode = ("RGB", "BGR") if found.depth == 24 else ("P", "P" if found.depth == 8 else f"P;{found.depth}")
    image = Image.frombytes(mode, (found.width, found.height), rows, "raw", rawmode, found.row_bytes,
                            1 if found.is_top_down else -1)
    return (_colored(image, found) if mode == "P" else image), is_short


def _colored(image: Image.Image, found: bmp.Layout) -> Image.Image:
    """Return a picture of indexes in its colours; those that the palette does not have are black."""
    grey = all(red == green == blue for red, green, blue in found.palette)
    image.putpalette(bytes(value for color in found.palette for value in color).ljust(768, b"\0"))
    if grey:
        return image.point([color[0] for color in found.palette] + [0] * (256 - len(found.palette)), "L")
    return image.convert("RGB")


def _masked(rows: bytes, found: bmp.Layout) -> Image.Image:
    """Return a picture whose pixels are numbers of 16 or 32 bits, cut into channels by masks."""
    import numpy as np

    values = np.frombuffer(rows, "<u2" if found.depth == 16 else "<u4").reshape(found.height, -1)[:, :found.width]
    if not found.is_top_down:
        values = values[::-1]
    bands = 4 if found.masks[3] else 3
    result = np.empty((found.height, found.width, bands), np.uint8)
    for top in range(0, found.height, _BAND):
        for band in range(bands):
            result[top:top + _BAND, :, band] = _scaled(values[top:top + _BAND], found.masks[band])
    image = Image.fromarray(result)
    if bands == 4 and (opaque(image) or image.getchannel("A").getextrema() == (0, 0)):  # never filled in
        return image.convert("RGB")
    return image


def _scaled(values: Any, mask: int) -> Any:
    """Return the channel at `mask`, its greatest value at 255."""
    import numpy as np

    if not mask:
        return np.zeros(values.shape, np.uint8)
    shift = (mask & -mask).bit_length() - 1
    most = mask >> shift
    channel = values >> shift & most
    if most == 255:
        return channel.astype(np.uint8)
    return ((channel.astype(np.uint64) * 510 + most) // (2 * most)).astype(np.uint8)


def _runs(data: bytes, found: bmp.Layout, accept_damaged: bool) -> tuple[Image.Image, bool]:
    """Return a run-length coded picture, and whether rows are missing.

    What reaches beyond its row is cut off. Pixels that are jumped over are of the first colour: Photoshop leaves them
    out where they are.
    """
    width, height, nibbles = found.width, found.height, found.compression == bmp.RLE4
    rows = bytearray(width * height)  # the lowest first
    x = y = 0
    has_ended = False
    at, end = found.start, len(data) - 1
    while at < end and y < height:
        count, value = data[at], data[at + 1]
        at += 2
        if count:
            run = (bytes((value >> 4, value & 15)) * 128)[:count] if nibbles else bytes((value,)) * count
        elif value == _END_OF_ROW:
            x, y = 0, y + 1
            continue
        elif value == _END:
            has_ended = True
            break
        elif value == _MOVE:
            if at >= end:
                break
            x, y = min(x + data[at], width), y + data[at + 1]
            at += 2
            continue
        else:
            size = (value + 1) // 2 if nibbles else value
            run = data[at:at + size]
            if nibbles:
                run = bytes(half for byte in run for half in (byte >> 4, byte & 15))[:value]
            at += size + (size & 1)
        run = run[:width - x]
        rows[y * width + x:y * width + x + len(run)] = run
        x += len(run)
    is_short = y < height and not (y == height - 1 and (has_ended or x == width))
    if is_short and not accept_damaged:
        raise corrupt(_NAME, f"{y} of {height} rows are there")
    image = Image.frombytes("P", (width, height), bytes(rows), "raw", "P", 0, -1)
    return _colored(image, found), is_short
