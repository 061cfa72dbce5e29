"""JPEGs for the table, by libjpeg-turbo and put together here."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import simplejpeg
from pictures import CANARY, exif, icc_segments, in_jpeg, iptc, segment, xmp
from table_pictures import AFTER_THE_END, SCENE, film, grey, saved


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


def cmyk(inks: np.ndarray) -> bytes:
    """Four inks in full chroma, inverted as Adobe does it."""
    return saved("jpg", inks, interpretation="cmyk", Q=95)


def ycck(inks: np.ndarray) -> bytes:
    """Four inks of which three are coded as luminance and chroma: Adobe's transform 2."""
    red, green, blue, black = inks.astype(float).transpose(2, 0, 1)  # inverted: cyan counts as red
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    coded = np.stack([luma, 128 + (blue - luma) / 1.772, 128 + (red - luma) / 1.402, 255 - black], axis=-1)
    data = cmyk(255 - np.rint(coded).clip(0, 255).astype(np.uint8))  # which turns them round again
    at = data.index(b"Adobe\0") + 11
    return data[:at] + b"\2" + data[at + 1:]


def twelve_bits() -> bytes:
    data = jpeg()
    at = data.index(b"\xff\xc0")
    return data[:at] + b"\xff\xc1" + data[at + 2:at + 4] + b"\x0c" + data[at + 5:]


# Several pictures in a file


def _followed(first: bytes, more: tuple[bytes, ...], second: bytes) -> bytes:
    """Two JPEGs, of which the first has an index of both (CIPA DC-007), beside `more`."""
    def index(offset: int, size: int) -> bytes:
        head = b"MPF\0MM\0*\0\0\0\x08" + struct.pack(">H", 3)
        head += struct.pack(">HHI4s", 0xB000, 7, 4, b"0100") + struct.pack(">HHII", 0xB001, 4, 1, 2)
        head += struct.pack(">HHII", 0xB002, 7, 32, 50) + b"\0\0\0\0"
        return head + struct.pack(">IIIHHIIIHH", 0x30000, size, 0, 0, 0, 0, len(second), offset, 0, 0)

    before = b"".join(more)
    start = 2 + len(before) + 8  # offsets count from the byte order in the MPF segment
    size = len(first) + len(before) + len(segment(0xE2, index(0, 0)))
    return in_jpeg(first, before, segment(0xE2, index(size - start, size))) + second


def multi_picture(array: np.ndarray = SCENE) -> bytes:
    """MPO, as stereo cameras write it."""
    return _followed(jpeg(array), (_xmp(xmp()),), in_jpeg(jpeg(255 - array), segment(0xFE, CANARY)))


def ultra_hdr(array: np.ndarray = SCENE) -> bytes:
    """A picture with a gain map, said in both ways: Android's XMP, and ISO 21496-1 in APP2; the map is a JPEG too."""
    version = b"urn:iso:std:iso:ts:21496:-1\0" + bytes(4)
    fractions = struct.pack(">13I", 0, 1, 3, 1, 0, 1, 3, 1, 1, 1, 1, 64, 1)
    gain = in_jpeg(jpeg(255 - grey(array)), _xmp(_packet(
        f'hdrgm:Version="1.0" hdrgm:GainMapMax="3" hdrgm:HDRCapacityMax="3" dc:source="{CANARY.decode()}"')),
        segment(0xE2, version + b"\0" + fractions + struct.pack(">I", 64)), segment(0xFE, CANARY))
    directory = _container(
        '<Container:Item Item:Semantic="Primary" Item:Mime="image/jpeg"/>',
        f'<Container:Item Item:Semantic="GainMap" Item:Mime="image/jpeg" Item:Length="{len(gain)}"/>')
    return _followed(jpeg(array), (_xmp(_packet('hdrgm:Version="1.0"', directory)), segment(0xE2, version)), gain)


def motion_photo(array: np.ndarray = SCENE) -> bytes:
    """A picture with a film behind it, as Android's camera says since 2020."""
    directory = _container(
        '<Container:Item Item:Semantic="Primary" Item:Mime="image/jpeg" Item:Length="0" Item:Padding="0"/>',
        f'<Container:Item Item:Semantic="MotionPhoto" Item:Mime="video/mp4" Item:Length="{len(film())}"/>')
    words = 'GCamera:MotionPhoto="1" GCamera:MotionPhotoVersion="1" GCamera:MotionPhotoPresentationTimestampUs="5"'
    return in_jpeg(jpeg(array), _xmp(_packet(words, directory))) + film()


def micro_video(array: np.ndarray = SCENE) -> bytes:
    """The same as before 2020, and in Samsung's own way."""
    words = f'GCamera:MicroVideo="1" GCamera:MicroVideoVersion="1" GCamera:MicroVideoOffset="{len(film())}"'
    samsung = b"\0\0\x30\x0a" + struct.pack("<I", 16) + b"MotionPhoto_Data" + film()
    trailer = b"SEFH" + struct.pack("<IIHHII", 107, 1, 0, 0x0A30, len(samsung), len(samsung))
    return (in_jpeg(jpeg(array), _xmp(_packet(words))) + samsung + trailer + struct.pack("<I", len(trailer)) + b"SEFT")


def _xmp(packet: bytes) -> bytes:
    return segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + packet)


def _packet(attributes: str, inside: str = "") -> bytes:
    """An XMP packet of what cameras say of what they put behind a picture."""
    spaces = {"rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#", "dc": "http://purl.org/dc/elements/1.1/",
              "hdrgm": "http://ns.adobe.com/hdr-gain-map/1.0/", "GCamera": "http://ns.google.com/photos/1.0/camera/",
              "Container": "http://ns.google.com/photos/1.0/container/",
              "Item": "http://ns.google.com/photos/1.0/container/item/"}
    named = " ".join(f'xmlns:{name}="{address}"' for name, address in spaces.items())
    return (f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF {named}><rdf:Description rdf:about="" {attributes}>{inside}'
            f'</rdf:Description></rdf:RDF></x:xmpmeta>').encode()


def _container(*items: str) -> str:
    listed = "".join(f'<rdf:li rdf:parseType="Resource">{item}</rdf:li>' for item in items)
    return f"<Container:Directory><rdf:Seq>{listed}</rdf:Seq></Container:Directory>"


# Kinds of container


def _split(data: bytes) -> tuple[list[bytes], bytes]:
    """The segments of a JPEG before its scan, and the rest."""
    segments, at = [], 2
    while data[at + 1] != 0xDA:
        end = at + 2 + int.from_bytes(data[at + 2:at + 4], "big")
        segments.append(data[at:end])
        at = end
    return segments, data[at:]


def _joined(segments: list[bytes], rest: bytes) -> bytes:
    return b"\xff\xd8" + b"".join(segments) + rest


def marked_rgb(data: bytes) -> bytes:
    """RGB that only Adobe's marker tells from luminance and chroma: its channels are numbered."""
    segments, rest = _split(data)
    numbers = dict(zip(b"RGB", (1, 2, 3), strict=True))
    for number, one in enumerate(segments):
        if one[1] == 0xC0:
            segments[number] = one[:10] + bytes(numbers.get(byte, byte) for byte in one[10:])
    return _joined(segments, rest[:5] + bytes(numbers.get(byte, byte) for byte in rest[5:10]) + rest[10:])


def unmarked_rgb(data: bytes) -> bytes:
    """RGB that only the names of its channels tell from luminance and chroma."""
    segments, rest = _split(data)
    return _joined([one for one in segments if one[1] != 0xEE], rest)


def tables_together(data: bytes) -> bytes:
    """All quantisation tables in one segment, and all Huffman tables in one, behind the frame's header."""
    segments, rest = _split(data)
    others = [one for one in segments if one[1] not in (0xDB, 0xC4)]
    return _joined([*others, *(segment(kind, b"".join(one[4:] for one in segments if one[1] == kind))
                               for kind in (0xC4, 0xDB))], rest)


def tables_twice(data: bytes) -> bytes:
    """Each table stated wrongly, and then again."""
    segments, rest = _split(data)
    wrong = [one[:5] + bytes(255 - byte // 2 for byte in one[5:]) for one in segments if one[1] == 0xDB]
    return _joined([*wrong, *segments], rest)


def wide_tables(data: bytes) -> bytes:
    """Quantisation tables of 16 bits, which only an extended frame may have."""
    segments, rest = _split(data)
    for number, one in enumerate(segments):
        if one[1] == 0xDB:
            segments[number] = segment(0xDB, bytes((0x10 | one[4],)) + b"".join(b"\0" + one[at:at + 1]
                                                                               for at in range(5, 69)))
        elif one[1] == 0xC0:
            segments[number] = b"\xff\xc1" + one[2:]
    return _joined(segments, rest)


def sampled_twice(data: bytes) -> bytes:
    """One channel of which it is said that it is sampled 2 x 2: which means nothing where it is alone."""
    segments, rest = _split(data)
    return _joined([one[:11] + b"\x22" + one[12:] if one[1] == 0xC0 else one for one in segments], rest)


def filled(data: bytes) -> bytes:
    """With the filling in front of markers that the standard allows."""
    segments, rest = _split(data)
    return _joined([b"\xff" * number + one for number, one in enumerate(segments)], b"\xff\xff" + rest)
