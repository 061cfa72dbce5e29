"""ICC profiles for tests, made from numbers: version 2, with `curv` curves (ICC.1:2001-04)."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from itertools import product

import numpy as np

D65 = (0.3127, 0.3290)
D50 = (0.3457, 0.3585)
#: White, red, green, blue as x, y; from IEC 61966-2-1, SMPTE EG 432-1, Adobe RGB (1998), ISO 22028-2, ITU-R BT.2020.
SRGB = (D65, (0.64, 0.33), (0.30, 0.60), (0.15, 0.06))
P3 = (D65, (0.680, 0.320), (0.265, 0.690), (0.150, 0.060))
ADOBE = (D65, (0.64, 0.33), (0.21, 0.71), (0.15, 0.06))
PROPHOTO = (D50, (0.734699, 0.265301), (0.159597, 0.840403), (0.036598, 0.000105))
BT2020 = (D65, (0.708, 0.292), (0.170, 0.797), (0.131, 0.046))

Points = Sequence[tuple[float, float]]
Curve = float | Callable[[float], float]


def srgb_curve(value: float) -> float:
    """From encoded to linear."""
    return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4


def to_xyz(points: Points) -> np.ndarray:
    """Linear RGB to XYZ, not adapted."""
    white, *primaries = (np.array([x / y, 1, (1 - x - y) / y]) for x, y in points)
    columns = np.stack(primaries, axis=1)
    return columns * np.linalg.solve(columns, white)


def adapted(points: Points) -> np.ndarray:
    """Linear RGB to XYZ under D50, after Bradford."""
    bradford = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
    matrix = to_xyz(points)
    cones = bradford @ np.array([0.9642, 1, 0.8249]) / (bradford @ matrix.sum(axis=1))
    return np.linalg.inv(bradford) @ np.diag(cones) @ bradford @ matrix


def rgb_profile(points: Points, curve: Curve, name: str = "made for a test", kind: bytes = b"mntr") -> bytes:
    """A profile of primaries and a curve."""
    columns = zip((b"rXYZ", b"gXYZ", b"bXYZ"), adapted(points).T, strict=True)
    curves = {channel: _curve(curve) for channel in (b"rTRC", b"gTRC", b"bTRC")}
    return assembled(b"RGB ", b"XYZ ", {name: _xyz(column) for name, column in columns} | curves, name, kind)


def gray_profile(curve: Curve, name: str = "greys for a test") -> bytes:
    return assembled(b"GRAY", b"XYZ ", {b"kTRC": _curve(curve)}, name)


def cmyk_profile(name: str = "inks for a test", steps: int = 7, kind: bytes = b"scnr") -> bytes:
    """Four inks that are a little impure, on white paper; not those of any printer."""
    lets_through = np.array([[0.05, 0.35, 0.75], [0.65, 0.07, 0.22], [0.85, 0.80, 0.04], [0.03, 0.03, 0.03]])
    lattice = b""
    for amounts in product(np.linspace(0, 1, steps), repeat=4):
        layers = [1 - amount * (1 - ink) for amount, ink in zip(amounts, lets_through, strict=True)]
        linear = 0.004 + 0.996 * np.prod(layers, axis=0)
        lattice += struct.pack(">3H", *_lab16(adapted(SRGB) @ linear))
    head = b"mft2\0\0\0\0" + bytes((4, 3, steps, 0)) + _fixed(1, 0, 0, 0, 1, 0, 0, 0, 1) + struct.pack(">2H", 2, 2)
    table = head + struct.pack(">2H", 0, 65535) * 4 + lattice + struct.pack(">2H", 0, 65535) * 3
    return assembled(b"CMYK", b"Lab ", {b"A2B0": table, b"A2B1": table}, name, kind)


def _lab16(xyz: np.ndarray) -> list[int]:
    ratio = xyz / np.array([0.9642, 1, 0.8249])
    x, y, z = np.where(ratio > 216 / 24389, np.cbrt(ratio), (24389 / 27 * ratio + 16) / 116)
    lab = [(116 * y - 16) * 652.8, (500 * (x - y) + 128) * 256, (200 * (y - z) + 128) * 256]
    return [min(65535, max(0, round(value))) for value in lab]


def _fixed(*values: float) -> bytes:
    return struct.pack(f">{len(values)}i", *(round(value * 65536) for value in values))


def _xyz(values: Sequence[float]) -> bytes:
    return b"XYZ \0\0\0\0" + _fixed(*values)


def _curve(curve: Curve) -> bytes:
    """An exponent with 8 bits behind the point, or 1,024 points of a function."""
    if callable(curve):
        points = [round(curve(index / 1023) * 65535) for index in range(1024)]
        return b"curv\0\0\0\0" + struct.pack(">L1024H", 1024, *points)
    return b"curv\0\0\0\0" + struct.pack(">LH", 1, round(curve * 256))


def rgb_table_profile(to_lab: Callable[[np.ndarray], np.ndarray], steps: int = 33, name: str = "a table") -> bytes:
    """A profile of a display by a table (mft2): `to_lab` takes rows of encoded red, green, blue, 0 to 1."""
    grid = np.array(list(product(np.linspace(0, 1, steps), repeat=3)))
    lab = to_lab(grid) * np.array([652.8, 256, 256]) + np.array([0, 32768, 32768])
    head = b"mft2\0\0\0\0" + bytes((3, 3, steps, 0)) + _fixed(1, 0, 0, 0, 1, 0, 0, 0, 1) + struct.pack(">2H", 2, 2)
    straight = struct.pack(">2H", 0, 65535) * 3
    table = head + straight + np.clip(np.rint(lab), 0, 65535).astype(">u2").tobytes() + straight
    return assembled(b"RGB ", b"Lab ", {b"A2B0": table, b"A2B1": table}, name)


def parametric(kind: int, *values: float) -> bytes:
    """A parametricCurveType (ICC.1:2022, 10.18)."""
    return b"para\0\0\0\0" + struct.pack(">2H", kind, 0) + _fixed(*values)


def points_of(values: Sequence[float]) -> bytes:
    """A curveType of points, 0 to 1 (10.6); none is a straight line."""
    return b"curv\0\0\0\0" + struct.pack(f">L{len(values)}H", len(values), *(round(v * 65535) for v in values))


def colorants(points: Points) -> dict[bytes, bytes]:
    """The tags of the primaries."""
    columns = zip((b"rXYZ", b"gXYZ", b"bXYZ"), adapted(points).T, strict=True)
    return {name: _xyz(column) for name, column in columns}


def white(*values: float) -> bytes:
    """An XYZType."""
    return _xyz(values)


def assembled(space: bytes, connection: bytes, tags: dict[bytes, bytes], name: str, kind: bytes = b"mntr",
              version: int = 0x02400000) -> bytes:
    """A profile of tags, with its header."""
    words = name.encode("latin-1") + b"\0"
    tags = {b"desc": b"desc\0\0\0\0" + struct.pack(">L", len(words)) + words + bytes(78),
            b"cprt": b"text\0\0\0\0none\0", b"wtpt": _xyz((0.9642, 1, 0.8249)), **tags}
    table, body = struct.pack(">L", len(tags)), b""
    for tag, value in tags.items():
        table += tag + struct.pack(">2L", 128 + 4 + 12 * len(tags) + len(body), len(value))
        body += value + bytes(-len(value) % 4)
    size = 128 + len(table) + len(body)
    header = struct.pack(">L4sL4s4s4s12x4s28x", size, b"test", version, kind, space, connection, b"acsp")
    return (header + _fixed(0.9642, 1, 0.8249)).ljust(128, b"\0") + table + body
