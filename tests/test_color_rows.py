"""Profiles of every make, against arithmetic: odd curves, tables, odd white points, old and new versions."""

from __future__ import annotations

import struct
from collections.abc import Callable

import numpy as np
import pytest
from colors import array, by_vips, encoded, from_lab, from_xyz, furthest, lattice
from PIL import Image
from profiles import (
    ADOBE,
    BT2020,
    P3,
    SRGB,
    adapted,
    assembled,
    colorants,
    gray_profile,
    parametric,
    points_of,
    rgb_profile,
    rgb_table_profile,
    srgb_curve,
    white,
)

from imagepipe.asset import Color
from imagepipe.color import is_broken_profile, is_srgb_profile, to_srgb

STEPS = (0, 3, 20, 64, 97, 128, 160, 200, 233, 255)


def with_curves(red: bytes, green: bytes | None = None, blue: bytes | None = None, version: int = 0x04200000,
                **more: bytes) -> bytes:
    curves = {b"rTRC": red, b"gTRC": green or red, b"bTRC": blue or red}
    extra = {name.encode(): value for name, value in more.items()}
    return assembled(b"RGB ", b"XYZ ", colorants(ADOBE) | curves | extra, "odd", version=version)


def toe(value: float) -> float:
    """A straight start, then a power: what types 3 and 4 have."""
    return value / 4 if value < 0.2 else ((value + 0.1) / 1.1) ** 2.2


SMOOTH: Callable[[float], float] = lambda value: 0.1 * value + 0.9 * value ** 2.6  # noqa: E731 - a curve, as data

CURVES = [
    pytest.param(parametric(0, 1.9), lambda v: v ** 1.9, id="parametric 0"),
    pytest.param(parametric(1, 2.0, 1.1, -0.1), lambda v: (1.1 * v - 0.1) ** 2 if v >= 0.1 / 1.1 else 0.0,
                 id="parametric 1"),
    pytest.param(parametric(2, 2.0, 0.95, -0.05, 0.1),
                 lambda v: (0.95 * v - 0.05) ** 2 + 0.1 if v >= 0.05 / 0.95 else 0.1, id="parametric 2"),
    pytest.param(parametric(3, 2.2, 1 / 1.1, 0.1 / 1.1, 0.25, 0.2), toe, id="parametric 3"),
    pytest.param(parametric(4, 2.2, 0.85, 0.1, 0.2, 0.15, 0.02, 0.01),
                 lambda v: (0.85 * v + 0.1) ** 2.2 + 0.02 if v >= 0.15 else 0.2 * v + 0.01, id="parametric 4"),
    pytest.param(points_of([]), lambda v: v, id="no points: linear"),
    pytest.param(points_of([0, 1]), lambda v: v, id="two points"),
    pytest.param(points_of([SMOOTH(i / 1023) for i in range(1024)]), SMOOTH, id="1,024 points"),
    pytest.param(points_of([SMOOTH(i / 4095) for i in range(4096)]), SMOOTH, id="4,096 points"),
    pytest.param(points_of([(i / 25) ** 1.5 for i in range(26)]),
                 lambda v: float(np.interp(v, np.linspace(0, 1, 26), np.linspace(0, 1, 26) ** 1.5)), id="26 points"),
    pytest.param(points_of([0.05 + 0.9 * (i / 255) ** 2 for i in range(256)]), lambda v: 0.05 + 0.9 * v ** 2,
                 id="neither black nor white at the ends"),
]


@pytest.mark.parametrize(("tag", "curve"), CURVES)
def test_curves_of_every_kind_are_followed(tag, curve):
    before = lattice("RGB", STEPS)
    linear = np.vectorize(curve)(array(before) / 255) @ adapted(ADOBE).T
    black = adapted(ADOBE).sum(axis=1)[1] * curve(0.0)  # compensated for: the darkest becomes black
    d50 = np.array([0.9642, 1, 0.8249])

    after, _ = to_srgb(before, Color(icc=with_curves(tag)))

    assert furthest(after, from_xyz((linear / d50 - black) / (1 - black) * d50)) <= 2


def test_each_channel_has_its_own_curve():
    before = lattice("RGB", STEPS)
    values = array(before) / 255
    linear = np.stack([values[..., 0] ** 1.4, values[..., 1] ** 2.4, values[..., 2]], axis=-1)

    after, _ = to_srgb(before, Color(icc=with_curves(parametric(0, 1.4), parametric(0, 2.4), points_of([]))))

    assert furthest(after, from_xyz(linear @ adapted(ADOBE).T)) <= 2


@pytest.mark.parametrize("version", [0x02000000, 0x02100000, 0x02400000, 0x04000000, 0x04200000, 0x04400000])
def test_profiles_of_every_version_are_followed(version):
    before = lattice("RGB", STEPS)
    icc = with_curves(points_of([(i / 255) ** 2.2 for i in range(256)]), version=version)

    after, _ = to_srgb(before, Color(icc=icc))

    assert furthest(after, from_xyz((array(before) / 255) ** 2.2 @ adapted(ADOBE).T)) <= 2


@pytest.mark.parametrize("version", [0x05000000, 0x05100000, 0x09000000, 0xFF000000])
def test_versions_to_come_are_followed_or_broken(version):
    before = lattice("RGB", STEPS)
    icc = with_curves(points_of([(i / 255) ** 2.2 for i in range(256)]), version=version)

    after, note = to_srgb(before, Color(icc=icc))

    if is_broken_profile(icc):
        assert after is before and "broken" in note and is_srgb_profile(icc)
    else:
        assert furthest(after, from_xyz((array(before) / 255) ** 2.2 @ adapted(ADOBE).T)) <= 2


@pytest.mark.parametrize("tags", [
    pytest.param({"wtpt": white(0.9505, 1, 1.0891)}, id="white of D65, as old displays say it"),
    pytest.param({"wtpt": white(0, 0, 0)}, id="white that is black"),
    pytest.param({"wtpt": white(-3, 200, 7)}, id="white that is nowhere"),
    pytest.param({"bkpt": white(0.02, 0.02, 0.02)}, id="a black point"),
    pytest.param({"bkpt": white(2, 2, 2), "lumi": white(0, 0, 0)}, id="black above white"),
    pytest.param({"chad": b"sf32\0\0\0\0" + bytes(36)}, id="an adaptation of zeros"),
    pytest.param({"cicp": b"cicp\0\0\0\0" + bytes((1, 13, 0, 1))}, id="numbers that contradict it"),
])
def test_what_a_profile_says_of_its_white_and_black_does_not_move_colours(tags):
    before = lattice("RGB", STEPS)
    curve = points_of([(i / 255) ** 2.2 for i in range(256)])

    after, _ = to_srgb(before, Color(icc=with_curves(curve, version=0x02400000, **tags)))

    assert furthest(after, from_xyz((array(before) / 255) ** 2.2 @ adapted(ADOBE).T)) <= 2
    assert after.getpixel((before.width - 1, 0)) == (255, 255, 255)


def lab_of(xyz: np.ndarray) -> np.ndarray:
    ratio = xyz / np.array([0.9642, 1, 0.8249])
    x, y, z = np.where(ratio > 216 / 24389, np.cbrt(ratio), (24389 / 27 * ratio + 16) / 116).T
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=1)


def shown_by(points, black: float = 0.0) -> Callable[[np.ndarray], np.ndarray]:
    """A display with the curve of sRGB, and black that is not quite black."""
    d50 = np.array([0.9642, 1, 0.8249])
    return lambda rows: lab_of(black * d50 + (1 - black) * np.vectorize(srgb_curve)(rows) @ adapted(points).T)


def test_a_display_profile_of_a_table_is_followed(tmp_path):
    before = lattice("RGB", STEPS)
    icc = rgb_table_profile(shown_by(P3))

    after, _ = to_srgb(before, Color(icc=icc))

    apart = np.abs(array(after) - from_xyz(np.vectorize(srgb_curve)(array(before) / 255) @ adapted(P3).T))
    assert np.percentile(apart, 99) <= 2  # between its points a table of 33 is straight
    assert furthest(after, by_vips(before, icc, tmp_path)) <= 3  # it goes through 16-bit Lab


def test_srgb_with_a_black_that_shines_is_srgb_as_black_becomes_black():
    assert is_srgb_profile(rgb_table_profile(shown_by(SRGB, 0.003)))  # as "sRGB v4 ICC preference" has it
    assert not is_srgb_profile(rgb_table_profile(shown_by(P3, 0.003)))


def test_large_pictures_through_a_table_agree_with_small_ones():
    icc = rgb_table_profile(shown_by(BT2020))
    colors = np.random.default_rng(5).integers(0, 256, (300, 1500, 3), dtype=np.uint8)
    large, _ = to_srgb(Image.fromarray(colors), Color(icc=icc))

    small, _ = to_srgb(Image.fromarray(colors[:200]), Color(icc=icc))

    apart = np.abs(array(large)[:200] - array(small))
    assert apart[array(small) > 64].max() <= 3
    assert (apart.max(axis=-1) > 2).mean() < 0.02


def dot_gain(value: float) -> float:
    """Light of a grey printed with a gain of 20 % at the middle: 1 is paper."""
    ink = 1 - value
    return 1 - (ink + 0.8 * ink * (1 - ink))


@pytest.mark.parametrize("kind", [b"prtr", b"mntr", b"scnr"])
def test_greys_with_dot_gain_are_followed(kind):
    curve = points_of([max(0.0, dot_gain(i / 255)) for i in range(256)])
    icc = assembled(b"GRAY", b"XYZ ", {b"kTRC": curve}, "Dot Gain 20%", kind=kind)
    before = lattice("L")

    after, note = to_srgb(before, Color(icc=icc))

    assert after.mode == "L" and "Dot Gain 20%" in note
    assert furthest(after, encoded(np.array([dot_gain(i / 255) for i in range(256)]))[None]) <= 2


def test_greys_that_are_connected_by_lab_are_followed_or_broken():
    icc = assembled(b"GRAY", b"Lab ", {b"kTRC": points_of([(i / 255) ** 0.8 for i in range(256)])}, "grey by L*")

    after, _ = to_srgb(lattice("L"), Color(icc=icc))

    lab = np.stack([100 * (np.arange(256) / 255) ** 0.8, np.zeros(256), np.zeros(256)], axis=1)
    assert is_broken_profile(icc) or furthest(after, from_xyz(from_lab(lab))[None, :, 1]) <= 2


def test_a_profile_that_names_pq_or_hlg_is_toned_down_and_not_clipped():
    before = lattice("RGB", STEPS)
    for transfer in (16, 18):
        numbers = {"cicp": b"cicp\0\0\0\0" + bytes((9, transfer, 0, 1))}
        icc = with_curves(parametric(0, 2.2), **numbers)

        after, note = to_srgb(before, Color(icc=icc))

        assert "high dynamic range" in note
        assert after.tobytes() == to_srgb(before, Color(cicp=(9, transfer, 0, 1)))[0].tobytes()


def test_a_profile_cut_anywhere_is_broken_and_the_picture_as_it_was():
    before = lattice("RGB", (0, 100, 255))
    for whole in (rgb_profile(P3, srgb_curve), gray_profile(1.8), rgb_table_profile(shown_by(P3), steps=5)):
        for end in range(0, len(whole) - 1, max(1, len(whole) // 40)):
            after, note = to_srgb(before, Color(icc=whole[:end]))
            assert after is before and note == "a broken colour profile, so sRGB is assumed"


def test_a_profile_of_ten_megabytes_is_not_read():
    whole = rgb_profile(P3, srgb_curve)
    huge = struct.pack(">L", len(whole) + 10_000_000) + whole[4:] + bytes(10_000_000)

    assert is_broken_profile(huge) and is_srgb_profile(huge)
