"""Colour profiles as containers carry them: sound or not, and worth carrying or not (ICC.1:2022, 7.2)."""

from __future__ import annotations

import zlib

MAX_PROFILE = 8_000_000  # the largest honest ones, of printers, have some 3 MB

_SPACES = {"gray": b"GRAY", "bilevel": b"GRAY", "rgb": b"RGB ", "palette": b"RGB ", "cmyk": b"CMYK", "ycck": b"CMYK"}


def sound(icc: bytes, channels: str) -> bytes | None:
    """Return the profile, without what follows its end; None where it is broken or for other channels.

    `channels` is as in `Header`.
    """
    if len(icc) < 128 + 4 or icc[36:40] != b"acsp" or icc[16:20] != _SPACES.get(channels):
        return None
    size = int.from_bytes(icc[:4], "big")
    if not 128 + 4 <= size <= min(len(icc), MAX_PROFILE):
        return None
    tags = int.from_bytes(icc[128:132], "big")
    if not 0 < tags <= 200 or 132 + 12 * tags > size:
        return None
    for at in range(132, 132 + 12 * tags, 12):
        start, length = int.from_bytes(icc[at + 4:at + 8], "big"), int.from_bytes(icc[at + 8:at + 12], "big")
        if start + length > size:
            return None
    return icc if size == len(icc) else icc[:size]


def is_worth_keeping(icc: bytes, keep: frozenset[str]) -> bool:
    """Return whether a sound profile says anything but sRGB, or is asked for."""
    if "icc" in keep:
        return True
    from imagepipe.color import is_srgb_profile  # loads Pillow's littleCMS: only where there is a profile

    return not is_srgb_profile(icc)


def inflated(packed: bytes, limit: int = MAX_PROFILE) -> tuple[bytes, bool] | None:
    """Return a zlib stream inflated, and whether it is all of `packed`; None where broken or above the limit."""
    inflate = zlib.decompressobj()
    try:
        plain = inflate.decompress(packed, limit + 1)
    except zlib.error:
        return None
    if len(plain) > limit or not inflate.eof:
        return None
    return plain, not inflate.unused_data
