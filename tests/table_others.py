"""TGA, ICO, PSD and the family of PPM for the table, written here."""

from __future__ import annotations

import struct

import numpy as np
from pictures import CANARY
from table_pictures import BLACK_OR_WHITE, GREY, SCENE, SIZE, packed


def tga(array: np.ndarray = SCENE, *, top_down: bool = False, leftwards: bool = False, runs: bool = False,
        bits: int = 24, palette: np.ndarray | None = None, first: int = 0, entry: int = 24) -> bytes:
    """A Targa file, with a text in front of the picture; `first` is the number that its first colour has."""
    kind = (1 if palette is not None else 3 if array.shape[2] == 1 else 2) + (8 if runs else 0)
    height, width = array.shape[:2]
    flat = _by_five(array) if bits == 16 else array[..., {1: [0], 3: [2, 1, 0], 4: [2, 1, 0, 3]}[array.shape[2]]]
    flat = flat.astype(np.uint8) + np.uint8(first)
    if not top_down:
        flat = flat[::-1]
    if leftwards:
        flat = flat[:, ::-1]
    count = 0 if palette is None else len(palette)
    head = struct.pack("<BBBHHBHHHHBB", len(CANARY), int(count > 0), kind, first, count, entry if count else 0, 0, 0,
                       width, height, bits,
                       (0x20 if top_down else 0) | (0x10 if leftwards else 0) | (8 if bits == 32 else 0))
    colours = b""
    if palette is not None:
        colours = (_by_five(palette[None]) if entry == 16 else palette[:, [2, 1, 0, 3][:entry // 8]]).tobytes()
    body = _packets([bytes(pixel) for row in flat for pixel in row], width) if runs else flat.tobytes()
    return head + CANARY + colours + body + b"\0" * 8 + b"TRUEVISION-XFILE.\0"


def _by_five(array: np.ndarray) -> np.ndarray:
    """Five bits a channel, two bytes a pixel."""
    red, green, blue = (array[..., band].astype(np.uint16) >> 3 for band in range(3))
    return (red << 10 | green << 5 | blue).astype("<u2").view(np.uint8).reshape(*array.shape[:2], 2)


def spread(array: np.ndarray) -> np.ndarray:
    """What five bits a channel show."""
    return np.rint((array >> 3).astype(int) * 255 / 31).astype(np.uint8)


def _packets(pixels: list[bytes], width: int) -> bytes:
    """Runs of equal pixels, and packets of unequal ones as they stand; no packet reaches over the end of a row."""
    body, at = b"", 0
    while at < len(pixels):
        end, row = at + 1, (at // width + 1) * width
        while end < row and pixels[end] == pixels[at] and end - at < 128:
            end += 1
        if end - at == 1:
            while end < row and pixels[end] != pixels[end - 1] and end - at < 128:
                end += 1
            body += bytes((end - at - 1,)) + b"".join(pixels[at:end])
        else:
            body += bytes((0x80 | end - at - 1,)) + pixels[at]
        at = end
    return body


def ico(*pictures: tuple[int, bytes]) -> bytes:
    """An icon of several sizes; each is (edge in pixels, PNG or headless BMP)."""
    at, table, body = 6 + 16 * len(pictures), b"", b""
    for edge, data in pictures:
        bits = 32 if data[:4] == b"\x89PNG" else data[14]
        table += struct.pack("<BBBBHHII", edge % 256, edge % 256, 0, 0, 1, bits, len(data), at + len(body))
        body += data
    return struct.pack("<HHH", 0, 1, len(pictures)) + table + body


def icon_bitmap(array: np.ndarray, *, bits: int = 32, palette: np.ndarray | None = None,
                clear: np.ndarray | None = None) -> bytes:
    """A square picture as icons hold it: a BMP of double height without a file header, and a mask of what is clear."""
    edge = len(array)
    colours = b""
    if palette is not None:
        colours = b"".join(bytes((b, g, r, 0)) for r, g, b in palette)
        rows = packed(array[::-1], bits)
    else:
        rows = [row.tobytes() for row in array[::-1][..., [2, 1, 0, 3][:bits // 8]]]
    mask = packed(np.zeros((edge, edge), np.uint8) if clear is None else clear[::-1].astype(np.uint8), 1)
    body = b"".join(row + b"\0" * (-len(row) % 4) for row in [*rows, *mask])
    count = len(colours) // 4
    return struct.pack("<IiiHHIIiiII", 40, edge, edge * 2, 1, bits, 0, len(body), 0, 0, count, 0) + colours + body


def psd(array: np.ndarray = SCENE, *, depth: int = 8, mode: int = 3, runs: bool = False) -> bytes:
    """A Photoshop file of only a composite, with IPTC and a caption in its resources."""
    height, width, bands = array.shape
    records = b"\x1c\x02\x78" + struct.pack(">H", len(CANARY)) + CANARY
    resources = b"8BIM\x04\x04\0\0" + struct.pack(">I", len(records)) + records + b"\0" * (len(records) & 1)
    planes = array.transpose(2, 0, 1)
    raw = planes.astype(">u2" if depth == 16 else np.uint8)
    if runs:  # PackBits, all of it literal
        coded = [b"".join(bytes((min(128, width - at) - 1,)) + row[at:at + 128].tobytes()
                          for at in range(0, width, 128)) for plane in raw for row in plane]
        body = b"\0\1" + b"".join(struct.pack(">H", len(row)) for row in coded) + b"".join(coded)
    else:
        body = b"\0\0" + raw.tobytes()
    return (b"8BPS\0\1" + b"\0" * 6 + struct.pack(">HIIHH", bands, height, width, depth, mode) + b"\0\0\0\0"
            + struct.pack(">I", len(resources)) + resources + b"\0\0\0\0" + body)


def ppm(kind: str, most: int = 255) -> bytes:
    """One of the family: P1 to P6 with comments, and Pf (PFM); `most` is the greatest value."""
    width, height = SIZE
    start = f"{kind}\n# {CANARY.decode()}\n{width} # {CANARY.decode()}\n{height}\n"
    if kind in ("P1", "P4"):
        ink = 1 - BLACK_OR_WHITE[..., 0]
        text = "\n".join("".join(map(str, row)) for row in ink.tolist())  # they may stand without a space
        return start.encode() + (text.encode() if kind == "P1" else b"".join(packed(ink, 1)))
    shown = GREY if kind in ("P2", "P5", "Pf") else SCENE
    if kind == "Pf":
        return f"{kind}\n{width} {height}\n-1.0\n".encode() + (shown[::-1].astype("<f4") / 255).tobytes()
    values = np.rint(shown.astype(float) * most / 255).astype(">u2" if most > 255 else np.uint8)
    if kind in ("P2", "P3"):
        rows = values.reshape(height, -1).tolist()
        return f"{start}{most}\n".encode() + "\n".join(" ".join(map(str, row)) for row in rows).encode()
    return f"{start}{most}\n".encode() + values.tobytes()


def pam(array: np.ndarray, tuples: str, most: int = 255) -> bytes:
    height, width, depth = array.shape
    values = np.rint(array.astype(float) * most / 255).astype(">u2" if most > 255 else np.uint8)
    return (f"P7\nWIDTH {width}\nHEIGHT {height}\nDEPTH {depth}\nMAXVAL {most}\nTUPLTYPE {tuples}\n"
            f"# {CANARY.decode()}\nENDHDR\n").encode() + values.tobytes()


def pfm(*, order: str = "<") -> bytes:
    scale = {"<": "-1.0", ">": "1.0"}[order]
    return f"PF\n{SIZE[0]} {SIZE[1]}\n{scale}\n".encode() + (SCENE[::-1] / 255).astype(f"{order}f4").tobytes()
