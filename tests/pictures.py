"""Pictures for tests, made in code, with private things put into them."""

from __future__ import annotations

import io
import struct
import zlib
from functools import cache
from typing import Any

from PIL import Image, ImageCms

CANARY = b"CANARY-7f3a"  #: Planted in what must not leave; searched for in what does.
SIZE = (48, 32)


def photo(size: tuple[int, int] = SIZE, mode: str = "RGB") -> Image.Image:
    """A picture with gradients, edges and texture, the same every time."""
    width, height = size
    across = Image.linear_gradient("L").resize(size)
    down = Image.linear_gradient("L").rotate(90).resize(size)
    round_ = Image.radial_gradient("L").resize(size)
    image = Image.merge("RGB", (across, down, round_))
    image.paste((200, 30, 40), (width // 8, height // 8, width // 3, height // 2))
    image.paste((20, 160, 220), (width // 2, height // 3, width - width // 8, height - height // 6))
    if mode == "RGBA":
        image.putalpha(round_.point(lambda value: 255 - value))
    return image if image.mode == mode else image.convert(mode)


def encoded(format: str, image: Image.Image | None = None, **options: Any) -> bytes:
    """The picture as Pillow writes it, `format` being Pillow's word."""
    out = io.BytesIO()
    (image or photo()).save(out, format, **options)
    return out.getvalue()


def animation(count: int = 3, size: tuple[int, int] = SIZE) -> list[Image.Image]:
    """Frames of a square that moves."""
    frames = []
    for number in range(count):
        frame = photo(size)
        frame.paste((255, 255, 0), (number * 5, 5, number * 5 + 10, 15))
        frames.append(frame)
    return frames


def animated(format: str, count: int = 3, **options: Any) -> bytes:
    """An animation of `count` frames, 70 ms each."""
    frames = animation(count)
    return encoded(format, frames[0], save_all=True, append_images=frames[1:], duration=70, **options)


@cache
def srgb_profile() -> bytes:
    """littleCMS's own sRGB; it names the second in which it was made."""
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def wide_profile(gamma: float = 2.2) -> bytes:
    """A profile like Adobe RGB: a matrix of wider primaries, and one gamma."""

    def fixed(value: float) -> bytes:
        return struct.pack(">i", round(value * 65536))

    def xyz(*values: float) -> bytes:
        return b"XYZ \0\0\0\0" + b"".join(map(fixed, values))

    curve = b"curv\0\0\0\0\0\0\0\1" + struct.pack(">H", round(gamma * 256)) + b"\0\0"
    text = b"desc\0\0\0\0\0\0\0\x05wide\0" + b"\0" * 78 + b"\0"
    values = {b"desc": text, b"cprt": b"text\0\0\0\0none\0\0\0\0", b"wtpt": xyz(0.9642, 1.0, 0.8249),
              b"rXYZ": xyz(0.60974, 0.31111, 0.01947), b"gXYZ": xyz(0.20528, 0.62567, 0.06087),
              b"bXYZ": xyz(0.14919, 0.06322, 0.74457), b"rTRC": curve, b"gTRC": curve, b"bTRC": curve}
    body, table, at = b"", b"", 128 + 4 + 12 * len(values)
    for tag, value in values.items():
        value += b"\0" * (-len(value) % 4)
        table += tag + struct.pack(">II", at + len(body), len(value))
        body += value
    head = (b"lcms" + b"\2\x10\0\0" + b"mntrRGB XYZ " + struct.pack(">6H", 2024, 1, 1, 0, 0, 0) + b"acsp" + b"\0" * 28
            + fixed(0.9642) + fixed(1.0) + fixed(0.8249) + b"\0" * 48)
    profile = head + struct.pack(">I", len(values)) + table + body
    return struct.pack(">I", len(profile) + 4) + profile


def exif(orientation: Any = 1, *, kind: int = 3, count: int = 1, gps: bool = True, thumbnail: bool = True,
         order: str = "big", copyright: bytes = b"") -> bytes:
    """An EXIF block, from its byte order on, with the canary in its texts, its position and its thumbnail.

    `orientation` is a number, or the raw four bytes of the value; None leaves it out.
    """
    mark = ">" if order == "big" else "<"
    entries: list[tuple[int, int, int, bytes]] = []
    if orientation is not None:
        value = orientation if isinstance(orientation, bytes) else struct.pack(mark + "HH", orientation, 0)
        entries.append((0x0112, kind, count, value))
    entries.append((0x010F, 2, len(CANARY) + 1, CANARY + b"\0"))
    if copyright:
        entries.append((0x8298, 2, len(copyright) + 1, copyright + b"\0"))
    entries.append((0x8769, 4, 1, b"exif"))
    if gps:
        entries.append((0x8825, 4, 1, b"gps!"))
    entries.sort()
    at = 8 + 2 + 12 * len(entries) + 4
    note = struct.pack(mark + "H", 1) + struct.pack(mark + "HHII", 0x927C, 7, len(CANARY), 0) + b"\0" * 4
    position = struct.pack(mark + "H", 1) + struct.pack(mark + "HHI4s", 1, 2, 2, b"N\0\0\0") + b"\0" * 4
    tail, directory = b"", b""
    for tag, type_, number, value in entries:
        if value in (b"exif", b"gps!"):
            place = struct.pack(mark + "I", at + len(tail))
            tail += note + CANARY if value == b"exif" else position + CANARY
            value = place
        elif len(value) > 4:
            place = struct.pack(mark + "I", at + len(tail))
            tail += value
            value = place
        directory += struct.pack(mark + "HHI", tag, type_, number) + value.ljust(4, b"\0")
    following = 0
    if thumbnail:
        following = at + len(tail)
        picture = encoded("JPEG", photo((16, 16)), comment=CANARY)
        tail += (struct.pack(mark + "H", 2) + struct.pack(mark + "HHII", 0x0201, 4, 1, following + 30)
                 + struct.pack(mark + "HHII", 0x0202, 4, 1, len(picture)) + b"\0" * 4 + picture)
    start = b"MM\0*\0\0\0\x08" if order == "big" else b"II*\0\x08\0\0\0"
    return start + struct.pack(mark + "H", len(entries)) + directory + struct.pack(mark + "I", following) + tail


def xmp(rights: str = "") -> bytes:
    """An XMP packet with the canary in it, and perhaps a copyright statement."""
    text = (f'<dc:rights><rdf:Alt><rdf:li xml:lang="x-default">{rights}</rdf:li></rdf:Alt></dc:rights>'
            if rights else "")
    return (f'<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF '
            f'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" '
            f'xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:tiff="http://ns.adobe.com/tiff/1.0/" '
            f'tiff:Orientation="6"><dc:subject><rdf:Bag><rdf:li>{CANARY.decode()}</rdf:li></rdf:Bag></dc:subject>{text}'
            f'</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>').encode()


def iptc(notice: bytes = b"") -> bytes:
    """The body of a Photoshop APP13 with IPTC records in it."""
    records = b"\x1c\x02\x78" + struct.pack(">H", len(CANARY)) + CANARY
    if notice:
        records += b"\x1c\x02\x74" + struct.pack(">H", len(notice)) + notice
    return (b"Photoshop 3.0\0" + b"8BIM\x04\x04\0\0" + struct.pack(">I", len(records)) + records
            + b"\0" * (len(records) & 1))


def segment(marker: int, body: bytes) -> bytes:
    """A JPEG segment."""
    return bytes((0xFF, marker)) + struct.pack(">H", len(body) + 2) + body


def in_jpeg(data: bytes, *segments: bytes, at: int = 2) -> bytes:
    """A JPEG with segments put in, behind its start unless said otherwise."""
    return data[:at] + b"".join(segments) + data[at:]


def icc_segments(icc: bytes, size: int = 65_519) -> bytes:
    """A profile as JPEG carries it, in pieces of `size` bytes."""
    chunks = [icc[at:at + size] for at in range(0, len(icc), size)]
    return b"".join(segment(0xE2, b"ICC_PROFILE\0" + bytes((number, len(chunks))) + chunk)
                    for number, chunk in enumerate(chunks, 1))


def chunk(kind: bytes, body: bytes = b"") -> bytes:
    """A PNG chunk."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def in_png(data: bytes, *chunks: bytes, before: bytes = b"IDAT") -> bytes:
    """A PNG with chunks put in before the first of a kind."""
    at = data.index(before) - 4
    return data[:at] + b"".join(chunks) + data[at:]


def png_chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    """What a PNG is made of, as (name, body)."""
    found, at = [], 8
    while at < len(data):
        size = int.from_bytes(data[at:at + 4], "big")
        found.append((data[at + 4:at + 8], data[at + 8:at + 8 + size]))
        at += 12 + size
    return found


def riff(*chunks: tuple[bytes, bytes]) -> bytes:
    """A WebP file of these chunks."""
    body = b"".join(kind + struct.pack("<I", len(value)) + value + b"\0" * (len(value) & 1) for kind, value in chunks)
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def webp_chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    """What a WebP is made of, as (name, body)."""
    found, at = [], 12
    while at < len(data):
        size = int.from_bytes(data[at + 4:at + 8], "little")
        found.append((data[at:at + 4], data[at + 8:at + 8 + size]))
        at += 8 + size + (size & 1)
    return found


def extended_webp(image: bytes, *chunks: tuple[bytes, bytes], flags: int = 0, size: tuple[int, int] = SIZE) -> bytes:
    """A WebP with VP8X, from a simple one; `chunks` that are a profile come before the picture."""
    start = bytes((flags, 0, 0, 0)) + (size[0] - 1).to_bytes(3, "little") + (size[1] - 1).to_bytes(3, "little")
    before = [pair for pair in chunks if pair[0] == b"ICCP"]
    after = [pair for pair in chunks if pair[0] != b"ICCP"]
    inner = [pair for pair in webp_chunks(image) if pair[0] != b"VP8X"]
    return riff((b"VP8X", start), *before, *inner, *after)


def in_gif(data: bytes, *blocks: bytes) -> bytes:
    """A GIF with blocks put in before its end."""
    return data[:-1] + b"".join(blocks) + data[-1:]


def gif_extension(label: int, *parts: bytes) -> bytes:
    """A GIF extension of sub-blocks."""
    return bytes((0x21, label)) + b"".join(bytes((len(part),)) + part for part in parts) + b"\0"


def other_eyes(data: bytes, *, fail_on: str = "warning") -> tuple[tuple[int, int, int], bytes]:
    """Size, bands and pixels of all frames as libvips decodes them, which is not Pillow."""
    import pyvips

    options = {} if data[:3] == b"\xff\xd8\xff" or data[:4] == b"\x89PNG" else {"n": -1}
    image = pyvips.Image.new_from_buffer(data, "", fail_on=fail_on, **options)
    return (image.width, image.height, image.bands), bytes(image.write_to_memory())
