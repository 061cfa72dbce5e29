"""TIFFs for the table, written here."""

from __future__ import annotations

import struct

import numpy as np
from pictures import CANARY, xmp
from table_pictures import SCENE, packed


def tiff(array: np.ndarray = SCENE, *, order: str = "<", planar: bool = False, orientation: int = 1, big: bool = False,
         photometric: int = 2, bits: int = 8, extra: dict[int, tuple[int, int, bytes]] | None = None,
         pages: int = 1) -> bytes:
    """A TIFF without compression; the second page, if any, is all canary."""
    out = {"<": b"II", ">": b"MM"}[order]
    out += struct.pack(order + "HHHQ", 43, 8, 0, 0) if big else struct.pack(order + "HI", 42, 0)
    link = 8 if big else 4
    for page in range(pages):
        shown = array if page == 0 else np.frombuffer(CANARY * 3000, np.uint8)[:array.size].reshape(array.shape)
        height, width, bands = shown.shape
        values = shown.transpose(2, 0, 1) if planar else shown
        if bits == 1:
            strips = [b"".join(packed(shown[..., 0], 1))]
        else:
            whole = values.astype(order + f"u{bits // 8}").tobytes()
            strips = [whole[at * len(whole) // bands:(at + 1) * len(whole) // bands] for at in range(bands)]
            strips = strips if planar else [whole]
        places = []
        for strip in strips:
            places.append(len(out))
            out += strip + b"\0" * (len(strip) & 1)

        def longs(*numbers: int) -> tuple[int, int, bytes]:
            return 4, len(numbers), struct.pack(f"{order}{len(numbers)}I", *numbers)

        def shorts(*numbers: int) -> tuple[int, int, bytes]:
            return 3, len(numbers), struct.pack(f"{order}{len(numbers)}H", *numbers)

        tags = {256: longs(width), 257: longs(height), 258: shorts(*[bits] * bands), 259: shorts(1),
                262: shorts(photometric), 270: (2, len(CANARY) + 1, CANARY + b"\0"), 273: longs(*places),
                274: shorts(orientation), 277: shorts(bands), 278: longs(height), 279: longs(*map(len, strips)),
                284: shorts(2 if planar else 1), 305: (2, len(CANARY) + 1, CANARY + b"\0"),
                700: (1, len(xmp()), xmp()), **(extra or {})}
        if bands in (2, 4) and photometric in (1, 2):
            tags[338] = shorts(2)
        table, room = b"", 8 if big else 4
        for tag, (kind, count, value) in sorted(tags.items()):
            if len(value) > room:
                place = len(out)
                out += value + b"\0" * (len(value) & 1)
                value = struct.pack(order + ("Q" if big else "I"), place)
            table += struct.pack(order + ("HHQ" if big else "HHI"), tag, kind, count) + value.ljust(room, b"\0")
        place = len(out)
        out = out[:link] + struct.pack(order + ("Q" if big else "I"), place) + out[link + room:]
        out += struct.pack(order + ("Q" if big else "H"), len(tags)) + table
        link = len(out)
        out += b"\0" * room
    return out
