"""Numbers of any depth become 8 bits: whole numbers by their maximum, others by what they seem to be.

Neither TIFF nor Photoshop says what the greatest value is of numbers that are not whole, or of
those of 32 bits. The rule of most programs is that 1, or all bits, is white:

- Numbers that are not whole are taken as 0 for black to 1 for white. What lies above (the sun, a
  reflection) is shown white, and is said: nobody can know how it was meant to be toned down. Where
  most of what is not black lies above 1, they are taken as numbers of 8 or of 16 bits, or, where those
  do not hold them either, their range is shown from black to white, and that is said as well.
- Whole numbers of 24 and 32 bits, and signed ones, that use none of the highest 8 bits, are taken as
  numbers of 8 or 16 bits where those hold them; else their range is shown.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Scale", "coded", "scale_of_floats", "scale_of_integers", "to_bytes"]

_CLOSE = 0.01  # beyond 0 and 1: what sharpening and resampling leave
_FEW = 1e-4  # of the values may lie beyond without a word


@dataclass(frozen=True, slots=True)
class Scale:
    """Which numbers are black and white, and what there is to say about that."""

    black: float
    white: float
    notes: tuple[str, ...] = ()


def scale_of_floats(parts: Iterable[Any]) -> Scale:
    """Return the scale of numbers that are not whole, given in arrays."""
    low, high, some, above, below, count = 0.0, 0.0, 0, 0, 0, 0
    for part in parts:
        values = part[np.isfinite(part)]
        if values.size:
            low, high = min(low, float(values.min())), max(high, float(values.max()))
        some += int(np.count_nonzero(values > 0))
        above += int(np.count_nonzero(values > 1 + _CLOSE))
        below += int(np.count_nonzero(values < -_CLOSE))
        count += values.size
    if above * 2 <= some:
        beyond = above + below
        notes = (f"{_share(beyond, count)} of its values lie outside 0 to 1 (up to {high:.3g}) and are cut off there",
                 ) if beyond > count * _FEW else ()
        return Scale(0.0, 1.0, notes)
    return _of_range(low, high)


def scale_of_integers(parts: Iterable[Any], bits: int, *, signed: bool) -> Scale:
    """Return the scale of whole numbers of 24 or 32 bits, or of signed ones, given in arrays.

    White is the greatest that there can be: of signed ones of 16 bits 32,767.
    """
    low, high = 0, 0
    for part in parts:
        if part.size:
            low, high = min(low, int(part.min())), max(high, int(part.max()))
    if low >= 0 and high >> max(0, bits - 8):
        return Scale(0, (1 << bits - signed) - 1)
    return _of_range(low, high)


def _of_range(low: float, high: float) -> Scale:
    for most in (255, 65535):
        if low >= -1 and high <= most + 1:
            return Scale(0, most)
    return Scale(low, high, (f"its values go from {low:.6g} to {high:.6g}, shown from black to white",))


def _share(part: int, whole: int) -> str:
    share = 100 * part / whole
    return f"{share:.0f} %" if share >= 1 else "less than 1 %"


def to_bytes(values: Any, scale: Scale, *, inverted: bool = False, light: bool = False) -> Any:
    """Return numbers as bytes: the scale's black is 0, its white 255; what is not a number is black.

    `inverted` exchanges the two. `light` says that the numbers are amounts of light: they are
    coded as sRGB has it, since in 8 bits of light dark tones would be lost.
    """
    if values.dtype == np.uint8 and (scale.black, scale.white, inverted, light) == (0, 255, False, False):
        return values
    if values.dtype.kind == "u" and values.dtype.itemsize <= 2:
        table = _scaled(np.arange(1 << 8 * values.dtype.itemsize), scale, inverted, light)
        return table[values]
    return _scaled(values, scale, inverted, light)


def _scaled(values: Any, scale: Scale, inverted: bool, light: bool) -> Any:
    with np.errstate(all="ignore"):
        shares = (values.astype(np.float64) - scale.black) / ((scale.white - scale.black) or 1.0)
        shares = np.clip(np.nan_to_num(shares, nan=0.0, posinf=1.0, neginf=0.0), 0.0, 1.0)
    if inverted:
        shares = 1.0 - shares
    return np.rint((coded(shares) if light else shares) * 255).astype(np.uint8)


def coded(light: Any) -> Any:
    """Return amounts of light, 0 to 1, as sRGB codes them, 0 to 1 (IEC 61966-2-1)."""
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * np.power(light, 1 / 2.4) - 0.055)
