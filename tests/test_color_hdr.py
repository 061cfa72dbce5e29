"""Pictures of high dynamic range, toned down."""

from __future__ import annotations

import numpy as np
import pytest
from colors import array, encoded, furthest
from PIL import Image
from profiles import BT2020, SRGB, to_xyz

from imagepipe.asset import Color
from imagepipe.color import to_srgb

CODES = [(0, 0, 0), (60, 60, 60), (100, 100, 100), (148, 148, 148), (180, 180, 180), (220, 220, 220), (255, 255, 255),
         (150, 100, 80), (200, 120, 60), (120, 160, 90), (80, 110, 190), (160, 60, 130), (230, 200, 180), (40, 30, 20),
         (30, 60, 50), (255, 200, 0)]
#: The same in sRGB, computed with colour-science 0.4.7: its functions for ST 2084, for HLG of BT.2100 and
#: for the spaces, diffuse white of 203 cd/m2, and the curve of BT.2390 on the largest of red, green and blue.
TONED = {
    (9, 16): [(0, 0, 0), (39, 39, 39), (106, 106, 106), (195, 195, 195), (233, 233, 233), (253, 253, 253),
              (255, 255, 255), (242, 35, 35), (255, 0, 0), (0, 221, 0), (0, 56, 252), (255, 0, 130), (255, 138, 101),
              (22, 7, 2), (0, 42, 26), (255, 47, 0)],
    (12, 16): [(0, 0, 0), (39, 39, 39), (106, 106, 106), (195, 195, 195), (233, 233, 233), (253, 253, 253),
               (255, 255, 255), (214, 67, 35), (255, 26, 0), (45, 215, 0), (13, 59, 250), (231, 0, 129),
               (255, 151, 102), (19, 8, 2), (0, 40, 27), (255, 88, 0)],
    (9, 18): [(0, 0, 0), (57, 57, 57), (104, 104, 104), (165, 165, 165), (215, 215, 215), (250, 250, 250),
              (255, 255, 255), (185, 98, 82), (255, 94, 37), (93, 187, 88), (0, 113, 222), (206, 18, 138),
              (255, 182, 154), (37, 21, 10), (0, 58, 45), (255, 133, 0)],
    (12, 18): [(0, 0, 0), (57, 57, 57), (104, 104, 104), (165, 165, 165), (215, 215, 215), (250, 250, 250),
               (255, 255, 255), (168, 104, 82), (247, 111, 39), (119, 184, 91), (74, 113, 221), (183, 53, 137),
               (255, 188, 155), (33, 21, 10), (10, 57, 45), (255, 146, 0)],
}


@pytest.mark.parametrize(("primaries", "transfer"), TONED)
def test_high_dynamic_range_agrees_with_another_engine(primaries, transfer):
    before = Image.frombytes("RGB", (len(CODES), 1), bytes(value for color in CODES for value in color))

    after, _ = to_srgb(before, Color(cicp=(primaries, transfer, 0, 1)))

    assert furthest(after, np.array(TONED[primaries, transfer])[None]) <= 1


def test_a_large_picture_is_worked_on_in_bands_and_alpha_stays():
    chance = np.random.default_rng(1)
    codes = chance.integers(0, 256, (300, 500, 4), dtype=np.uint8)  # more than two bands
    color = Color(cicp=(9, 16, 9, 1))
    flat, _ = to_srgb(Image.fromarray(np.ascontiguousarray(codes[:, :, :3])), color)

    after, _ = to_srgb(Image.fromarray(codes), color)
    tall, _ = to_srgb(Image.fromarray(codes.reshape(150_000, 1, 4)), color)

    assert (array(after)[:, :, 3] == codes[:, :, 3]).all()
    assert (array(after)[:, :, :3] == array(flat)).all()
    assert (array(tall).reshape(300, 500, 4) == array(after)).all()


def from_pq(value: np.ndarray) -> np.ndarray:
    """cd/m2 (SMPTE ST 2084)."""
    m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 4096 * 128, 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
    power = value ** (1 / m2)
    return 10_000 * (np.maximum(power - c1, 0) / (c2 - c3 * power)) ** (1 / m1)


def test_pq_without_highlights_is_what_its_light_says():
    codes = np.arange(0, 148)  # up to 203 cd/m2, which is white
    before = Image.fromarray(np.repeat(codes.astype(np.uint8)[None, :, None], 3, axis=2))

    after, note = to_srgb(before, Color(cicp=(9, 16, 9, 1)))

    assert furthest(after, encoded(from_pq(codes / 255) / 203)[None, :, None]) <= 3
    assert "high dynamic range (PQ)" in note


@pytest.mark.parametrize("transfer", [16, 18])
def test_highlights_are_rolled_off_and_neither_clipped_nor_reversed(transfer):
    before = Image.frombytes("RGB", (256, 1), bytes(value for value in range(256) for _ in range(3)))

    after, _ = to_srgb(before, Color(cicp=(9, transfer, 9, 1)))

    values = array(after)[0]
    assert (values.max(axis=1) - values.min(axis=1) <= 1).all()  # grey stays grey
    steps = np.diff(values[:, 1])
    assert (steps >= 0).all() and values[0, 1] == 0 and values[-1, 1] >= 254
    assert len(set(values[180:, 1])) > 20  # of what is bright, something can be told apart


@pytest.mark.parametrize(("transfer", "white"), [(16, 148), (18, 191)])
def test_paper_white_of_high_dynamic_range_is_white(transfer, white):
    before = Image.new("RGB", (40, 40), (white,) * 3)  # 203 cd/m2: 58 % of PQ, 75 % of HLG (ITU-R BT.2408, table 1)

    after, _ = to_srgb(before, Color(cicp=(9, transfer, 9, 1)))
    half, _ = to_srgb(Image.new("L", (40, 40), white // 2), Color(cicp=(9, transfer, 9, 1)))

    assert min(after.getpixel((0, 0))) >= 252
    assert half.getpixel((0, 0)) < 150


def test_light_of_hlg_is_that_of_its_screen():
    codes = np.arange(20, 190)
    before = Image.fromarray(np.repeat(codes.astype(np.uint8)[None, :, None], 3, axis=2))

    after, _ = to_srgb(before, Color(cicp=(9, 18, 9, 1)))

    value = codes / 255
    scene = np.where(value <= 0.5, value ** 2 / 3, (np.exp((value - 0.55991073) / 0.17883277) + 0.28466892) / 12)
    assert furthest(after, encoded(scene ** 1.2 * 1000 / 203)[None, :, None]) <= 3


def test_a_colour_of_high_dynamic_range_keeps_its_hue():
    linear = np.array([0.5, 0.2, 0.1])  # of sRGB, times white
    wide = np.linalg.inv(to_xyz(BT2020)) @ to_xyz(SRGB) @ linear * 203
    power = (wide / 10_000) ** (2610 / 16384)
    code = ((3424 / 4096 + 2413 / 128 * power) / (1 + 2392 / 128 * power)) ** (2523 / 32) * 255
    before = Image.new("RGB", (40, 40), tuple(int(round(value)) for value in code))

    after, _ = to_srgb(before, Color(cicp=(9, 16, 9, 1)))

    assert np.abs(array(after)[0, 0] - encoded(linear)).max() <= 6  # a code of 8 bits is that coarse
