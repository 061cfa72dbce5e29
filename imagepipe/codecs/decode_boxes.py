"""What the boxes of AVIF, HEIF and JPEG 2000 say that their decoders do not pass on.

The boxes are looked for by name within the first part of a file, where writers put them; what is
found is only believed where its numbers make sense.
"""

from __future__ import annotations

import struct

__all__ = ["clean_aperture", "item_kinds", "jp2_depth", "jp2_profile", "largest_size", "nclx", "pixel_depth"]

_HEAD = 1 << 20  # bytes that are searched
_MAX_PROFILE = 8_000_000
_UNSPECIFIED = 2  # of primaries and transfer (ITU-T H.273)


def nclx(data: bytes) -> tuple[int, int, int, int] | None:
    """Return the colour box of an AVIF or HEIF: primaries, transfer, matrix, full range (ISO 14496-12, 12.1.5)."""
    at = data.find(b"colrnclx", 0, _HEAD)
    if at < 0 or at + 15 > len(data):
        return None
    primaries, transfer, matrix, full = struct.unpack_from(">HHHB", data, at + 8)
    return None if primaries == transfer == _UNSPECIFIED else (primaries, transfer, matrix, full >> 7)


def pixel_depth(data: bytes) -> int:
    """Return the bits of the first channel that an AVIF states (ISO 23008-12, 6.5.6); 8 where it does not."""
    at = data.find(b"pixi", 0, _HEAD)
    return data[at + 9] if 0 < at < len(data) - 9 and 1 <= data[at + 9] <= 16 else 8


def largest_size(data: bytes) -> tuple[int, int]:
    """Return the largest width and height that an AVIF or HEIF states (ISO 23008-12, 6.5.3); zeros where none."""
    largest = (0, 0)
    at = data.find(b"ispe", 0, _HEAD)
    while 0 < at <= len(data) - 16:
        size = struct.unpack_from(">II", data, at + 8)
        largest = max(largest, size, key=lambda pair: pair[0] * pair[1])
        at = data.find(b"ispe", at + 16, _HEAD)
    return largest


def item_kinds(data: bytes) -> frozenset[bytes]:
    """Return how the items of a HEIF are coded, as four letters each (ISO 14496-12, 8.11.6)."""
    found = set()
    at = data.find(b"infe", 0, _HEAD)
    while 0 < at <= len(data) - 16:
        if (version := data[at + 4]) in (2, 3):
            place = at + 12 + 2 * (version == 3)
            found.add(data[place:place + 4])
        at = data.find(b"infe", at + 4, _HEAD)
    return frozenset(found)


def clean_aperture(data: bytes, size: tuple[int, int]) -> tuple[int, int, int, int] | None:
    """Return the part of an AVIF of `size` that is to be shown (ISO 14496-12, 12.1.4): left, top, right, bottom.

    libheif cuts it out, libavif does not. None where all is shown, or where the boxes of several
    pictures in the file differ, or make no sense.
    """
    found = set()
    at = data.find(b"\0\0\0\x28clap", 0, _HEAD)
    while 0 <= at <= len(data) - 40:
        found.add(struct.unpack_from(">IIIIiIiI", data, at + 8))
        at = data.find(b"\0\0\0\x28clap", at + 40, _HEAD)
    if len(found) != 1 or data.find(b"clap", 0, _HEAD) < data.find(b"ipco", 0, _HEAD):
        return None
    wide, of_wide, high, of_high, right, of_right, down, of_down = found.pop()
    if not (of_wide and of_high and of_right and of_down):
        return None
    width, height = wide / of_wide, high / of_high
    left, top = (size[0] - width) / 2 + right / of_right, (size[1] - height) / 2 + down / of_down
    box = (round(left), round(top), round(left + width), round(top + height))
    inside = 0 <= box[0] < box[2] <= size[0] and 0 <= box[1] < box[3] <= size[1]
    return box if inside and box != (0, 0, *size) else None


def jp2_profile(data: bytes) -> bytes | None:
    """Return the profile in the colour box of a JPEG 2000 (ISO 15444-1, I.5.3.3), which Pillow does not read."""
    at = data.find(b"colr\x02", 0, 4096)
    if at < 4:
        return None
    length = int.from_bytes(data[at - 4:at], "big")
    return data[at + 7:at - 4 + length] if 11 < length <= _MAX_PROFILE else None


def jp2_depth(data: bytes) -> int:
    """Return the bits a channel of a JPEG 2000 (ISO 15444-1, I.5.3.1); 8 where it does not say."""
    at = data.find(b"ihdr", 0, 512)
    bits = (data[at + 14] & 0x7F) + 1 if 0 < at < len(data) - 14 else 8
    return bits if bits <= 38 else 8
