"""How strongly a JPEG was compressed: quality from its quantisation tables, and chroma subsampling."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

# The example tables of ITU-T T.81, annex K.1, which the IJG library scales; in zigzag order, as files hold them.
_LUMA = (16, 11, 12, 14, 12, 10, 16, 14, 13, 14, 18, 17, 16, 19, 24, 40, 26, 24, 22, 22, 24, 49, 35, 37, 29, 40, 58, 51,
         61, 60, 57, 51, 56, 55, 64, 72, 92, 78, 64, 68, 87, 69, 55, 56, 80, 109, 81, 87, 95, 98, 103, 104, 103, 62,
         77, 113, 121, 112, 100, 120, 92, 101, 103, 99)
_CHROMA = (17, 18, 18, 24, 21, 24, 47, 26, 26, 47, 99, 66, 56, 66, 99, *[99] * 49)
_LOW = 15  # the first five diagonals: what the eye sees first

Table = tuple[int, ...]


def quality_of(luma: Table, chroma: Table | None = None) -> int:
    """Return the quality, 1 to 100, at which the IJG library compresses as strongly as these tables.

    Exact for tables made by that library (and its kin: libjpeg-turbo, Pillow, ImageMagick). For
    other tables the higher of two estimates, from all frequencies and from the low ones, so that
    encoding at it again is not visibly worse.
    """
    tables = (luma,) if chroma is None else (luma, chroma)
    exact = _closest(tables, 64)
    if _scaled(exact)[:len(tables)] == tables:
        return exact
    return max(exact, _closest(tables, _LOW))


def _closest(tables: tuple[Table, ...], length: int) -> int:
    """Return the quality whose tables have the sum nearest to that of `tables`; of equals the higher."""
    wanted = sum(sum(table[:length]) for table in tables)
    sums = _sums(len(tables), length)
    return min(range(100, 0, -1), key=lambda quality: abs(sums[quality - 1] - wanted))


@lru_cache(maxsize=8)
def _sums(count: int, length: int) -> Table:
    return tuple(sum(sum(table[:length]) for table in _scaled(quality)[:count]) for quality in range(1, 101))


@lru_cache(maxsize=100)
def _scaled(quality: int) -> tuple[Table, Table]:
    """Return the tables that the IJG library writes at `quality` (jcparam.c, `jpeg_quality_scaling`)."""
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality

    def scaled(table: Table) -> Table:
        return tuple(min(max((value * scale + 50) // 100, 1), 255) for value in table)

    return scaled(_LUMA), scaled(_CHROMA)


def subsampling_of(factors: Sequence[tuple[int, int]]) -> str | None:
    """Return the chroma subsampling of a colour picture from its sampling factors, as `4:2:0`.

    None where there is no chroma, or a ratio that has no such name.

    >>> subsampling_of([(2, 2), (1, 1), (1, 1)])
    '4:2:0'
    """
    if len(factors) < 3 or factors[1] != factors[2]:
        return None
    (across, down), (chroma_across, chroma_down) = factors[0], factors[1]
    if across % chroma_across or down % chroma_down:
        return None
    return {(1, 1): "4:4:4", (2, 1): "4:2:2", (2, 2): "4:2:0", (1, 2): "4:4:0", (4, 1): "4:1:1",
            (4, 2): "4:1:0"}.get((across // chroma_across, down // chroma_down))
