"""ICC profiles written from numbers: a matrix with curves, a grey curve, a table of inks.

They go to littleCMS, and into files where a container cannot say otherwise what its numbers mean.
References are to ICC.1:2022 (profile version 4) and ICC.1:2001 (version 2).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import lru_cache

__all__ = ["D50", "Curve", "gray_profile", "ink_profile", "matrix_profile", "to_xyz"]

Vector = tuple[float, float, float]
Matrix = tuple[Vector, Vector, Vector]

#: What encoded values mean: an exponent, or the curve of sRGB (None).
Curve = float | None

D50: Vector = (0.9642, 1.0, 0.8249)  #: The white of all profiles (7.2.16).

_BRADFORD: Matrix = ((0.8951, 0.2664, -0.1614), (-0.7502, 1.7135, 0.0367), (0.0389, -0.0685, 1.0296))  # Annex E


@lru_cache(maxsize=64)
def matrix_profile(points: tuple[float, ...], curve: Curve, name: str = "RGB") -> bytes:
    """Return the profile of an RGB space, from white, red, green and blue as x, y, and its curve.

    `name` is what programs show, in ASCII. Raises `ValueError` where the points span no space of colours.
    """
    rows = adapted(points)
    columns = zip((b"rXYZ", b"gXYZ", b"bXYZ"), zip(*rows, strict=True), strict=True)
    tags = {name: _xyz(column) for name, column in columns}
    shape = _curve(curve)
    tags.update({b"rTRC": shape, b"gTRC": shape, b"bTRC": shape, b"chad": _matrix(_adaptation(points))})
    return _profile(b"mntr", b"RGB ", b"XYZ ", tags, name, version=4)


@lru_cache(maxsize=64)
def gray_profile(curve: Curve) -> bytes:
    """Return the profile of a space of greys with a curve."""
    return _profile(b"mntr", b"GRAY", b"XYZ ", {b"kTRC": _curve(curve)}, "grey", version=4)


def ink_profile(steps: int, lattice: bytes) -> bytes:
    """Return the profile of four inks, to be used as a source.

    `lattice` is Lab as `lut16Type` has it, for `steps` amounts of each ink, evenly spaced, the last
    running fastest.
    """
    head = b"mft2\0\0\0\0" + bytes((4, 3, steps, 0)) + _numbers(1, 0, 0, 0, 1, 0, 0, 0, 1)  # 10.10
    straight = struct.pack(">2H", 0, 65535)
    table = head + struct.pack(">2H", 2, 2) + straight * 4 + lattice + straight * 3
    # Class "scnr": a source only. As "prtr", with no way back, littleCMS could not find its black.
    return _profile(b"scnr", b"CMYK", b"Lab ", {b"A2B0": table, b"A2B1": table}, "offset on coated paper", version=2)


def to_xyz(points: tuple[float, ...]) -> Matrix:
    """Return the matrix from linear RGB to XYZ of white, red, green and blue as x, y, not adapted.

    Raises `ValueError` where the points span no space of colours.
    """
    white, *primaries = ((x / y, 1.0, (1 - x - y) / y) for x, y in zip(points[::2], points[1::2], strict=True) if y > 0)
    if len(primaries) != 3:
        raise ValueError("a chromaticity with y = 0")
    columns: Matrix = (primaries[0], primaries[1], primaries[2])
    amounts = times(inverse(transposed(columns)), white)
    if min(amounts) <= 0:
        raise ValueError("white is not among the colours of these primaries")
    scaled = [tuple(value * amount for value in column) for column, amount in zip(columns, amounts, strict=True)]
    return transposed((scaled[0], scaled[1], scaled[2]))  # type: ignore[arg-type]  # three values each


def adapted(points: tuple[float, ...]) -> Matrix:
    """Return the matrix from linear RGB to XYZ under D50."""
    return product(_adaptation(points), to_xyz(points))


def _adaptation(points: tuple[float, ...]) -> Matrix:
    """Return the matrix that takes XYZ under the white of `points` to D50, by Bradford's method (Annex E)."""
    x, y = points[:2]
    now, then = times(_BRADFORD, (x / y, 1.0, (1 - x - y) / y)), times(_BRADFORD, D50)
    if min(now) <= 0:
        raise ValueError("no white")
    scale: Matrix = ((then[0] / now[0], 0, 0), (0, then[1] / now[1], 0), (0, 0, then[2] / now[2]))
    return product(inverse(_BRADFORD), product(scale, _BRADFORD))


def times(matrix: Matrix, vector: Vector) -> Vector:
    """Return matrix times vector."""
    a, b, c = (sum(m * v for m, v in zip(row, vector, strict=True)) for row in matrix)
    return a, b, c


def transposed(matrix: Matrix) -> Matrix:
    """Return the matrix with rows and columns exchanged."""
    a, b, c = zip(*matrix, strict=True)
    return a, b, c


def product(left: Matrix, right: Matrix) -> Matrix:
    """Return the product of two matrices."""
    a, b, c = (times(left, column) for column in transposed(right))
    return transposed((a, b, c))


def inverse(matrix: Matrix) -> Matrix:
    """Return the inverse of a matrix. Raises `ValueError` where there is none."""
    (a, b, c), (d, e, f), (g, h, i) = matrix
    size = a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)
    if abs(size) < 1e-9:
        raise ValueError("the primaries are on a line")
    return (((e * i - f * h) / size, (c * h - b * i) / size, (b * f - c * e) / size),
            ((f * g - d * i) / size, (a * i - c * g) / size, (c * d - a * f) / size),
            ((d * h - e * g) / size, (b * g - a * h) / size, (a * e - b * d) / size))


def _numbers(*values: float) -> bytes:
    """Return s15Fixed16Numbers (4.6)."""
    return b"".join(struct.pack(">i", round(value * 65536)) for value in values)


def _xyz(values: Sequence[float]) -> bytes:
    return b"XYZ \0\0\0\0" + _numbers(*values)


def _matrix(rows: Matrix) -> bytes:
    return b"sf32\0\0\0\0" + _numbers(*rows[0], *rows[1], *rows[2])


def _curve(curve: Curve) -> bytes:
    """Return a parametricCurveType (10.18): type 0 is an exponent, type 3 has a straight start as in IEC 61966-2-1."""
    if curve is None:
        return b"para\0\0\0\0" + struct.pack(">2H", 3, 0) + _numbers(2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
    return b"para\0\0\0\0" + struct.pack(">2H", 0, 0) + _numbers(curve)


def _localised(text: str) -> bytes:
    """Return a multiLocalizedUnicodeType in English (10.15)."""
    words = text.encode("utf-16-be")
    return b"mluc\0\0\0\0" + struct.pack(">2L", 1, 12) + b"enUS" + struct.pack(">2L", len(words), 28) + words


def _text(tag: bytes, text: str) -> bytes:
    """Return a textDescriptionType for `desc`, a textType for others (ICC.1:2001, 6.5.17 and 6.5.18)."""
    plain = text.encode("ascii") + b"\0"
    if tag == b"desc":
        return b"desc\0\0\0\0" + struct.pack(">L", len(plain)) + plain + bytes(78)
    return b"text\0\0\0\0" + plain


def _profile(kind: bytes, space: bytes, connection: bytes, tags: dict[bytes, bytes], name: str, *,
             version: int) -> bytes:
    """Return a profile of `tags`, with those that every profile must have (8.2)."""
    words = ((b"desc", name), (b"cprt", "no copyright, use freely"))  # numbers are nobody's
    named = {tag: _localised(text) if version == 4 else _text(tag, text) for tag, text in words}
    named |= {b"wtpt": _xyz(D50), **tags}
    table, body, places = b"", b"", dict[bytes, int]()
    start = 128 + 4 + 12 * len(named)
    for tag, value in named.items():
        if value not in places:  # the same curve for three channels is written once
            places[value] = start + len(body)
            body += value + bytes(-len(value) % 4)
        table += tag + struct.pack(">2L", places[value], len(value))
    number = 0x04000000 if version == 4 else 0x02400000
    header = struct.pack(">L4sL4s4s4s", start + len(body), b"\0\0\0\0", number, kind, space, connection)
    header += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + _numbers(*D50)
    return header.ljust(128, b"\0") + struct.pack(">L", len(named)) + table + body
