"""Profiles of amounts of light: pictures with such a profile are coded as sRGB codes light before they get 8 bits.

An 8-bit picture of light has no dark tones: its second step is as bright as the 13th of sRGB.
So where numbers are deeper than 8 bits, they are coded on the way, and the profile is changed to say so.
References are to ICC.1:2022.
"""

from __future__ import annotations

import struct

__all__ = ["as_light", "with_srgb_curves"]

_CURVES = (b"rTRC", b"gTRC", b"bTRC", b"kTRC")
_SRGB = b"para" + bytes(4) + struct.pack(">HH5i", 3, 0, *(round(value * 65536) for value in (
    2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)))  # 10.18: g, a, b, c, d


def as_light(icc: bytes) -> bytes | None:
    """Return the profile with the curves of sRGB where it is one of light, of RGB or grey; else None."""
    curves = [icc[start:start + size] for _, start, size in _curve_entries(icc)]
    return with_srgb_curves(icc) if curves and all(map(_is_straight, curves)) else None


def with_srgb_curves(icc: bytes) -> bytes | None:
    """Return the profile with the curves of sRGB in place of its own; None where it has none, or tables besides."""
    entries = _curve_entries(icc)
    names = {icc[at:at + 4] for at in _places(icc)}
    if not entries or any(name[:3] in (b"A2B", b"D2B") for name in names):
        return None
    padded = icc + bytes(-len(icc) % 4)
    changed = bytearray(padded + _SRGB)
    for at, _, _ in entries:
        changed[at + 4:at + 12] = struct.pack(">II", len(padded), len(_SRGB))
    changed[:4] = struct.pack(">I", len(changed))
    changed[84:100] = bytes(16)  # the profile's own checksum (7.2.18), which may be left out
    return bytes(changed)


def _places(icc: bytes) -> range:
    """Return where the entries of the tag table are (7.3)."""
    count = int.from_bytes(icc[128:132], "big")
    whole = count <= 200 and 132 + 12 * count <= len(icc) and icc[16:20] in (b"RGB ", b"GRAY")
    return range(132, 132 + 12 * count, 12) if whole else range(0)


def _curve_entries(icc: bytes) -> list[tuple[int, int, int]]:
    """Return of each curve: where its entry in the tag table is, where it starts, how long it is."""
    return [(at, *struct.unpack_from(">II", icc, at + 4)) for at in _places(icc) if icc[at:at + 4] in _CURVES]


def _is_straight(curve: bytes) -> bool:
    """Say whether a curve leaves values as they are (10.6, 10.18)."""
    if curve[:4] == b"curv" and len(curve) >= 12:
        points = int.from_bytes(curve[8:12], "big")
        if points == 0:
            return True
        if not 0 < points <= 1 << 16 or len(curve) < 12 + 2 * points:
            return False
        values = struct.unpack_from(f">{points}H", curve, 12)
        if points == 1:
            return bool(values[0] == 256)
        return all(abs(value - place * 65535 / (points - 1)) <= 66 for place, value in enumerate(values))
    if curve[:4] == b"para" and len(curve) >= 16:
        return curve[8:10] == b"\0\0" and curve[12:16] == struct.pack(">i", 65536)
    return False
