"""What a container says of colour in numbers: PNG's gAMA, cHRM and cICP, and the nclx box of HEIC and AVIF."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from imagepipe.asset import Color
from imagepipe.color.build import Curve, gray_profile, matrix_profile
from imagepipe.color.profiles import is_srgb_profile, space_of, tag_of

__all__ = ["SRGB", "Space", "is_srgb", "profile_of", "stated"]

_D65 = (0.3127, 0.3290)
_C = (0.310, 0.316)
_BT709 = (*_D65, 0.640, 0.330, 0.300, 0.600, 0.150, 0.060)  # and sRGB

#: White, red, green, blue as x, y, by the number in ITU-T H.273, table 2. 2 is "unspecified", 10 is XYZ itself.
_PRIMARIES = {
    1: _BT709,
    4: (*_C, 0.67, 0.33, 0.21, 0.71, 0.14, 0.08),
    5: (*_D65, 0.64, 0.33, 0.29, 0.60, 0.15, 0.06),
    6: (*_D65, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070),
    7: (*_D65, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070),
    8: (*_C, 0.681, 0.319, 0.243, 0.692, 0.145, 0.049),
    9: (*_D65, 0.708, 0.292, 0.170, 0.797, 0.131, 0.046),
    11: (0.314, 0.351, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
    12: (*_D65, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
    22: (*_D65, 0.630, 0.340, 0.295, 0.605, 0.155, 0.077),
}
#: Exponents, by the number in ITU-T H.273, table 3. The curves of television (1, 6, 7, 11, 12, 14, 15)
#: are shown by browsers as if they were sRGB's, so that a film and its still look alike.
_EXPONENTS: dict[int, float] = {4: 2.2, 5: 2.8, 8: 1.0, 17: 2.6}
_HIGH = {16: "pq", 18: "hlg"}

_NAMES = {9: "BT.2020", 11: "DCI-P3", 12: "Display P3"}
_CLOSE = 0.004  # by which a chromaticity may differ: what rounding and other people's D65 make of it
_GAMMA = 0.45455  # of gAMA, which stands for sRGB's curve (PNG, Third Edition, 11.3.2.1 and 13.13)


@dataclass(frozen=True, slots=True)
class Space:
    """An RGB space in numbers."""

    points: tuple[float, ...] = _BT709  #: White, red, green, blue as x, y.
    curve: Curve = None  #: Exponent of decoding, None for the curve of sRGB.
    high: str = ""  #: `pq` or `hlg`: of high dynamic range; then `curve` says nothing.
    narrow: bool = False  #: Black is 16 and white 235.
    name: str = ""  #: For a note.


SRGB = Space()


def is_srgb(color: Color, channels: str) -> bool:
    """Return whether pixels with this statement on colour are shown right by a viewer that assumes sRGB.

    `channels` is as in `Header`, or `lab`. Of several statements the first counts: cICP (in HEIC
    and AVIF: nclx), the profile, gAMA with cHRM; and none at all means sRGB (PNG, Third Edition,
    section 13.13). One that says "unspecified", or nonsense, is none. gAMA 0.45455 alone, or
    with the primaries of sRGB, is sRGB. Inks and Lab never are.
    """
    if channels in ("cmyk", "ycck", "lab"):
        return False
    space = stated(color)
    if space is not None:
        gray = channels in ("gray", "bilevel")
        return space.curve is None and not space.high and not space.narrow and (gray or _near(space.points, _BT709))
    return color.icc is None or is_srgb_profile(color.icc, channels)


def stated(color: Color) -> Space | None:
    """Return the space that counts where it is stated in numbers, None where the profile counts, or nothing.

    A profile that itself says with such numbers that it is of PQ or HLG counts as numbers: its tables can only clip.
    """
    space = _of_code_points(color.cicp) if color.cicp is not None else None
    if space is None and color.icc is not None:
        space = _high_of_profile(color.icc)
    if space is not None or color.icc is not None:
        return space
    return _of_gamma(color.gamma, color.chromaticities)


def profile_of(color: Color, channels: str) -> bytes | None:
    """Return a profile that says what `color` says, for containers that know profiles only.

    None where it says nothing but sRGB, or what no profile of version 4 can say (PQ, HLG, narrow range).
    """
    space = stated(color)
    if space is None:
        return color.icc
    if space.high or space.narrow or is_srgb(color, channels):
        return None
    if channels in ("gray", "bilevel"):
        return gray_profile(space.curve)
    return matrix_profile(space.points, space.curve, space.name)


def color_for(format: str, color: Color, channels: str) -> Color | None:
    """Return how JPEG, PNG, GIF or WebP says what `color` says; None where it cannot, and pixels have to be converted.

    JPEG and WebP know only profiles, GIF nothing, and a WebP has no grey that a profile of greys could be for.
    """
    if channels == "lab" or (channels == "cmyk" and format != "jpeg"):
        return None
    if format == "png":
        return color
    if format == "gif" or (format == "webp" and channels == "gray"):
        return Color() if is_srgb(color, channels) else None
    if color.cicp is None and color.gamma is None and color.chromaticities is None:
        return color
    profile = profile_of(color, channels)
    return None if profile is None and not is_srgb(color, channels) else Color(icc=profile)


def _of_code_points(cicp: tuple[int, int, int, int]) -> Space | None:
    """Return the space of code points of ITU-T H.273, None where they are unspecified or reserved."""
    primaries, transfer, matrix, full = cicp
    if primaries not in _PRIMARIES and transfer not in _EXPONENTS and transfer not in _HIGH \
            and transfer not in (1, 6, 7, 11, 12, 13, 14, 15):
        return None
    # What is converted from luma and chroma was brought to full range by that. Only in RGB
    # itself (matrix 0, as cICP of PNG always has) is narrow range left to be undone.
    narrow = matrix == 0 and not full
    name = _NAMES.get(primaries, f"colour primaries {primaries}" if primaries != 1 else f"transfer {transfer}")
    return Space(_PRIMARIES.get(primaries, _BT709), _EXPONENTS.get(transfer), _HIGH.get(transfer, ""), narrow, name)


def _high_of_profile(icc: bytes) -> Space | None:
    """Return the space that the cicp tag of an RGB profile names (ICC.1:2022, 9.2.17), if of high dynamic range."""
    tag = tag_of(icc, b"cicp")
    if tag is None or len(tag) != 12 or tag[:4] != b"cicp" or space_of(icc) != "RGB":
        return None
    primaries, transfer, matrix, full = tag[8:]
    space = _of_code_points((primaries, transfer, matrix, full))
    return space if space is not None and space.high else None


def _of_gamma(gamma: float | None, points: tuple[float, ...] | None) -> Space | None:
    """Return the space of gAMA and cHRM, None where they say nothing, or nothing possible."""
    if points is not None and not _spans(points):
        points = None
    if gamma is not None and not 0.1 <= gamma <= 10:
        gamma = None
    if gamma is None and points is None:
        return None
    usual = points is None or _near(points, _BT709)
    if gamma is None or (usual and abs(gamma - _GAMMA) < 0.005):
        curve: Curve = None
    else:
        curve = 1 / gamma
    name = "gAMA" if usual else "gAMA and cHRM" if gamma is not None else "cHRM"
    return Space(_BT709 if usual else tuple(points or ()), curve, name=name)


def _spans(points: tuple[float, ...]) -> bool:
    if len(points) != 8:
        return False
    try:
        matrix_profile(points, None)
    except (ValueError, ZeroDivisionError, OverflowError, struct.error):  # the last: too large for a profile
        return False
    return True


def _near(points: tuple[float, ...], others: tuple[float, ...]) -> bool:
    return all(abs(one - other) <= _CLOSE for one, other in zip(points, others, strict=True))
