"""Which profiles are sRGB, and which are broken; what a container's numbers mean."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable

import pytest
from PIL import ImageCms
from profiles import ADOBE, BT2020, P3, PROPHOTO, SRGB, cmyk_profile, gray_profile, rgb_profile, srgb_curve

from imagepipe.asset import Color
from imagepipe.color import is_broken_profile, is_srgb, is_srgb_profile, profile_of
from imagepipe.color.profiles import MAX_PROFILE


def of_points(count: int) -> Callable[[float], float]:
    """The curve of sRGB as straight lines, as small profiles have it."""
    def curve(value: float) -> float:
        place = value * count
        low = min(count - 1, int(place))
        return srgb_curve(low / count) * (1 - place + low) + srgb_curve((low + 1) / count) * (place - low)

    return curve


def rounded(points: tuple[tuple[float, float], ...]) -> tuple[tuple[float, float], ...]:
    return tuple((x + 0.0002, y - 0.0002) for x, y in points)


@pytest.mark.parametrize("icc", [
    pytest.param(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(), id="the one of littleCMS"),
    pytest.param(rgb_profile(SRGB, srgb_curve, "Some Camera v3"), id="another name"),
    pytest.param(rgb_profile(rounded(SRGB), srgb_curve), id="rounded primaries"),
    pytest.param(rgb_profile(SRGB, of_points(25)), id="a curve of 25 points"),
    pytest.param(rgb_profile(SRGB, srgb_curve, kind=b"scnr"), id="of a scanner"),
    pytest.param(gray_profile(srgb_curve), id="greys"),
])
def test_a_profile_that_does_what_srgb_does_is_srgb(icc):
    assert is_srgb_profile(icc)
    assert not is_broken_profile(icc)


@pytest.mark.parametrize("icc", [
    pytest.param(rgb_profile(P3, srgb_curve, "sRGB IEC61966-2.1"), id="P3 that calls itself sRGB"),
    pytest.param(rgb_profile(ADOBE, 2.2), id="Adobe RGB"),
    pytest.param(rgb_profile(PROPHOTO, 1.8), id="ProPhoto"),
    pytest.param(rgb_profile(BT2020, srgb_curve), id="BT.2020"),
    pytest.param(rgb_profile(SRGB, 2.2, "sRGB"), id="gamma 2.2 is darker in the shadows"),
    pytest.param(rgb_profile(SRGB, of_points(8)), id="a curve of too few points"),
    pytest.param(rgb_profile((SRGB[0], SRGB[1], (0.29, 0.60), SRGB[3]), srgb_curve), id="PAL"),
    pytest.param(rgb_profile((SRGB[0], SRGB[2], SRGB[1], SRGB[3]), srgb_curve), id="red and green exchanged"),
    pytest.param(gray_profile(1.8), id="grey gamma 1.8"),
    pytest.param(gray_profile(2.2), id="grey gamma 2.2"),
    pytest.param(cmyk_profile(), id="inks"),
])
def test_a_profile_that_does_something_else_is_not_srgb(icc):
    assert not is_srgb_profile(icc)
    assert not is_broken_profile(icc)


def changed(icc: bytes, at: int, value: bytes) -> bytes:
    return icc[:at] + value + icc[at + len(value):]


ADOBE_RGB = rgb_profile(ADOBE, 2.2)


@pytest.mark.parametrize("icc", [
    pytest.param(b"", id="nothing"),
    pytest.param(b"\0" * 128, id="zeros"),
    pytest.param(random.Random(1).randbytes(3000), id="noise"),
    pytest.param(ADOBE_RGB[:-40], id="truncated"),
    pytest.param(ADOBE_RGB[:128], id="only a header"),
    pytest.param(ADOBE_RGB + b"\0" * MAX_PROFILE, id="huge"),
    pytest.param(changed(ADOBE_RGB, 12, b"link"), id="a device link"),
    pytest.param(changed(ADOBE_RGB, 12, b"abst"), id="an abstract profile"),
    pytest.param(changed(ADOBE_RGB, 12, b"nmcl"), id="named colours"),
    pytest.param(changed(ADOBE_RGB, 16, b"HSV "), id="a space that no picture has"),
    pytest.param(changed(ADOBE_RGB, 128, b"\xff\xff\xff\xff"), id="four thousand million tags"),
    pytest.param(changed(ADOBE_RGB, 132 + 3 * 12 + 4, b"\xff\xff\xff\x00"), id="a tag outside"),
    pytest.param(changed(ADOBE_RGB, 132 + 3 * 12, b"none"), id="red is missing"),
])
def test_a_broken_profile_counts_as_srgb(icc):
    assert is_broken_profile(icc)
    assert is_srgb_profile(icc)


def test_a_profile_for_other_channels_is_broken_where_it_is():
    assert is_srgb_profile(cmyk_profile(), "rgb")
    assert is_broken_profile(cmyk_profile(), "rgb")
    assert is_broken_profile(ADOBE_RGB, "gray")
    assert is_broken_profile(gray_profile(2.2), "rgb")
    assert not is_broken_profile(cmyk_profile(), "ycck")
    assert not is_srgb_profile(ADOBE_RGB, "palette")


def test_no_mutation_of_a_profile_raises():
    chance = random.Random(7)
    for whole in (ADOBE_RGB, gray_profile(srgb_curve), cmyk_profile(steps=2)):
        for _ in range(150):
            icc = bytearray(whole)
            for _ in range(chance.randrange(1, 8)):
                icc[chance.randrange(len(icc))] = chance.randrange(256)
            assert is_srgb_profile(bytes(icc)) in (True, False)


def test_threads_agree():
    profiles = [rgb_profile(points, curve, f"{number}") for number in range(4)
                for points, curve in ((SRGB, srgb_curve), (P3, srgb_curve))]
    seen: list[list[bool]] = []
    threads = [threading.Thread(target=lambda: seen.append([is_srgb_profile(icc) for icc in profiles]))
               for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert seen == [[True, False] * 4] * 6


SRGB_POINTS = tuple(value for point in SRGB for value in point)
ADOBE_POINTS = tuple(value for point in ADOBE for value in point)
P3_ICC, SRGB_ICC = rgb_profile(P3, srgb_curve), rgb_profile(SRGB, srgb_curve)


@pytest.mark.parametrize(("color", "channels", "expected"), [
    pytest.param(Color(), "rgb", True, id="nothing stated"),
    pytest.param(Color(), "cmyk", False, id="inks"),
    pytest.param(Color(), "ycck", False, id="inks as luma and chroma"),
    pytest.param(Color(), "lab", False, id="Lab"),
    pytest.param(Color(icc=P3_ICC), "rgb", False, id="a profile"),
    pytest.param(Color(icc=P3_ICC, cicp=(1, 13, 0, 1)), "rgb", True, id="cICP before the profile"),
    pytest.param(Color(icc=SRGB_ICC, cicp=(12, 13, 0, 1)), "rgb", False, id="cICP before an sRGB profile"),
    pytest.param(Color(icc=P3_ICC, cicp=(2, 2, 0, 1)), "rgb", False, id="an unspecified cICP leaves it to the profile"),
    pytest.param(Color(icc=SRGB_ICC, gamma=1.0), "rgb", True, id="the profile before gAMA"),
    pytest.param(Color(cicp=(1, 13, 0, 1), gamma=1.0, chromaticities=ADOBE_POINTS), "rgb", True, id="cICP before gAMA"),
    pytest.param(Color(cicp=(1, 1, 1, 1)), "rgb", True, id="BT.709 transfer"),
    pytest.param(Color(cicp=(1, 13, 6, 0)), "rgb", True, id="limited range, undone by the decoder"),
    pytest.param(Color(cicp=(1, 13, 0, 0)), "rgb", False, id="narrow range RGB"),
    pytest.param(Color(cicp=(2, 2, 2, 0)), "rgb", True, id="unspecified"),
    pytest.param(Color(cicp=(1, 2, 6, 1)), "rgb", True, id="unspecified transfer"),
    pytest.param(Color(cicp=(12, 13, 6, 1)), "rgb", False, id="P3"),
    pytest.param(Color(cicp=(12, 2, 6, 1)), "rgb", False, id="P3, unspecified transfer"),
    pytest.param(Color(cicp=(9, 16, 9, 1)), "rgb", False, id="PQ"),
    pytest.param(Color(cicp=(1, 18, 0, 1)), "gray", False, id="HLG, grey"),
    pytest.param(Color(cicp=(12, 13, 0, 1)), "gray", True, id="grey has no primaries"),
    pytest.param(Color(cicp=(1, 4, 0, 1)), "rgb", False, id="gamma 2.2"),
    pytest.param(Color(cicp=(200, 200, 0, 1)), "rgb", True, id="reserved"),
    pytest.param(Color(gamma=0.45455), "rgb", True, id="gAMA alone"),
    pytest.param(Color(gamma=0.45455, chromaticities=SRGB_POINTS), "rgb", True, id="gAMA and cHRM of sRGB"),
    pytest.param(Color(chromaticities=SRGB_POINTS), "rgb", True, id="cHRM of sRGB alone"),
    pytest.param(Color(gamma=0.45455, chromaticities=ADOBE_POINTS), "rgb", False, id="cHRM of Adobe RGB"),
    pytest.param(Color(gamma=0.47), "rgb", False, id="gAMA a little off"),
    pytest.param(Color(gamma=0.4545), "rgb", True, id="gAMA rounded"),
    pytest.param(Color(gamma=0.55556), "gray", False, id="gAMA of an old Macintosh"),
    pytest.param(Color(gamma=1.0), "rgb", False, id="linear"),
    pytest.param(Color(gamma=0.00001), "rgb", True, id="nonsense in gAMA"),
    pytest.param(Color(chromaticities=(0.3, 0.3) * 4), "rgb", True, id="nonsense in cHRM"),
    pytest.param(Color(chromaticities=(0.3, 0.0) * 4), "rgb", True, id="zeros in cHRM"),
    pytest.param(Color(chromaticities=(2.0, 0.00001) * 4), "rgb", True, id="huge numbers in cHRM"),
    pytest.param(Color(icc=b"broken"), "rgb", True, id="a broken profile"),
])
def test_whether_a_statement_on_colour_is_srgb(color, channels, expected):
    assert is_srgb(color, channels) is expected


def test_numbers_become_a_profile_for_containers_that_know_only_profiles():
    p3 = profile_of(Color(cicp=(12, 13, 0, 1)), "rgb")

    assert p3 is not None and not is_broken_profile(p3) and not is_srgb_profile(p3)
    assert profile_of(Color(gamma=0.45455), "rgb") is None
    assert profile_of(Color(cicp=(9, 16, 0, 1)), "rgb") is None
    assert profile_of(Color(icc=P3_ICC), "rgb") == P3_ICC
    assert not is_broken_profile(profile_of(Color(gamma=1.0), "gray") or b"", "gray")
