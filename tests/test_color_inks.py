"""CMYK pictures: through their profile, one that is given, or the inks that are assumed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from colors import array, by_vips, from_lab, from_xyz, furthest, lattice
from PIL import Image
from profiles import P3, cmyk_profile, rgb_profile

from imagepipe.asset import Color
from imagepipe.color import convert, to_srgb
from imagepipe.color.inks import default_cmyk

SWOP = Path("/usr/share/color/icc/ghostscript/default_cmyk.icc")  # Debian: libgs-common

#: Inks in per cent, and the CIELAB that was measured: lines of ANSI/CGATS/GRACoL TR 006-2007.
PRINTED = [
    ((0, 0, 0, 20), (80.88, -0.38, -1.99)),
    ((0, 0, 0, 40), (67.04, -0.47, -1.76)),
    ((0, 0, 0, 60), (52.32, -0.59, -1.47)),
    ((0, 0, 0, 80), (35.39, -0.56, -0.87)),
    ((0, 0, 0, 100), (14.95, 0.19, -0.14)),
    ((40, 0, 0, 0), (78.64, -13.52, -22.72)),
    ((0, 40, 0, 0), (75.1, 27.61, -5.85)),
    ((0, 0, 40, 0), (92.21, -3.24, 33.89)),
    ((0, 100, 0, 0), (47.93, 74.11, -3.01)),
    ((0, 100, 100, 0), (47.37, 68.25, 48.79)),
    ((100, 100, 0, 0), (24.13, 17.2, -46.14)),
    ((70, 70, 0, 0), (40.84, 17.09, -35.77)),
    ((0, 70, 70, 0), (59.09, 47.55, 39.25)),
    ((70, 0, 70, 0), (62.69, -41.44, 20.96)),
    ((20, 20, 20, 0), (76.82, 2.87, 1.85)),
    ((40, 40, 40, 0), (60.7, 4.98, 3.14)),
    ((70, 70, 70, 0), (39.37, 5.9, 3.53)),
    ((10, 40, 40, 0), (70.23, 19.71, 18.63)),
    ((20, 55, 70, 0), (59.72, 24.37, 32.75)),
    ((20, 10, 10, 0), (81.64, -2.02, -5.02)),
    ((40, 20, 20, 20), (59.13, -5.16, -7.27)),
    ((20, 40, 40, 20), (57.1, 12.17, 10.83)),
    ((40, 40, 40, 40), (42.76, 3.08, 1.28)),
    ((70, 40, 40, 40), (35.87, -8.09, -8.46)),
    ((0, 20, 40, 60), (45.66, 4.25, 14.93)),
    ((40, 100, 100, 20), (31.57, 36.9, 22.52)),
    ((100, 40, 0, 40), (29.86, -11.83, -35.08)),
    ((100, 100, 100, 60), (14.72, -0.24, 0.46)),
]
PAPER, ALL_INKS = (95, -0.02, -1.96), (8.06, 0.44, 0.02)


def test_inks_without_a_profile_are_as_they_were_measured():
    inks = np.array([inks for inks, _ in PRINTED])
    before = Image.frombytes("CMYK", (len(inks), 1), np.rint(inks * 2.55).astype(np.uint8).tobytes())
    paper, black = from_lab(np.array(PAPER)), from_lab(np.array(ALL_INKS))[1] / from_lab(np.array(PAPER))[1]
    light = from_lab(np.array([lab for _, lab in PRINTED])) / paper  # the paper is white, all inks are black
    theirs = from_xyz((light - black) / (1 - black) * np.array([0.9642, 1, 0.8249]))

    after, _ = to_srgb(before, Color())

    apart = np.abs(array(after)[0] - theirs)
    assert apart.mean() < 1.5
    assert apart.max() <= 9
    assert np.abs(array(before.convert("RGB"))[0] - theirs).mean() > 15


def test_large_pictures_of_inks_agree_with_small_ones(monkeypatch):
    chance = np.random.default_rng(3)
    before = Image.frombytes("CMYK", (300, 200), chance.integers(0, 256, (60_000, 4), dtype=np.uint8).tobytes())
    exact, _ = to_srgb(before, Color())

    monkeypatch.setattr(convert, "_EXACT", 1000)
    looked_up, _ = to_srgb(before, Color())

    apart = np.abs(array(exact) - array(looked_up))
    assert (apart.max(axis=-1) > 2).mean() < 0.01
    assert apart.mean() < 0.2
    assert apart[array(exact) > 64].max() <= 3  # what differs by more is nearly 0 in that channel
    assert exact.tobytes() != looked_up.tobytes()  # so two ways were compared


def test_inks_without_a_profile_look_like_print():
    before = Image.frombytes("CMYK", (8, 1), bytes([
        0, 0, 0, 0, 0, 0, 0, 255, 255, 0, 0, 0, 0, 255, 0, 0, 0, 0, 255, 0, 0, 255, 255, 0, 128, 100, 100, 0,
        255, 255, 255, 255]))

    after, note = to_srgb(before, Color())

    white, black, cyan, magenta, yellow, red, grey, all_inks = (tuple(color) for color in array(after)[0])
    assert white == (255, 255, 255)
    assert max(all_inks) <= 2
    assert max(black) < 50
    assert cyan[0] < 40 and 130 < cyan[1] < 190 and 200 < cyan[2] < 245  # not the (0, 255, 255) of a lamp
    assert 210 < magenta[0] < 245 and magenta[1] < 40 and 100 < magenta[2] < 160
    assert yellow[0] > 240 and 220 < yellow[1] < 250 and yellow[2] < 40
    assert 210 < red[0] < 245 and red[1] < 60 and red[2] < 60
    assert max(grey) - min(grey) < 20 and 120 < grey[1] < 160
    assert "without a profile" in note


@pytest.mark.skipif(not SWOP.exists(), reason="needs a press profile, of Debian's libgs-common")
def test_inks_without_a_profile_are_nearer_to_a_press_than_subtracting_is(tmp_path):
    before = lattice("CMYK", (0, 50, 100, 150, 200, 255))
    press = by_vips(before, SWOP.read_bytes(), tmp_path)

    ours = np.abs(array(to_srgb(before, Color())[0]) - press).mean()
    naive = np.abs(array(before.convert("RGB")) - press).mean()

    assert ours < 7
    assert naive > 2 * ours


def test_inks_take_their_own_profile_then_the_one_given_then_the_default():
    before = lattice("CMYK", (0, 128, 255))
    own, given, broken = cmyk_profile("own"), cmyk_profile("given", steps=2), cmyk_profile()[:-9]

    assert "(own)" in to_srgb(before, Color(icc=own), cmyk_profile=given)[1]
    assert "(given, as asked for)" in to_srgb(before, Color(), cmyk_profile=given)[1]
    for unusable in (broken, rgb_profile(P3, 2.2)):
        pixels, note = to_srgb(before, Color(icc=unusable), cmyk_profile=given)
        assert "(given, as asked for)" in note and "broken" in note
        assert pixels.tobytes() == to_srgb(before, Color(), cmyk_profile=given)[0].tobytes()
    assert "without a profile" in to_srgb(before, Color(icc=broken), cmyk_profile=broken)[1]


def test_the_default_inks_are_a_sound_profile_for_other_programs(tmp_path):
    before = lattice("CMYK", (0, 128, 255))

    assert furthest(to_srgb(before, Color())[0], by_vips(before, default_cmyk(), tmp_path)) <= 2


def test_pillow_gives_inks_of_a_jpeg_as_amounts_whatever_it_says_of_itself(tmp_path):
    ink = Image.new("CMYK", (16, 16), (200, 20, 30, 10))
    ink.save(tmp_path / "adobe.jpg", quality=100)  # written inverted, with Adobe's marker

    opened = Image.open(tmp_path / "adobe.jpg", formats=["JPEG"])

    assert "adobe" in opened.info
    assert np.abs(array(opened) - np.array([200, 20, 30, 10])).max() <= 2
