"""Photoshop pictures of every depth, colour and compression: pixels against numbers made in code, and ImageMagick."""

import struct
import zlib

import numpy as np
import pytest
from other_decoders import by_magick
from profiles import P3, SRGB, rgb_profile, srgb_curve

from imagepipe.asset import Color
from imagepipe.codecs.decode import decode, decode_fully, read_any_header
from imagepipe.color import is_srgb_profile, to_srgb
from imagepipe.errors import Corrupt, FormatNotAllowed, ImageError

HEIGHT, WIDTH = 21, 43
SHARES = np.random.default_rng(3).random((HEIGHT, WIDTH, 6))
SHARES[0, 0], SHARES[0, 1] = 0, 1
BITMAP, GREY, INDEXED, RGB, CMYK, MULTICHANNEL, DUOTONE, LAB = 0, 1, 2, 3, 4, 7, 8, 9
RAW, RUNS, ZIP, ZIP_PREDICTED = range(4)


def rows_of(plane, depth):
    """The bytes of the rows of a channel."""
    if depth == 1:
        return [np.packbits(row).tobytes() for row in plane]
    return [row.astype({8: "u1", 16: ">u2", 32: ">f4"}[depth]).tobytes() for row in plane]


def in_runs(row):
    """PackBits: literal stretches, and runs where there are any."""
    out, at = b"", 0
    while at < len(row):
        run = 1
        while run < 128 and at + run < len(row) and row[at + run] == row[at]:
            run += 1
        if run > 2:
            out += bytes([257 - run, row[at]])
            at += run
        else:
            out += bytes([0, row[at]])
            at += 1
    return out


def predicted(row, depth):
    """A row as differences."""
    if depth == 16:
        values = np.frombuffer(row, ">u2").astype(np.uint16)
        return np.diff(values, prepend=np.uint16(0)).astype(">u2").tobytes()
    values = np.frombuffer(row, np.uint8)
    if depth == 32:
        values = values.reshape(-1, 4).T.ravel()
    return np.diff(values, prepend=np.uint8(0)).tobytes()


def psd(values, mode, depth, *, compression=RAW, large=False, layers=0, palette=b"", icc=b""):
    """A PSD or PSB of rows, columns and channels of numbers, as they are stored."""
    height, width, channels = values.shape
    wide = ">Q" if large else ">I"
    # an empty layer, so that other programs believe it
    layer = (bytes(16) + struct.pack(">H", channels)
             + b"".join(struct.pack(">h" + wide[1], number if number < 3 else -1, 2) for number in range(channels))
             + b"8BIMnorm\xff\0\0\0" + struct.pack(">I", 12) + bytes(12))
    section = struct.pack(">h", layers) + layer * abs(layers) + bytes(2 * channels * abs(layers))
    section = struct.pack(wide, len(section)) + section + bytes(4) if layers else b""
    resource = b"8BIM" + struct.pack(">HHI", 1039, 0, len(icc)) + icc + bytes(len(icc) % 2) if icc else b""
    start = (b"8BPS" + struct.pack(">HxxxxxxHIIHH", 1 + large, channels, height, width, depth, mode)
             + struct.pack(">I", len(palette)) + palette + struct.pack(">I", len(resource)) + resource
             + struct.pack(wide, len(section)) + section + struct.pack(">H", compression))
    rows = [row for channel in range(channels) for row in rows_of(values[..., channel], depth)]
    if compression == RUNS:
        packed = [in_runs(row) for row in rows]
        return start + b"".join(struct.pack(">I" if large else ">H", len(row)) for row in packed) + b"".join(packed)
    if compression == ZIP_PREDICTED:
        rows = [predicted(row, depth) for row in rows]
    whole = b"".join(rows)
    return start + (whole if compression == RAW else zlib.compress(whole))


def numbers(shares, depth):
    """Shares of 0 to 1 as numbers of a depth, and the bytes that they should become (light is coded as in sRGB)."""
    if depth == 32:
        values = shares.astype(np.float32)
        light = values.astype(float)
        return values, np.rint(255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055))
    most = (1 << depth) - 1
    values = np.rint(shares * most).astype(np.uint32)
    return values, np.rint(values / most * 255)


def shown(data, **options):
    decoded = decode_fully(data, "psd", **options)
    (frame,) = decoded.pixels.frames
    assert frame.image.info == {}
    return frame.image, decoded.header.notes + decoded.notes


def assert_pixels(image, wanted, tolerance=0):
    found = np.asarray(image)
    wanted = wanted[..., 0] if wanted.ndim == 3 and wanted.shape[2] == 1 else wanted
    assert found.shape == wanted.shape
    assert np.abs(found.astype(int) - wanted.astype(int)).max() <= tolerance


@pytest.mark.parametrize("compression", [RAW, RUNS, ZIP, ZIP_PREDICTED])
@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("depth", [8, 16, 32])
@pytest.mark.parametrize(("number", "mode", "channels"), [
    (GREY, "L", 1), (DUOTONE, "L", 1), (RGB, "RGB", 3), (CMYK, "CMYK", 4), (LAB, "LAB", 3),
])
def test_every_colour_depth_and_compression(number, mode, channels, depth, large, compression):
    if depth == 32 and mode in ("CMYK", "LAB"):
        with pytest.raises(Corrupt, match="32 bits a channel"):
            decode(psd(np.zeros((2, 2, channels)), number, depth), "psd")
        return
    values, wanted = numbers(SHARES[..., :channels], depth)

    image, notes = shown(psd(values, number, depth, compression=compression, large=large))

    assert image.mode == mode
    if mode == "CMYK":  # Photoshop stores inks inverted
        wanted = 255 - wanted
    if mode == "LAB":  # Pillow hands out a and b signed
        wanted = wanted.astype(np.uint8) ^ np.array((0, 128, 128), np.uint8)
    assert_pixels(image, wanted)
    assert notes == ()


@pytest.mark.parametrize("compression", [RAW, RUNS, ZIP])
@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("width", [1, 8, 43])
def test_bitmaps_have_ones_for_black(width, large, compression):
    bits = (SHARES[:, :width, :1] > 0.5).astype(int)

    assert_pixels(shown(psd(bits, BITMAP, 1, compression=compression, large=large))[0], 255 - 255 * bits)


@pytest.mark.parametrize("large", [False, True])
def test_palettes(large):
    colors = np.random.default_rng(4).integers(0, 256, (256, 3), dtype=np.uint8)
    places = np.rint(SHARES[..., :1] * 255).astype(int)

    image, _ = shown(psd(places, INDEXED, 8, palette=colors.T.tobytes(), large=large))

    assert_pixels(image, colors[places[..., 0]])


def test_a_palette_that_is_too_short_is_damage():
    with pytest.raises(Corrupt, match="100 of 256 colours"):
        decode(psd(np.zeros((2, 2, 1)), INDEXED, 8, palette=bytes(300)), "psd")


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize(("mode", "number", "colors"), [("LA", GREY, 1), ("RGBA", RGB, 3)])
def test_what_is_transparent_in_part_is_stored_on_white_and_taken_off_it(mode, number, colors, depth):
    most = (1 << depth) - 1
    shares, alpha = SHARES[..., :colors], 0.3 + 0.7 * SHARES[..., 4:5]
    stored = np.rint(np.concatenate([shares * alpha + 1 - alpha, alpha], axis=2) * most).astype(int)

    image, _ = shown(psd(stored, number, depth, layers=-1))

    assert image.mode == mode
    assert_pixels(image, np.rint(np.concatenate([shares, alpha], axis=2) * 255), tolerance=3 if depth == 8 else 1)


def test_transparency_is_as_imagemagick_sees_it():
    shares, alpha = 0.1 + 0.8 * SHARES[..., :3], 0.3 + 0.7 * SHARES[..., 4:5]
    stored = np.rint(np.concatenate([shares * alpha + 1 - alpha, alpha], axis=2) * 255).astype(int)
    data = psd(stored, RGB, 8, layers=-1, compression=RUNS)

    assert_pixels(shown(data)[0], by_magick(data, "psd").pixels, tolerance=2)  # which rounds down


@pytest.mark.parametrize("depth", [8, 16])
def test_what_was_not_laid_on_white_is_not_taken_off_it(depth):
    """ImageMagick writes the colours as they are; its own way back makes of them what they never were."""
    values, wanted = numbers(np.concatenate([SHARES[..., :3], 0.1 + 0.8 * SHARES[..., 3:4]], axis=2), depth)

    assert_pixels(shown(psd(values, RGB, depth, layers=-1))[0], wanted)


@pytest.mark.parametrize("on_white", [False, True])
@pytest.mark.parametrize("number", [CMYK, LAB])
def test_inks_and_lab_are_laid_on_white_once(number, on_white):
    colors = 4 if number == CMYK else 3
    alpha = 0.1 + 0.8 * SHARES[..., 5:]
    paper = np.array([1.0] * 4) if number == CMYK else np.array((1.0, 128 / 255, 128 / 255))
    laid = SHARES[..., :colors] * alpha + paper * (1 - alpha)
    stored = np.concatenate([laid if on_white else SHARES[..., :colors], alpha], axis=2)

    image, _ = shown(psd(np.rint(stored * 255).astype(int), number, 8, layers=-1))

    wanted = np.rint(laid * 255).astype(np.uint8)
    found = np.asarray(image) ^ np.array((0, 128, 128), np.uint8) if number == LAB else 255 - np.asarray(image)
    assert np.abs(found.astype(int) - wanted).max() <= 1


def test_a_selection_that_somebody_saved_is_no_transparency():
    values, wanted = numbers(SHARES[..., :4], 16)

    assert shown(psd(values, RGB, 16, layers=0))[0].mode == "RGB"
    assert_pixels(shown(psd(values, RGB, 16, layers=2))[0], wanted[..., :3])


@pytest.mark.parametrize("number", [CMYK, LAB])
def test_of_inks_and_lab_the_transparency_is_white(number):
    colors = 4 if number == CMYK else 3
    values, _ = numbers(SHARES[..., :colors + 1], 8)
    data = psd(values, number, 8, layers=-1)

    image, notes = shown(data)

    assert image.mode in ("CMYK", "LAB")
    assert notes == (f"laid on white: it has alpha, which is not kept beside {'inks' if number == CMYK else 'Lab'}",)
    assert not read_any_header(data, "psd").has_alpha


# --- 32 bits

@pytest.mark.parametrize("curve", [1.0, srgb_curve])
def test_numbers_of_32_bits_are_light_under_every_profile(curve):
    values, wanted = numbers(SHARES[..., :3], 32)

    decoded = decode_fully(psd(values, RGB, 32, icc=rgb_profile(SRGB, curve)), "psd")

    assert_pixels(decoded.pixels.frames[0].image, wanted)
    assert is_srgb_profile(decoded.pixels.color.icc)


def test_the_primaries_of_a_profile_stand():
    values, _ = numbers(SHARES[..., :3], 32)
    decoded = decode_fully(psd(values, RGB, 32, icc=rgb_profile(P3, 1.0)), "psd")
    coded = decoded.pixels.frames[0].image

    ours, _ = to_srgb(coded, decoded.pixels.color)

    theirs, _ = to_srgb(coded, Color(icc=rgb_profile(P3, srgb_curve)))
    assert_pixels(ours, np.asarray(theirs), tolerance=1)
    assert not is_srgb_profile(decoded.pixels.color.icc)


def test_light_beyond_white_is_cut_off_and_said():
    values = SHARES[..., :3].astype(np.float32) * 0.9
    values[3, 3:30] = 12.5

    image, notes = shown(psd(values, RGB, 32))

    assert image.getpixel((5, 3)) == (255, 255, 255)
    assert notes == ("3 % of its values lie outside 0 to 1 (up to 12.5) and are cut off there",)


# --- what is refused, and what is damaged

def test_separate_inks_are_named():
    with pytest.raises(FormatNotAllowed, match="separate spot inks .multichannel."):
        decode(psd(np.zeros((2, 2, 3)), MULTICHANNEL, 8), "psd")


@pytest.mark.parametrize("compression", [RAW, RUNS, ZIP])
@pytest.mark.parametrize("depth", [8, 16])
def test_a_cut_picture_is_refused_and_shows_its_start_where_that_is_accepted(depth, compression):
    values, wanted = numbers(SHARES[..., :1], depth)
    data = psd(values, GREY, depth, compression=compression)
    cut = data[:-len(data) // 4]

    with pytest.raises(Corrupt):
        decode(cut, "psd")

    image, notes = shown(cut, accept_damaged=True)
    assert notes[-1].startswith("damaged: ")
    assert_pixels(image.crop((0, 0, WIDTH, 5)), wanted[:5])


@pytest.mark.parametrize("compression", [RAW, RUNS, ZIP, ZIP_PREDICTED])
def test_every_cut_is_an_error_or_the_whole_picture(compression):
    values, wanted = numbers(SHARES[:9, :9, :3], 16)
    data = psd(values, RGB, 16, compression=compression)
    for end in range(0, len(data), 5):
        try:
            image, _ = shown(data[:end])
        except ImageError:
            continue
        assert_pixels(image, wanted)


def test_every_changed_byte_of_the_header_is_an_error_of_ours_or_a_picture():
    data = psd(numbers(SHARES[:5, :5, :3], 8)[0], RGB, 8, compression=RUNS, layers=-1)
    for at in range(80):
        for value in (0, 1, 2, 0x7F, 0xFF):
            try:
                decode(data[:at] + bytes([value]) + data[at + 1:], "psd", max_pixels=1_000_000, accept_damaged=True)
            except ImageError:
                continue
