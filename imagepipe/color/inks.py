"""What four inks look like on paper, for CMYK pictures that do not say which inks they mean.

The aim is GRACoL 2006, offset print on coated paper: measured colours of 1,617 combinations of inks,
published as ANSI/CGATS/GRACoL TR 006-2007, whose file says that "profiles, or other derivative work, based on
these data may be distributed with no further permissions from CGATS". Its solid inks are those
of ISO 12647-2:2004/Amd 1. It lies between the two other aims that an unmarked picture may
have been made for: European FOGRA39 and American SWOP (TR 003) differ from it by 3.4 and 3.7 steps of
255 a channel on average, and from each other by 4.6. Inks merely subtracted from white are 21 off.

Not the table itself but a model of it is kept, 60 numbers: the light of the 16 ways in which inks
can lie on a spot, as measured, each weighted by the share of the paper where they do so (Neugebauer,
Demichel), mixed after Yule and Nielsen, as light spreads in paper; the shares were fitted to the
table. It is 1.3 steps off on average, 6 or less for 95 of 100 combinations, and more (up to 21)
only at the edge of sRGB: less than presses differ. The table or a whole profile (10 kB, 0.7 MB) would be truer to
one press, of which nobody knows that it is the right one; who does know hands in its profile.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import product

from imagepipe.color.build import D50, Vector, ink_profile

__all__ = ["default_cmyk"]

#: CIELAB (D50, 2 degrees, white backing) of the paper and of solid inks on it, from TR 006.
_SOLIDS: dict[str, Vector] = {
    "": (95, -0.02, -1.96), "k": (14.95, 0.19, -0.14),
    "y": (88.94, -5.02, 93.17), "yk": (14.73, -3.68, 10.78),
    "m": (47.93, 74.11, -3.01), "mk": (9.23, 14.29, 2.02),
    "my": (47.37, 68.25, 48.79), "myk": (10.16, 7.87, 6.8),
    "c": (54.96, -37.12, -50), "ck": (9.29, -7.09, -10.73),
    "cy": (50.12, -68.43, 25), "cyk": (10.24, -13.05, 3.39),
    "cm": (24.13, 17.2, -46.14), "cmk": (6.78, 6.18, -4.5),
    "cmy": (23, 0.17, -0.25), "cmyk": (8.06, 0.44, 0.02),
}
_SPREAD = 1.8  # exponent of Yule and Nielsen
#: What is covered beyond what is stated, at 50 %, as X, Y and Z see it: c, m, y, k.
_GAIN = ((0.048, 0.082, 0.090, 0.036), (0.045, 0.074, 0.024, 0.034), (-0.025, 0.017, 0.052, 0.027))
_STEPS = 11  # of the lattice, an ink: 14,641 colours


@lru_cache(maxsize=1)
def default_cmyk() -> bytes:
    """Return the profile that stands in for one that a CMYK picture lacks."""
    import numpy as np

    ways = ["".join(inks) for inks in product(*(("", ink) for ink in "cmyk"))]
    solids = np.array([_xyz(_SOLIDS[inks]) for inks in ways]) / _xyz(_SOLIDS[""])  # the paper becomes white
    grid = np.linspace(0, 1, _STEPS)
    stated = np.stack(np.meshgrid(grid, grid, grid, grid, indexing="ij"), axis=-1).reshape(-1, 4)
    seen = []
    for axis, gain in enumerate(_GAIN):
        covered = np.clip(stated + 4 * np.array(gain) * stated * (1 - stated), 0, 1)
        shares = np.ones((len(covered), 1))
        for ink in range(4):  # ends in the order of `ways`: c changes slowest
            share = covered[:, ink, None, None]
            shares = np.concatenate([shares[..., None] * (1 - share), shares[..., None] * share], axis=-1)
            shares = shares.reshape(len(covered), -1)
        seen.append((shares @ solids[:, axis] ** (1 / _SPREAD)) ** _SPREAD)
    x, y, z = (np.where(light > (6 / 29) ** 3, np.cbrt(light), light * (29 / 6) ** 2 / 3 + 4 / 29) for light in seen)
    lab = np.stack([(116 * y - 16) / 100 * 0xFF00, (500 * (x - y) + 128) * 256, (200 * (y - z) + 128) * 256], axis=-1)
    return ink_profile(_STEPS, np.clip(np.rint(lab), 0, 65535).astype(">u2").tobytes())


def _xyz(lab: Vector) -> Vector:
    """Return XYZ of CIELAB, under D50."""
    lightness, a, b = lab
    y = (lightness + 16) / 116
    x, y, z = (white * (root ** 3 if root > 6 / 29 else 3 * (6 / 29) ** 2 * (root - 4 / 29))
               for white, root in zip(D50, (y + a / 500, y, y - b / 200), strict=True))
    return x, y, z
