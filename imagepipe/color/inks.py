"""What four inks look like on paper, for CMYK pictures that do not say which inks they mean.

A model of offset printing on coated paper, computed from published aims: the colours of the
solids and of their overprints, and the tone value increase, of ISO 12647-2:2004/Amd 1:2007 for
paper types 1 and 2 (GRACoL took over the same solids). Halftones are mixed after Neugebauer:
the light of the 16 ways in which inks can lie on a spot, each weighted by the share of the paper
where they do so (Demichel). That a profile of a particular press would differ from it by a few
steps is less than the choice among presses differs; without it, red ink would be the red of a lamp.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import product

from imagepipe.color.build import D50, Vector, ink_profile

__all__ = ["default_cmyk"]

#: CIELAB (D50, 2 degrees, black backing) of paper, solids and overprints, by the inks that lie there.
_SOLIDS: dict[str, Vector] = {
    "": (95, 0, -2), "c": (55, -37, -50), "m": (48, 74, -3), "y": (89, -5, 93), "k": (16, 0, 0),
    "my": (47, 68, 48), "cy": (50, -65, 27), "cm": (24, 22, -46), "cmy": (23, 0, 0),
}
_INCREASE = {"c": 0.14, "m": 0.14, "y": 0.14, "k": 0.17}  # of tone value, at 50 %
_SHEEN = 0.007  # share of the light that the surface reflects, whatever is printed: ink on ink gets no darker
_STEPS = 11  # of the lattice, an ink: 14,641 colours
_ENTRIES = 256  # of a curve


@lru_cache(maxsize=1)
def default_cmyk() -> bytes:
    """Return the profile that stands in for one that a CMYK picture lacks."""
    import numpy as np

    solids = np.array([_light("".join(inks)) for inks in product(*(("", ink) for ink in "cmyk"))])
    grid = np.linspace(0, 1, _STEPS)
    coverage = np.stack(np.meshgrid(grid, grid, grid, grid, indexing="ij"), axis=-1).reshape(-1, 4)
    shares = np.ones((len(coverage), 1))
    for ink in range(4):  # ends in the order of `solids`: c changes slowest
        covered = coverage[:, ink:ink + 1]
        shares = np.concatenate([shares[..., None] * (1 - covered)[..., None],
                                 shares[..., None] * covered[..., None]], axis=-1).reshape(len(coverage), -1)
    relative = shares @ solids / _light("")  # to paper, which becomes white
    root = np.where(relative > (6 / 29) ** 3, np.cbrt(relative), relative * (29 / 6) ** 2 / 3 + 4 / 29)
    x, y, z = root.T
    lab = np.stack([(116 * y - 16) / 100 * 0xFF00, (500 * (x - y) + 128) * 256, (200 * (y - z) + 128) * 256], axis=-1)
    lattice = np.clip(np.rint(lab), 0, 65535).astype(">u2").tobytes()
    values = [index / (_ENTRIES - 1) for index in range(_ENTRIES)]
    curves = [[value + 4 * _INCREASE[ink] * value * (1 - value) for value in values] for ink in "cmyk"]
    return ink_profile(curves, _STEPS, lattice)


def _light(inks: str) -> Vector:
    """Return XYZ of a spot with solid inks on it."""
    if inks in _SOLIDS:
        return _xyz(_SOLIDS[inks])
    # Black over the others: each layer lets a share of the light through, and the surface returns its own.
    paper = _xyz(_SOLIDS[""])
    x, y, z = (
        white * (_SHEEN + (1 - _SHEEN) * _inner(over / white) * _inner(black / white))
        for white, over, black in zip(paper, _xyz(_SOLIDS[inks[:-1]]), _xyz(_SOLIDS["k"]), strict=True))
    return x, y, z


def _inner(share: float) -> float:
    """Return the share of the light that comes back from below the surface."""
    return max(0.0, (share - _SHEEN) / (1 - _SHEEN))


def _xyz(lab: Vector) -> Vector:
    """Return XYZ of CIELAB, under D50."""
    lightness, a, b = lab
    y = (lightness + 16) / 116
    x, y, z = (white * (root ** 3 if root > 6 / 29 else 3 * (6 / 29) ** 2 * (root - 4 / 29))
               for white, root in zip(D50, (y + a / 500, y, y - b / 200), strict=True))
    return x, y, z
