"""TIFFs made in code that neither Pillow nor libvips writes: all depths, orders of bytes, planes, tiles, predictors."""

from __future__ import annotations

import lzma
import struct
import zlib
from collections.abc import Sequence

import numpy as np

NONE, ZIP, LZMA = 1, 8, 34925
_PACKERS = {NONE: bytes, ZIP: zlib.compress, LZMA: lzma.compress}


def page(array: np.ndarray, photometric: int, *, order: str = "<", separate: bool = False, strip: int = 0,
         tile: tuple[int, int] | None = None, compression: int = NONE, predictor: int = 1, extra: Sequence[int] = (),
         bits: int = 0, reverse: bool = False, more: dict[int, tuple[str, Sequence[int]]] | None = None,
         ) -> tuple[dict[int, tuple[str, Sequence[int]]], list[bytes]]:
    """The tags and strips (or tiles, whose width and height is given) of an array of rows, columns and samples.

    `bits` packs whole numbers closer than their array has them.
    """
    height, width, samples = array.shape
    bits = bits or array.dtype.itemsize * 8
    numbers = {"u": 1, "i": 2, "f": 3}[array.dtype.kind]
    planes = [array[..., one:one + 1] for one in range(samples)] if separate else [array]
    wide, high = tile or (width, strip or height)
    blocks = []
    for plane in planes:
        for top in range(0, height, high):
            for left in range(0, width, wide):
                block = plane[top:top + high, left:left + wide]
                if tile:
                    beyond = ((0, high - block.shape[0]), (0, wide - block.shape[1]), (0, 0))
                    block = np.pad(block, beyond)
                packed = _PACKERS[compression](_packed(block, bits, order, predictor))
                blocks.append(_reversed(packed) if reverse else packed)
    tags: dict[int, tuple[str, Sequence[int]]] = {
        256: ("I", [width]), 257: ("I", [height]), 258: ("H", [bits] * samples), 259: ("H", [compression]),
        262: ("H", [photometric]), 277: ("H", [samples]), 284: ("H", [2 if separate else 1]),
        317: ("H", [predictor]), 339: ("H", [numbers] * samples)}
    tags |= {322: ("I", [wide]), 323: ("I", [high])} if tile else {278: ("I", [high])}
    if extra:
        tags[338] = ("H", extra)
    if reverse:
        tags[266] = ("H", [2])
    return tags | (more or {}), blocks


def tiff(array: np.ndarray, photometric: int, *, order: str = "<", big: bool = False, **options: object) -> bytes:
    """A TIFF of one page; `options` as `page` has them."""
    return together([page(array, photometric, order=order, **options)], order=order, big=big)  # type: ignore[arg-type]


def together(pages: Sequence[tuple[dict[int, tuple[str, Sequence[int]]], list[bytes]]], *, order: str = "<",
             big: bool = False, children: dict[int, Sequence[int]] | None = None) -> bytes:
    """A TIFF of pages; `children` names for a page those that are in its own list instead of that of the file."""
    letter, wide = ("Q", 8) if big else ("I", 4)
    start = (b"II" if order == "<" else b"MM") + struct.pack(order + "H", 43 if big else 42)
    start += struct.pack(order + "HHQ", 8, 0, 0) if big else struct.pack(order + "I", 0)
    out = bytearray(start)
    inner = {child for those in (children or {}).values() for child in those}
    places: dict[int, int] = {}
    link = len(out) - wide
    for number in [*sorted(inner), *(one for one in range(len(pages)) if one not in inner)]:
        tags, blocks = pages[number]
        offsets = []
        for block in blocks:
            offsets.append(len(out))
            out += block + bytes(len(block) % 2)
        tiled = 322 in tags
        every = {324 if tiled else 273: (letter, offsets),
                 325 if tiled else 279: (letter, [len(block) for block in blocks])} | tags
        if children and number in children:
            every[330] = (letter, [places[child] for child in children[number]])
        table = b""
        for tag, (kind, values) in sorted(every.items()):
            value = struct.pack(f"{order}{len(values)}{kind}", *values)
            code = {"B": 1, "H": 3, "I": 4, "Q": 16}[kind]
            entry = struct.pack(order + "HH" + letter, tag, code, len(values))
            if len(value) > wide:
                entry += struct.pack(order + letter, len(out))
                out += value + bytes(len(value) % 2)
            else:
                entry += value.ljust(wide, b"\0")
            table += entry
        places[number] = len(out)
        if number not in inner:
            out[link:link + wide] = struct.pack(order + letter, len(out))
        out += struct.pack(order + ("Q" if big else "H"), len(every)) + table + bytes(wide)
        if number not in inner:
            link = len(out) - wide
    return bytes(out)


def _packed(block: np.ndarray, bits: int, order: str, predictor: int) -> bytes:
    """The bytes of a block as they are before compression."""
    size = block.dtype.itemsize
    if predictor == 2:
        block = np.diff(block, axis=1, prepend=np.zeros_like(block[:, :1]))
    if predictor == 3:  # the bytes of a row by significance, and the differences of those
        rows = block.astype(block.dtype.newbyteorder(">")).reshape(block.shape[0], -1).view(np.uint8)
        rows = rows.reshape(block.shape[0], -1, size).swapaxes(1, 2).reshape(block.shape[0], -1, block.shape[2])
        return np.diff(rows, axis=1, prepend=np.zeros_like(rows[:, :1])).tobytes()
    if bits == 24:
        four = block.astype(order + "u4").reshape(-1, 1).view(np.uint8)
        return (four[:, :3] if order == "<" else four[:, 1:]).tobytes()
    if bits == size * 8:
        return block.astype(block.dtype.newbyteorder(order)).tobytes()
    places = np.arange(bits - 1, -1, -1)
    rows = (block.reshape(block.shape[0], -1, 1) >> places & 1).astype(np.uint8).reshape(block.shape[0], -1)
    return np.packbits(rows, axis=1).tobytes()


def _reversed(data: bytes) -> bytes:
    bits = np.unpackbits(np.frombuffer(data, np.uint8)).reshape(-1, 8)
    return np.packbits(bits[:, ::-1], axis=1).tobytes()
