"""Colours after conversion, against engines that are not ours: libvips, transicc of littleCMS, and plain arithmetic."""

from __future__ import annotations

import random
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
from colors import array, by_arithmetic, by_transicc, by_vips, encoded, from_lab, from_xyz, furthest, lattice
from PIL import Image
from profiles import (
    ADOBE,
    BT2020,
    P3,
    PROPHOTO,
    SRGB,
    cmyk_profile,
    gray_profile,
    rgb_profile,
    srgb_curve,
)

from imagepipe.asset import Color
from imagepipe.color import convert, to_srgb
from imagepipe.color.inks import default_cmyk

SWOP = Path("/usr/share/color/icc/ghostscript/default_cmyk.icc")  # Debian: libgs-common


WIDE = [
    pytest.param(P3, srgb_curve, id="Display P3"),
    pytest.param(ADOBE, 563 / 256, id="Adobe RGB"),
    pytest.param(PROPHOTO, 1.80078125, id="ProPhoto"),
    pytest.param(BT2020, srgb_curve, id="BT.2020"),
]


@pytest.mark.parametrize(("points", "curve"), WIDE)
def test_rgb_profiles_agree_with_libvips_and_with_arithmetic(points, curve, tmp_path):
    icc = rgb_profile(points, curve)
    before = lattice("RGB")

    after, note = to_srgb(before, Color(icc=icc))

    assert after.mode == "RGB" and not after.info
    assert note == "converted from made for a test to sRGB"
    assert furthest(after, by_vips(before, icc, tmp_path)) <= 2
    assert furthest(after, by_arithmetic(before, points, curve)) <= 2
    assert furthest(before, by_arithmetic(before, points, curve)) > 20  # so there was something to do


@pytest.mark.parametrize("gamma", [1.0, 1.8, 2.2])
def test_grey_profiles_agree_with_libvips_and_stay_grey(gamma, tmp_path):
    icc = gray_profile(gamma)
    before = lattice("L")

    after, _ = to_srgb(before, Color(icc=icc))

    assert after.mode == "L"
    assert furthest(after, encoded((np.arange(256) / 255) ** (round(gamma * 256) / 256))[None, :]) <= 2
    if gamma > 1:  # of a linear grey, 8 bits are too coarse for libvips on its way
        assert furthest(after.convert("RGB"), by_vips(before, icc, tmp_path).repeat(3, axis=2)[:, :, :3]) <= 2


def test_an_embedded_ink_profile_agrees_with_libvips(tmp_path):
    icc = cmyk_profile()
    before = lattice("CMYK", (0, 20, 77, 128, 190, 255))

    after, note = to_srgb(before, Color(icc=icc))

    assert after.mode == "RGB"
    assert note == "converted from CMYK (inks for a test) to sRGB"
    assert furthest(after, by_vips(before, icc, tmp_path)) <= 2
    assert furthest(before.convert("RGB"), by_vips(before, icc, tmp_path)) > 50


@pytest.mark.skipif(not SWOP.exists(), reason="needs a press profile, of Debian's libgs-common")
def test_a_press_profile_agrees_with_libvips(tmp_path):
    before = lattice("CMYK", (0, 20, 77, 128, 190, 255))

    after, _ = to_srgb(before, Color(icc=SWOP.read_bytes()))

    apart = np.abs(array(after) - by_vips(before, SWOP.read_bytes(), tmp_path))
    assert apart[array(after) > 30].max() <= 2
    assert apart.max() <= 6  # libvips, on its way through 16-bit Lab; transicc, below, is within 1


@pytest.mark.skipif(shutil.which("transicc") is None, reason="needs transicc, of Debian's liblcms2-utils")
@pytest.mark.parametrize(("mode", "icc"), [
    pytest.param("RGB", rgb_profile(P3, srgb_curve), id="Display P3"),
    pytest.param("RGB", rgb_profile(PROPHOTO, 1.8), id="ProPhoto"),
    pytest.param("L", gray_profile(2.2), id="grey"),
    pytest.param("CMYK", cmyk_profile(), id="inks"),
    pytest.param("CMYK", default_cmyk(), id="the default inks"),
    pytest.param("CMYK", SWOP, id="a press", marks=pytest.mark.skipif(not SWOP.exists(), reason="needs libgs-common")),
])
def test_profiles_agree_with_transicc(mode, icc, tmp_path):
    icc = icc.read_bytes() if isinstance(icc, Path) else icc
    before = lattice(mode, (0, 64, 128, 200, 255))

    after, _ = to_srgb(before, Color(icc=icc))

    assert furthest(after.convert("RGB"), by_transicc(before, icc, tmp_path)) <= 2


def test_lab_agrees_with_arithmetic():
    values = np.array([(lightness, a, b) for lightness in (0, 30, 77, 128, 200, 255)
                       for a in range(88, 170, 16) for b in range(88, 170, 16)], dtype=np.uint8)
    signed = values ^ np.array([0, 128, 128], dtype=np.uint8)  # as in TIFF, and so in raw bytes of Pillow's LAB
    before = Image.frombytes("LAB", (len(values), 1), signed.tobytes())

    after, note = to_srgb(before, Color())

    lab = values * np.array([100 / 255, 1, 1]) - np.array([0, 128, 128])
    theirs = from_xyz(from_lab(lab))
    assert furthest(after, theirs[None]) <= 2
    assert note == "converted from Lab to sRGB"


@pytest.mark.parametrize(("color", "points", "curve"), [
    pytest.param(Color(cicp=(12, 13, 0, 1)), P3, srgb_curve, id="P3"),
    pytest.param(Color(cicp=(9, 1, 9, 1)), BT2020, srgb_curve, id="BT.2020, not high dynamic range"),
    pytest.param(Color(cicp=(1, 4, 0, 1)), SRGB, 2.2, id="gamma 2.2"),
    pytest.param(Color(cicp=(1, 8, 0, 1)), SRGB, 1.0, id="linear"),
    pytest.param(Color(gamma=0.55556), SRGB, 1.8, id="gAMA"),
    pytest.param(Color(gamma=0.45455, chromaticities=tuple(v for point in ADOBE for v in point)), ADOBE, 2.2,
                 id="gAMA and cHRM"),
    pytest.param(Color(chromaticities=tuple(v for point in P3 for v in point)), P3, srgb_curve, id="cHRM"),
])
def test_numbers_agree_with_arithmetic(color, points, curve):
    before = lattice("RGB")

    after, note = to_srgb(before, color)

    assert furthest(after, by_arithmetic(before, points, curve)) <= 2
    assert note.startswith("converted from ")
    if points == SRGB:
        grey, _ = to_srgb(lattice("L"), color)
        assert grey.mode == "L"
        assert furthest(grey, encoded((np.arange(256) / 255) ** curve)[None]) <= 2


def test_alpha_is_not_touched():
    alpha = bytes(range(256))
    icc = rgb_profile(P3, srgb_curve)
    solid = Image.merge("RGB", [lattice("L")] * 2 + [Image.new("L", (256, 1), 90)])
    before = solid.copy()
    before.putalpha(Image.frombytes("L", (256, 1), alpha))

    after, _ = to_srgb(before, Color(icc=icc))

    assert after.mode == "RGBA"
    assert after.getchannel("A").tobytes() == alpha
    assert after.convert("RGB").tobytes() == to_srgb(solid, Color(icc=icc))[0].tobytes()
    grey = Image.merge("LA", [lattice("L"), Image.frombytes("L", (256, 1), alpha)])
    for color in (Color(icc=gray_profile(1.8)), Color(gamma=1.0), Color(cicp=(9, 16, 9, 1))):
        after, _ = to_srgb(grey, color)
        assert after.mode == "LA" and after.getchannel("A").tobytes() == alpha


def test_what_is_srgb_is_returned_itself():
    before = lattice("RGB")

    for color in (Color(), Color(icc=rgb_profile(SRGB, srgb_curve)), Color(gamma=0.45455), Color(cicp=(1, 1, 1, 1))):
        after, note = to_srgb(before, color)
        assert after is before and note == ""
    after, note = to_srgb(before, Color(icc=b"broken"))
    assert after is before and "broken" in note


def test_the_picture_given_is_not_changed():
    before = lattice("RGB")
    bytes_before = before.tobytes()

    for color in (Color(icc=rgb_profile(P3, 2.2)), Color(cicp=(9, 18, 9, 1)), Color(cicp=(1, 13, 0, 0))):
        to_srgb(before, color)

    assert before.tobytes() == bytes_before


def test_what_a_profile_calls_itself_cannot_do_anything_in_a_note():
    _, note = to_srgb(lattice("RGB"), Color(icc=rgb_profile(P3, 2.2, "\x1b[31mred\n\x07bell" + "x" * 500)))

    assert note.isprintable()
    assert len(note) < 120


def test_narrow_range_is_widened():
    before = Image.frombytes("L", (5, 1), bytes([0, 16, 125, 235, 255]))

    after, _ = to_srgb(before, Color(cicp=(1, 13, 0, 0)))

    assert after.tobytes() == bytes([0, 0, 127, 255, 255])


def test_no_mutation_of_a_profile_raises(monkeypatch):
    monkeypatch.setattr(convert, "_STEPS_33", 5 << 16)  # the same way, and quick
    monkeypatch.setattr(convert, "_EXACT", 10)
    chance = random.Random(11)
    for mode, whole in (("RGB", rgb_profile(P3, srgb_curve)), ("L", gray_profile(2.2)), ("CMYK", cmyk_profile(steps=2)),
                        ("RGBA", rgb_profile(ADOBE, 2.2))):
        before = Image.new(mode, (5, 5))
        for _ in range(60):
            icc = bytearray(whole)
            for _ in range(chance.randrange(1, 6)):
                icc[chance.randrange(len(icc))] = chance.randrange(256)
            after, note = to_srgb(before, Color(icc=bytes(icc)))
            assert after.size == (5, 5) and note.isprintable()


def test_threads_share_transforms():
    icc, before = cmyk_profile("shared"), lattice("CMYK", (0, 100, 255))
    seen: list[bytes] = []
    threads = [threading.Thread(target=lambda: seen.append(to_srgb(before, Color(icc=icc))[0].tobytes()))
               for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(seen) == 6 and len(set(seen)) == 1


def test_transforms_kept_are_few():
    for number in range(20):
        to_srgb(lattice("L"), Color(icc=gray_profile(1.0 + number / 10)))

    assert len(convert._transforms) <= convert._KEPT
