"""Pictures of every type for the table, by encoders of many kinds: written here byte by byte, libvips, libjpeg-turbo.

Every picture shows `SCENE` as well as its type can; what is planted in it is `CANARY`.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyvips
import simplejpeg
from pictures import (
    CANARY,
    chunk,
    exif,
    gif_extension,
    icc_segments,
    in_gif,
    in_jpeg,
    in_png,
    iptc,
    photo,
    segment,
    webp_chunks,
    xmp,
)
from PIL import ImageFilter

SIZE = (60, 44)  # divided by no block of any codec's, and not square
#: Soft and of mild colours, so that what lossy coding makes of it is near it.
_PHOTO = photo(SIZE).filter(ImageFilter.GaussianBlur(3)).point(lambda value: 50 + value * 6 // 10)
SCENE = np.asarray(_PHOTO)
GREY = np.asarray(_PHOTO.convert("L"))[..., None]
BLACK_OR_WHITE = (GREY > 127).astype(np.uint8)
HOLES = np.dstack([SCENE, np.where(np.add.outer(np.arange(44), np.arange(60)) < 30, 0, 255).astype(np.uint8)])
SOFT = np.dstack([SCENE, np.add.outer(np.arange(44) * 2, np.arange(60) * 2).astype(np.uint8) + 30])
PALETTE = np.asarray([(r, g, b) for r in (0, 85, 170, 255) for g in (0, 85, 170, 255) for b in (0, 85, 170, 255)],
                     np.uint8)
INDICES = ((SCENE.astype(int) + 42) // 85 @ np.array([16, 4, 1])).astype(np.uint8)
AFTER_THE_END = b"\0\0\0\x18ftypmp42" + b"\0" * 12 + CANARY + b"PK\3\4<script>" + CANARY


def turned(array: np.ndarray, orientation: int) -> np.ndarray:
    """Return what a file has to store, so that `array` is seen when the orientation is applied."""
    if orientation >= 5:
        array = array.transpose(1, 0, 2)
    if orientation in (2, 3, 7, 8):
        array = array[:, ::-1]
    if orientation in (3, 4, 6, 7):
        array = array[::-1]
    return array


def to_vips(array: np.ndarray, interpretation: str = "") -> pyvips.Image:
    """An array as an image of libvips."""
    image = pyvips.Image.new_from_array(np.ascontiguousarray(array))
    deep = array.dtype == np.uint16
    guess = ("grey16" if deep else "b-w") if array.shape[2] < 3 else ("rgb16" if deep else "srgb")
    return image.copy(interpretation=interpretation or guess)


def saved(kind: str, array: np.ndarray = SCENE, *, interpretation: str = "", fields: dict[str, Any] | None = None,
          **options: Any) -> bytes:
    """What libvips writes of an array; `fields` are bytes and numbers beside it, such as `icc-profile-data`."""
    image = to_vips(array, interpretation)
    for name, value in (fields or {}).items():
        image.set_type({bytes: pyvips.GValue.blob_type, int: pyvips.GValue.gint_type}[type(value)], name, value)
    data: bytes = image.write_to_buffer(f".{kind}", **options)
    return data


def deep(array: np.ndarray) -> np.ndarray:
    """Eight bits as sixteen, with low bytes that do not say the same as the high ones."""
    return array.astype(np.uint16) * 257


# JPEG


def jpeg(array: np.ndarray = SCENE, sampling: str = "420", quality: int = 90, **options: Any) -> bytes:
    """By libjpeg-turbo through simplejpeg."""
    space = "GRAY" if array.shape[2] == 1 else "RGB"
    data: bytes = simplejpeg.encode_jpeg(np.ascontiguousarray(array), quality=quality, colorspace=space,
                                         colorsubsampling="Gray" if space == "GRAY" else sampling, **options)
    return data


def private(data: bytes, orientation: int = 1) -> bytes:
    """A JPEG with everything beside it that cameras and programs put there."""
    long_xmp = b"http://ns.adobe.com/xmp/extension/\0" + b"0" * 32 + struct.pack(">II", len(CANARY), 0) + CANARY
    return in_jpeg(data, segment(0xE1, b"Exif\0\0" + exif(orientation)),
                   segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + xmp()), segment(0xE1, long_xmp),
                   segment(0xED, iptc()), segment(0xEB, b"JP\0\1\0\0\0\1\0\0\0\x20jumb" + CANARY),
                   segment(0xEC, b"Ducky" + CANARY), segment(0xFE, CANARY)) + AFTER_THE_END


def sideways(data: bytes, orientation: int) -> bytes:
    return in_jpeg(data, segment(0xE1, b"Exif\0\0" + exif(orientation)))


def with_profile(data: bytes, icc: bytes) -> bytes:
    return in_jpeg(data, icc_segments(icc))


def ycck() -> bytes:
    """Four inks of which three are coded as luminance and chroma: Adobe's transform 2."""
    data = cmyk()
    at = data.index(b"Adobe\0") + 11
    return data[:at] + b"\2" + data[at + 1:]


def cmyk() -> bytes:
    """Four inks, inverted as Adobe does it."""
    inks = np.dstack([255 - SCENE, GREY // 4])
    return saved("jpg", inks, interpretation="cmyk", Q=95)


def twelve_bits() -> bytes:
    data = jpeg()
    at = data.index(b"\xff\xc0")
    return data[:at] + b"\xff\xc1" + data[at + 2:at + 4] + b"\x0c" + data[at + 5:]


def multi_picture() -> bytes:
    """MPO, and Ultra HDR in its manner: a second JPEG behind the first, named by MPF and XMP."""
    first, second = jpeg(), in_jpeg(jpeg(GREY), segment(0xFE, CANARY))

    def index(offset: int, size: int) -> bytes:
        head = b"MPF\0MM\0*\0\0\0\x08" + struct.pack(">H", 3)
        head += struct.pack(">HHI4s", 0xB000, 7, 4, b"0100") + struct.pack(">HHII", 0xB001, 4, 1, 2)
        head += struct.pack(">HHII", 0xB002, 7, 32, 50) + b"\0\0\0\0"
        return head + struct.pack(">IIIHH", 0x20030000, size, 0, 0, 0) + struct.pack(">IIIHH", 0, len(second), offset,
                                                                                     0, 0)

    plain = segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + xmp())
    start = 2 + len(plain) + 8  # offsets count from the byte order in the MPF segment
    size = len(first) + len(plain) + len(segment(0xE2, index(0, 0)))
    return in_jpeg(first, plain, segment(0xE2, index(size - start, size))) + second


# PNG


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


def packed(array: np.ndarray, depth: int) -> list[bytes]:
    """Rows of values as bytes, the first value in the highest bits."""
    if depth == 16:
        return [row.astype(">u2").tobytes() for row in array]
    if depth == 8:
        return [row.astype(np.uint8).tobytes() for row in array]
    bits = (array[..., None] >> np.arange(depth - 1, -1, -1)) & 1
    return [np.packbits(row.reshape(-1)).tobytes() for row in bits.astype(np.uint8)]


def private_png(data: bytes, orientation: int = 1) -> bytes:
    return in_png(data, chunk(b"tEXt", b"Author\0" + CANARY), chunk(b"zTXt", b"Comment\0\0" + zlib.compress(CANARY)),
                  chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp()), chunk(b"eXIf", exif(orientation)),
                  chunk(b"tIME", b"\x07\xe8\5\1\0\0\0"), chunk(b"prVt", CANARY), chunk(b"caBX", CANARY)) + AFTER_THE_END


def animated_png(frames: Sequence[np.ndarray]) -> bytes:
    """An APNG of whole frames, for ever."""
    parts, number = [chunk(b"acTL", struct.pack(">II", len(frames), 0))], 0
    height, width, bands = frames[0].shape
    for index, frame in enumerate(frames):
        parts.append(chunk(b"fcTL", struct.pack(">IIIIIHHBB", number, width, height, 0, 0, 70, 1000, 0, 0)))
        rows = zlib.compress(_png_rows(frame, 8))
        number += 1
        if index:
            parts.append(chunk(b"fdAT", struct.pack(">I", number) + rows))
            number += 1
        else:
            parts.append(chunk(b"IDAT", rows))
    head = struct.pack(">IIBBBBB", width, height, 8, 2 if bands == 3 else 6, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + b"".join(parts) + chunk(b"IEND")


# GIF


def moving(count: int = 3) -> list[np.ndarray]:
    """Indices of frames in which a square moves."""
    frames = [INDICES.copy() for _ in range(count)]
    for number, frame in enumerate(frames):
        frame[5:15, 5 + 6 * number:15 + 6 * number] = 41
    return frames


def gif(*frames: bytes, palette: np.ndarray | None = PALETTE, loop: int | None = None,
        size: tuple[int, int] = SIZE) -> bytes:
    """A GIF of frames that `gif_frame` made."""
    flags = 0xF5 if palette is not None else 0x70  # 64 colours
    data = b"GIF89a" + struct.pack("<HHBBB", *size, flags, 0, 0) + (palette.tobytes() if palette is not None else b"")
    if loop is not None:
        data += gif_extension(0xFF, b"NETSCAPE2.0", b"\1" + struct.pack("<H", loop))
    return data + b"".join(frames) + b";"


def gif_frame(indices: np.ndarray = INDICES, at: tuple[int, int] = (0, 0), *, palette: np.ndarray | None = None,
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


# WebP


def private_webp(data: bytes, orientation: int = 1, size: tuple[int, int] = SIZE) -> bytes:
    """A WebP with metadata and a chunk that nobody knows, and something behind its end."""
    inner = [pair for pair in webp_chunks(data) if pair[0] != b"EXIF"]  # libvips writes one of its own
    flags = 0x0C | (0x10 if any(kind in (b"ALPH", b"VP8L") for kind, _ in inner) else 0)
    inner = [pair for pair in inner if pair[0] != b"VP8X"] if inner[0][0] != b"VP8X" else inner
    if inner[0][0] == b"VP8X":
        inner[0] = (b"VP8X", bytes((inner[0][1][0] | 0x0C,)) + inner[0][1][1:])
    else:
        head = bytes((flags, 0, 0, 0)) + b"".join((side - 1).to_bytes(3, "little") for side in size)
        inner.insert(0, (b"VP8X", head))
    inner += [(b"EXIF", exif(orientation)), (b"XMP ", xmp()), (b"prVt", CANARY)]
    body = b"".join(kind + struct.pack("<I", len(value)) + value + b"\0" * (len(value) & 1) for kind, value in inner)
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body + AFTER_THE_END


def animated_webp(frames: Sequence[np.ndarray], **options: Any) -> bytes:
    image = to_vips(np.concatenate(frames))
    image.set_type(pyvips.GValue.gint_type, "page-height", frames[0].shape[0])
    image.set_type(pyvips.GValue.array_int_type, "delay", [70] * len(frames))
    data: bytes = image.webpsave_buffer(**options)
    return data


# BMP, WBMP, XBM


def bmp(bits: int, *, top_down: bool = False, head: int = 40, coded: int = 0, masks: tuple[int, ...] = ()) -> bytes:
    """A BMP of 1, 4, 8, 16, 24 or 32 bits, by Microsoft's description; `coded` 1 and 2 are RLE8 and RLE4."""
    palette = b""
    if bits <= 8:
        colours = {1: np.array([(0, 0, 0), (255, 255, 255)]), 4: PALETTE[::4][:16], 8: PALETTE}[bits]
        values = {1: BLACK_OR_WHITE[..., 0], 4: INDICES // 4, 8: INDICES}[bits]
        palette = b"".join(bytes((b, g, r)) + (b"" if head == 12 else b"\0") for r, g, b in colours)
        rows = packed(values, bits)
    elif bits == 16:
        red, green, blue = (SCENE[..., band].astype(np.uint16) >> 3 for band in range(3))
        finer = SCENE[..., 1].astype(np.uint16) >> 2
        together = red << 11 | finer << 5 | blue if masks else red << 10 | green << 5 | blue
        rows = [row.astype("<u2").tobytes() for row in together]
    else:
        fourth = HOLES[..., 3] if masks[3:] else GREY * 0
        wide = SCENE[..., ::-1] if bits == 24 else np.dstack([SCENE[..., ::-1], fourth])
        rows = [row.tobytes() for row in wide]
    rows = [row + b"\0" * (-len(row) % 4) for row in rows]
    if coded:
        rows = [_runs(values_row, coded) for values_row in values]
    body = b"".join(rows if top_down else rows[::-1]) + (b"\0\1" if coded else b"")
    width, height = SIZE
    count = len(palette) // (3 if head == 12 else 4)
    if head == 12:
        fields = struct.pack("<IHHHH", 12, width, height, 1, bits)
    else:
        compression = coded or (3 if masks else 0)
        fields = struct.pack("<IiiHHIIiiII", head, width, -height if top_down else height, 1, bits, compression,
                             len(body), 2835, 2835, count, 0)
        if head == 40:
            palette = struct.pack("<3I", *masks[:3]) + palette if masks else palette
        else:
            four = (*masks, 0, 0, 0, 0)[:4]
            fields = (fields + struct.pack("<4I", *four) + b"BGRs" + bytes(48)).ljust(head, b"\0")
    start = 14 + len(fields) + len(palette)
    return b"BM" + struct.pack("<IHHI", start + len(body), 0, 0, start) + fields + palette + body


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


def bmp_colours(bits: int) -> np.ndarray:
    """What such a BMP shows."""
    if bits == 1:
        return BLACK_OR_WHITE * np.uint8(255)
    if bits == 4:
        return PALETTE[::4][:16][INDICES // 4]
    return PALETTE[INDICES] if bits == 8 else SCENE


def wbmp() -> bytes:
    return b"\0\0" + bytes(SIZE) + b"".join(packed(BLACK_OR_WHITE[..., 0], 1))


def xbm() -> bytes:
    bits = np.packbits(1 - BLACK_OR_WHITE[..., 0], axis=1, bitorder="little")
    numbers = ", ".join(f"0x{value:02x}" for value in bits.reshape(-1))
    return (f"/* {CANARY.decode()} */\n#define x_width {SIZE[0]}\n#define x_height {SIZE[1]}\n"
            f"static char x_bits[] = {{\n{numbers}}};\n").encode()


# TGA, ICO, PSD, PPM


def tga(array: np.ndarray = SCENE, *, top_down: bool = False, runs: bool = False, bits: int = 24,
        palette: np.ndarray | None = None) -> bytes:
    """A Targa file, with a text in front of the picture."""
    kind = (1 if palette is not None else 3 if array.shape[2] == 1 else 2) + (8 if runs else 0)
    height, width = array.shape[:2]
    if bits == 16:
        red, green, blue = (array[..., band].astype(np.uint16) >> 3 for band in range(3))
        flat = (red << 10 | green << 5 | blue).astype("<u2").view(np.uint8).reshape(height, width, 2)
    else:
        order = {1: [0], 3: [2, 1, 0], 4: [2, 1, 0, 3]}[array.shape[2]]
        flat = array[..., order].astype(np.uint8)
    if not top_down:
        flat = flat[::-1]
    count = 0 if palette is None else len(palette)
    head = struct.pack("<BBBHHBHHHHBB", len(CANARY), int(count > 0), kind, 0, count, 24 if count else 0, 0, 0, width,
                       height, bits, (0x20 if top_down else 0) | (8 if bits == 32 else 0))
    colours = b"" if palette is None else palette[:, ::-1].tobytes()
    if runs:
        pixels = [bytes(pixel) for row in flat for pixel in row]
        body, at = b"", 0
        while at < len(pixels):
            end = at + 1
            while end < len(pixels) and pixels[end] == pixels[at] and end - at < 128 and end % width:
                end += 1
            body += bytes((0x80 | end - at - 1,)) + pixels[at]
            at = end
    else:
        body = flat.tobytes()
    return head + CANARY + colours + body + b"\0" * 8 + b"TRUEVISION-XFILE.\0"


def ico(*pictures: tuple[int, bytes]) -> bytes:
    """An icon of several sizes; each is (edge in pixels, PNG or headless BMP)."""
    at, table, body = 6 + 16 * len(pictures), b"", b""
    for edge, data in pictures:
        table += struct.pack("<BBBBHHII", edge % 256, edge % 256, 0, 0, 1, 32, len(data), at + len(body))
        body += data
    return struct.pack("<HHH", 0, 1, len(pictures)) + table + body


def icon_bitmap(array: np.ndarray) -> bytes:
    """A square RGBA picture as icons hold it: a BMP of double height without a file header, and a mask."""
    edge = len(array)
    body = array[::-1][..., [2, 1, 0, 3]].tobytes() + b"\0" * (edge * ((edge + 31) // 32 * 4))
    return struct.pack("<IiiHHIIiiII", 40, edge, edge * 2, 1, 32, 0, len(body), 0, 0, 0, 0) + body


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


def ppm(kind: str) -> bytes:
    """One of the family: P1 to P6 with a comment, P7 (PAM), Pf and PF (PFM)."""
    width, height = SIZE
    start = f"{kind}\n# {CANARY.decode()}\n{width} {height}\n"
    if kind in ("P1", "P4"):
        ink = 1 - BLACK_OR_WHITE[..., 0]
        text = "\n".join(" ".join(map(str, row)) for row in ink.tolist())
        return start.encode() + (text.encode() if kind == "P1" else b"".join(packed(ink, 1)))
    if kind in ("P2", "P3"):
        values = (GREY if kind == "P2" else SCENE).reshape(height, -1)
        return f"{start}255\n".encode() + "\n".join(" ".join(map(str, row)) for row in values.tolist()).encode()
    if kind in ("P5", "P6"):
        return f"{start}255\n".encode() + (GREY if kind == "P5" else SCENE).tobytes()
    if kind == "P7":
        return (f"P7\nWIDTH {width}\nHEIGHT {height}\nDEPTH 4\nMAXVAL 255\nTUPLTYPE RGB_ALPHA\n# {CANARY.decode()}\n"
                "ENDHDR\n").encode() + SOFT.tobytes()
    values = (GREY if kind == "Pf" else SCENE)[::-1].astype("<f4") / 255
    return f"{kind}\n{width} {height}\n-1.0\n".encode() + values.tobytes()


# TIFF


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
