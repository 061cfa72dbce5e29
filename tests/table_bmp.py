"""BMP, WBMP and XBM for the table, written here."""

from __future__ import annotations

import struct

import numpy as np
from pictures import CANARY
from table_pictures import BLACK_OR_WHITE, HOLES, INDICES, PALETTE, SCENE, SIZE, packed

#: Of red, green, blue and perhaps alpha.
RGB565, RGB555, ARGB4444 = (0xF800, 0x7E0, 0x1F), (0x7C00, 0x3E0, 0x1F), (0xF00, 0xF0, 0xF, 0xF000)
ARGB, ABGR = (0xFF0000, 0xFF00, 0xFF, 0xFF000000), (0xFF, 0xFF00, 0xFF0000, 0xFF000000)
DEEP = (0x3FF00000, 0xFFC00, 0x3FF)


def bmp(bits: int, *, top_down: bool = False, head: int = 40, coded: int = 0, masks: tuple[int, ...] = (),
        mixed: bool = False, profile: bytes = b"") -> bytes:
    """A BMP of 1 to 32 bits, by Microsoft's description and that of OS/2; `coded` 1 and 2 are RLE8 and RLE4.

    With `mixed`, what is coded is in runs, as it stands, and jumped over, in turn.
    """
    palette = b""
    entry = 3 if head == 12 else 4
    if bits <= 8:
        values = bmp_indices(bits)
        if mixed:
            values = with_gap(values)
        palette = b"".join(bytes((b, g, r)).ljust(entry, b"\0") for r, g, b in bmp_palette(bits))
        rows = packed(values, bits)
    elif bits == 24:
        rows = [row.tobytes() for row in SCENE[..., ::-1]]
    else:
        shown = HOLES if masks[3:] else SCENE
        parts = [(shown[..., band].astype(np.uint32) >> 8 - most.bit_length() if most < 255 else
                  shown[..., band].astype(np.uint32) * most // 255) << shift
                 for band, (shift, most) in enumerate(map(_shift, masks or (RGB555 if bits == 16 else ARGB[:3])))]
        together = np.bitwise_or.reduce(parts)
        rows = [row.astype("<u2" if bits == 16 else "<u4").tobytes() for row in together]
    rows = [row + b"\0" * (-len(row) % 4) for row in rows]
    if coded:
        rows = _mixed(values, coded) if mixed else [_runs(row, coded) for row in values]
    body = b"".join(rows if top_down else rows[::-1]) + (b"\0\1" if coded else b"")
    width, height = SIZE
    count = len(palette) // entry
    if head == 12:
        fields = struct.pack("<IHHHH", 12, width, height, 1, bits)
    elif head == 16:
        fields = struct.pack("<IiiHH", 16, width, height, 1, bits)
    else:
        compression = coded or (3 if masks else 0)
        fields = struct.pack("<IiiHHIIiiII", head, width, -height if top_down else height, 1, bits, compression,
                             len(body), 2835, 2835, count, 0)
        if head == 40:
            palette = struct.pack("<3I", *masks[:3]) + palette if masks else palette
        elif head == 64:  # of OS/2: units, recording, halftoning
            fields += bytes(24)
        else:
            four = (*masks, 0, 0, 0, 0)[:4]
            space = b"DEBM" if profile else b"BGRs"
            fields = (fields + struct.pack("<4I", *four) + space).ljust(head, b"\0")
    start = 14 + len(fields) + len(palette)
    if profile:
        fields = fields[:112] + struct.pack("<II", start - 14 + len(body), len(profile)) + fields[120:]
    return (b"BM" + struct.pack("<IHHI", start + len(body) + len(profile), 0, 0, start) + fields + palette + body
            + profile)


def _shift(mask: int) -> tuple[int, int]:
    """Where a mask starts, and the greatest value that it holds."""
    shift = (mask & -mask).bit_length() - 1
    return shift, mask >> shift


def _runs(row: np.ndarray, coded: int) -> bytes:
    """A row as runs of equal pixels: of one index (RLE8), or of two that take turns (RLE4)."""
    out, at, values = b"", 0, row.tolist()
    while at < len(values):
        length = 1
        while at + length < len(values) and values[at + length] == values[at] and length < 255:
            length += 1
        out += bytes((length, values[at] if coded == 1 else values[at] << 4 | values[at]))
        at += length
    return out + b"\0\0"


def _mixed(values: np.ndarray, coded: int) -> list[bytes]:
    """Rows of which 7 pixels stand as they are, and 7 in runs, in turn; rows of zeros are jumped over."""
    out = []
    for row in values:
        if not row.any():
            out.append(b"\0\2\0\1")  # to the right by 0, up by 1
            continue
        line = b""
        for at in range(0, len(row), 14):
            plain = row[at:at + 7]
            body = plain.tobytes() if coded == 1 else packed(plain[None], 4)[0]
            line += bytes((0, len(plain))) + body + b"\0" * (len(body) & 1)
            line += _runs(row[at + 7:at + 14], coded)[:-2]
        out.append(line + b"\0\0")
    return out


def with_gap(values: np.ndarray) -> np.ndarray:
    """The same with three rows of zeros."""
    changed = values.copy()
    changed[20:23] = 0
    return changed


def bmp_palette(bits: int) -> np.ndarray:
    return {1: np.array([(0, 0, 0), (255, 255, 255)]), 2: PALETTE[::16], 4: PALETTE[::4], 8: PALETTE}[bits]


def bmp_indices(bits: int) -> np.ndarray:
    return {1: BLACK_OR_WHITE[..., 0], 2: INDICES >> 4, 4: INDICES >> 2, 8: INDICES}[bits]


def masked(masks: tuple[int, ...]) -> np.ndarray:
    """What such masks leave of the scene, each channel spread to 8 bits again."""
    shown = HOLES if masks[3:] else SCENE
    bands = []
    for band, mask in enumerate(masks):
        most = _shift(mask)[1]
        value = shown[..., band].astype(int)
        value = value >> 8 - most.bit_length() if most < 255 else value * most // 255
        bands.append(np.rint(value * 255 / most))
    return np.stack(bands, axis=-1).astype(np.uint8)


def bmp_colours(bits: int) -> np.ndarray:
    """What such a BMP shows."""
    return SCENE if bits > 8 else bmp_palette(bits)[bmp_indices(bits)].astype(np.uint8)


def wbmp() -> bytes:
    return b"\0\0" + bytes(SIZE) + b"".join(packed(BLACK_OR_WHITE[..., 0], 1))


def xbm(*, x10: bool = False, hot: bool = False) -> bytes:
    """As X11 writes it, or X10: with 16 bits a number."""
    bits = np.packbits(1 - BLACK_OR_WHITE[..., 0], axis=1, bitorder="little")
    if x10:
        numbers = ", ".join(f"0x{value:04x}" for value in bits.view("<u2").reshape(-1))
    else:
        numbers = ",\n".join(f"0x{value:02X}" for value in bits.reshape(-1))
    spot = "#define x_x_hot 3\n#define x_y_hot 4\n" if hot else ""
    kind = "short" if x10 else "unsigned char" if hot else "char"
    return (f"/* {CANARY.decode()} */\n#define x_width {SIZE[0]}\n#define x_height {SIZE[1]}\n{spot}"
            f"static {kind} x_bits[] = {{\n{numbers}}};\n").encode()
