"""ICC profiles that are a curve for each channel and a matrix, read as numbers.

littleCMS follows them too, but Pillow hands it 8 bits a channel only, and where black is not quite
black it makes a table of 33 steps of them, which is 17 of 255 off in the dark.
References are to ICC.1:2022.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from imagepipe.color.build import Matrix, adapted, inverse, product, transposed
from imagepipe.color.profiles import space_of, tag_of
from imagepipe.color.space import SRGB

__all__ = ["Shaper", "shaper"]

_LUTS = (b"A2B0", b"A2B1", b"D2B0", b"D2B1")  # count before curves and a matrix
_DARK = 0.184187  # Y of L* 50: no black that is compensated for is lighter (as in littleCMS)
_PARAMETERS = (1, 3, 4, 5, 7)  # of a parametric curve, by its kind

_CurveFunction = Callable[[Any], Any]


@dataclass(frozen=True)
class Shaper:
    """The way from a profile's codes to linear sRGB."""

    curves: tuple[_CurveFunction, ...]  #: One, of grey, or three: from an array of codes, 0 to 1, to light.
    matrix: Matrix  #: From light to linear sRGB.
    black: float  #: Light of the darkest colour, which is to become none.

    def light(self, count: int) -> tuple[Any, ...]:
        """Return the light of each of `count` codes, for each channel."""
        import numpy as np

        codes = np.arange(count) / (count - 1)
        with np.errstate(all="ignore"):  # a strange curve may have a hole
            return tuple(np.nan_to_num(np.clip(curve(codes), 0, 1)).astype(np.float32) for curve in self.curves)


def shaper(icc: bytes) -> Shaper | None:
    """Return what an RGB or grey profile does; None where it does so by tables, or says nothing that can be done."""
    import numpy as np

    if any(tag_of(icc, name) is not None for name in _LUTS):
        return None
    gray = space_of(icc) == "GRAY"
    if icc[20:24] != b"XYZ " or not (gray or space_of(icc) == "RGB"):
        return None
    try:
        curves = tuple(_curve(tag_of(icc, name)) for name in ((b"kTRC",) if gray else (b"rTRC", b"gTRC", b"bTRC")))
        columns: Matrix = ((1, 0, 0), (0, 1, 0), (0, 0, 1))  # grey is its own light
        if not gray:
            columns = (_point(tag_of(icc, b"rXYZ")), _point(tag_of(icc, b"gXYZ")), _point(tag_of(icc, b"bXYZ")))
        with np.errstate(all="raise", under="ignore"):
            dark = [float(curve(np.linspace(0, 1, 256))[0]) for curve in curves]
    except (ValueError, struct.error, FloatingPointError):
        return None
    black = dark[0] if gray else sum(column[1] * value for column, value in zip(columns, dark, strict=True))
    matrix = columns if gray else product(inverse(adapted(SRGB.points)), transposed(columns))
    return Shaper(curves, matrix, min(max(black, 0.0), _DARK))


def _point(tag: bytes | None) -> tuple[float, float, float]:
    """Return an XYZType (10.31). Raises `struct.error` where it is none."""
    x, y, z = struct.unpack(">3i", (tag or b"")[8:20])
    return x / 65536, y / 65536, z / 65536


def _curve(tag: bytes | None) -> _CurveFunction:
    """Return a curveType or parametricCurveType (10.6, 10.18). Raises `ValueError`, `struct.error` if it is none."""
    if tag is not None and tag[:4] == b"curv":
        return _points(tag)
    if tag is not None and tag[:4] == b"para":
        return _parametric(tag)
    raise ValueError("no curve")


def _points(tag: bytes) -> _CurveFunction:
    import numpy as np

    count = int(struct.unpack(">L", tag[8:12])[0])
    if count == 0:
        return lambda codes: codes
    if count == 1:
        exponent = struct.unpack(">H", tag[12:14])[0] / 256
        return lambda codes: codes ** exponent
    if len(tag) < 12 + 2 * count:
        raise ValueError("a curve that is cut short")
    values = np.frombuffer(tag, ">u2", count, 12) / 65535
    places = np.linspace(0, 1, count)
    return lambda codes: np.interp(codes, places, values)


def _parametric(tag: bytes) -> _CurveFunction:
    import numpy as np

    kind = int(struct.unpack(">H", tag[8:10])[0])
    if kind >= len(_PARAMETERS):
        raise ValueError("a kind of curve that is not known")
    count = _PARAMETERS[kind]
    stated = [value / 65536 for value in struct.unpack(f">{count}i", tag[12:12 + 4 * count])]
    g, a, b, c, d, e, f = stated + [0.0] * (7 - count)
    if kind == 0:
        a, b, start = 1.0, 0.0, 0.0
    elif kind < 3:
        if a == 0:
            raise ValueError("a curve that divides by zero")
        start, shift = -b / a, c
        return lambda codes: np.clip(np.where(codes >= start, _power(a * codes + b, g), 0) + shift, 0, 1)
    else:
        start = d
    return lambda codes: np.clip(np.where(codes >= start, _power(a * codes + b, g) + e, c * codes + f), 0, 1)


def _power(values: Any, exponent: float) -> Any:
    import numpy as np

    return np.maximum(values, 0) ** exponent
