"""TIFF of every kind: pixels against numbers made in code, and against libvips and ImageMagick where those read it."""

import io
import struct
import tracemalloc

import numpy as np
import pytest
import pyvips
import simplejpeg
from colors import from_lab, from_xyz
from pictures import encoded, photo
from PIL import Image, ImageCms
from profiles import SRGB, rgb_profile
from tiff_files import LZMA, NONE, ZIP, page, tiff, together

from imagepipe import budget
from imagepipe.codecs import tiff as ours
from imagepipe.codecs import tiff_data
from imagepipe.codecs.decode import decode, decode_fully, read_any_header
from imagepipe.color import is_srgb_profile, to_srgb
from imagepipe.errors import Corrupt, FormatNotAllowed, ImageError

HEIGHT, WIDTH = 37, 45
_random = np.random.default_rng(7)
SHARES = _random.random((HEIGHT, WIDTH, 6))
SHARES[0, 0], SHARES[0, 1] = 0, 1
WHITE, GREY, RGB, PALETTE, CMYK, YCBCR, LAB, ICC_LAB = 0, 1, 2, 3, 5, 6, 8, 9


def as_numbers(shares, kind, bits=0):
    """Shares of 0 to 1 as numbers of a type, and the bytes that they should become."""
    if np.dtype(kind).kind == "f":
        values = shares.astype(kind)
        return values, np.rint(values.astype(float) * 255).astype(np.uint8)
    most = (1 << (bits or np.dtype(kind).itemsize * 8)) - 1
    values = np.rint(shares * most).astype(kind)
    return values, np.rint(values.astype(float) / most * 255).astype(np.uint8)


def shown(data, **options):
    decoded = decode_fully(data, "tiff", **options)
    (frame,) = decoded.pixels.frames
    assert frame.image.info == {}
    assert frame.image.size == (decoded.header.width, decoded.header.height)
    return frame.image, decoded.header.notes + decoded.notes


def assert_pixels(image, wanted, tolerance=0):
    found = np.asarray(image)
    wanted = wanted[..., 0] if wanted.ndim == 3 and wanted.shape[2] == 1 else wanted
    assert found.shape == wanted.shape
    assert np.abs(found.astype(int) - wanted.astype(int)).max() <= tolerance


# --- numbers

LAYOUTS = [
    {}, {"strip": 5}, {"tile": (16, 32)}, {"separate": True, "strip": 8}, {"separate": True, "tile": (32, 16)},
    {"compression": ZIP, "strip": 10}, {"compression": ZIP, "tile": (32, 32)}, {"compression": LZMA},
    {"compression": ZIP, "separate": True, "strip": 7}, {"compression": ZIP, "separate": True, "tile": (16, 16)},
]


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
@pytest.mark.parametrize("kind", ["u1", "u2", "u4", "f2", "f4", "f8"])
def test_colours_of_every_depth_and_layout_in_both_orders_of_bytes(kind, layout):
    values, wanted = as_numbers(SHARES[..., :3], kind)
    predictors = (1,) if layout.get("compression", NONE) == NONE else (1, 3) if kind[0] == "f" else (1, 2)
    for order, big, predictor in [(order, big, one) for order in "<>" for big in (False, True) for one in predictors]:
        data = tiff(values, RGB, order=order, big=big, predictor=predictor, **layout)

        image, notes = shown(data)

        assert_pixels(image, wanted)
        assert notes == ()


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("bits", [1, 2, 3, 4, 6, 7, 8, 10, 12, 14, 16, 24, 32])
def test_grey_of_every_number_of_bits_where_either_end_may_be_white(bits, reverse, order):
    values, wanted = as_numbers(SHARES[..., :1], "u1" if bits <= 8 else "u2" if bits <= 16 else "u4", bits)
    for photometric in (WHITE, GREY):
        for compression in (NONE, ZIP):
            data = tiff(values, photometric, bits=bits, order=order, strip=8, compression=compression, reverse=reverse)

            assert_pixels(shown(data)[0], wanted if photometric == GREY else 255 - wanted, tolerance=bits == 24)


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
@pytest.mark.parametrize(("band", "numbers"), [(1, 1), (1, 500), (1 << 23, 500)])
def test_it_is_all_the_same_how_many_rows_are_worked_on_at_a_time(layout, band, numbers, monkeypatch):
    monkeypatch.setattr(tiff_data, "_BAND", band)
    monkeypatch.setattr(tiff_data, "_NUMBERS", numbers)
    values, wanted = as_numbers(SHARES[..., :3], "u2")

    assert_pixels(shown(tiff(values, RGB, **layout))[0], wanted)


def test_a_tile_is_not_mistaken_for_a_strip_where_it_is_as_wide_as_the_picture():
    values, wanted = as_numbers(np.resize(SHARES, (37, 48, 3)), "u2")

    assert_pixels(shown(tiff(values, RGB, tile=(48, 16), compression=ZIP))[0], wanted)


@pytest.mark.parametrize("compression", ["none", "lzw", "deflate", "packbits"])
@pytest.mark.parametrize("bands", [1, 3, 4])
def test_what_libvips_writes_with_16_bits(bands, compression):
    values, wanted = as_numbers(SHARES[..., :bands], "u2")
    image = pyvips.Image.new_from_array(values).copy(interpretation="rgb16" if bands > 2 else "grey16")
    for layout in ({}, {"tile": True, "tile_width": 16, "tile_height": 16}, {"bigtiff": True},
                   {"predictor": "horizontal"}):
        assert_pixels(shown(image.tiffsave_buffer(compression=compression, **layout))[0], wanted)


@pytest.mark.parametrize("compression", ["zstd", "lzma", "tiff_lzw", "tiff_deflate", "packbits"])
def test_what_pillow_writes_is_as_it_was(compression):
    assert_pixels(shown(encoded("TIFF", photo(), compression=compression))[0], np.asarray(photo()))


@pytest.mark.parametrize(("bits", "kind"), [(1, "u1"), (2, "u1"), (4, "u1"), (8, "u1"), (16, "u2")])
def test_palettes_of_one_bit_to_sixteen(bits, kind):
    colors = _random.integers(0, 256, (1 << bits, 3))
    places = _random.integers(0, 1 << bits, (HEIGHT, WIDTH, 1)).astype(kind)
    for scale in (257, 256, 1):  # as the rule has it, and as two kinds of old programs
        table = (colors * scale).T.ravel().tolist()
        data = tiff(places, PALETTE, bits=bits, more={320: ("H", table)}, compression=ZIP)

        assert_pixels(shown(data)[0], colors[places[..., 0]].astype(np.uint8))


def test_a_palette_that_is_too_short_is_no_palette():
    with pytest.raises(Corrupt, match="1 of 256 colours"):
        decode(tiff(np.zeros((4, 4, 1), np.uint8), PALETTE, more={320: ("H", [1, 2, 3])}), "tiff")


# --- what white is

def test_floats_beyond_white_are_cut_off_and_said():
    values = SHARES[..., :3].astype("f4")
    values[5, 5:15] = 7.5

    image, notes = shown(tiff(values, RGB))

    assert_pixels(image, np.rint(np.clip(values.astype(float), 0, 1) * 255).astype(np.uint8))
    assert notes == ("less than 1 % of its values lie outside 0 to 1 (up to 7.5) and are cut off there",)


def test_a_little_beyond_white_is_not_worth_a_word():
    values = SHARES[..., :3].astype("f4")
    values[5, 5] = 1.005

    assert shown(tiff(values, RGB))[1] == ()


@pytest.mark.parametrize("most", [255, 65535])
@pytest.mark.parametrize("kind", ["f4", "i4"])
def test_numbers_of_8_and_16_bits_in_larger_ones_are_seen_for_what_they_are(kind, most):
    values = np.rint(SHARES[..., :3] * most).astype(kind)

    image, notes = shown(tiff(values, RGB))

    assert_pixels(image, np.rint(values.astype(float) * 255 / most).astype(np.uint8))
    assert notes == ()


@pytest.mark.parametrize(("kind", "most"), [("i2", 32767), ("i4", 2**31 - 1), ("u4", 2**32 - 1)])
def test_white_is_the_greatest_number_that_there_can_be(kind, most):
    values = np.rint(SHARES[..., :3] * most).astype(kind)

    image, notes = shown(tiff(values, RGB))

    assert_pixels(image, np.rint(values / most * 255).astype(np.uint8))
    assert notes == ()


def test_of_other_numbers_the_range_is_shown_and_said():
    values = (SHARES[..., :1] * 3000 - 500).astype("f4")

    image, notes = shown(tiff(values, GREY))

    assert image.getextrema() == (0, 255)
    assert notes == (f"its values go from {values.min():.6g} to {values.max():.6g}, shown from black to white",)


def test_what_is_not_a_number_is_black_and_what_is_infinite_an_end():
    values = np.full((4, 4, 3), 0.5, "f4")
    values[0], values[1], values[2] = np.nan, np.inf, -np.inf

    image, _ = shown(tiff(values, RGB))

    assert [image.getpixel((0, row)) for row in range(4)] == [(0,) * 3, (255,) * 3, (0,) * 3, (128,) * 3]


@pytest.mark.parametrize("kind", ["u2", "f4"])
def test_amounts_of_light_keep_their_dark_tones(kind):
    light = np.linspace(0, 0.02, 256).reshape(1, 256, 1).repeat(3, axis=2)
    values, _ = as_numbers(light, kind)
    icc = rgb_profile(SRGB, 1.0)
    data = tiff(values, RGB, more={34675: ("B", list(icc))})

    decoded = decode_fully(data, "tiff")
    image, _ = to_srgb(decoded.pixels.frames[0].image, decoded.pixels.color)

    wanted = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055) * 255
    assert np.abs(np.asarray(image) - wanted).max() < 1.2  # 8 bits of light would be 13 apart
    assert is_srgb_profile(decoded.pixels.color.icc)


# --- beside the colours

def test_transparency_that_is_multiplied_in_is_taken_out_again():
    colors, alpha = SHARES[..., :3], 0.2 + 0.8 * SHARES[..., 3:4]
    values, wanted = as_numbers(np.concatenate([colors * alpha, alpha], axis=2), "u2")
    wanted[..., :3] = np.rint(colors * 255)

    image, _ = shown(tiff(values, RGB, extra=[1]))

    assert image.mode == "RGBA"
    assert_pixels(image, wanted, tolerance=1)


@pytest.mark.parametrize(("extra", "mode"), [([2], "RGBA"), ([0], "RGB"), ((), "RGBA"), ([1], "RGBA")])
def test_a_fourth_channel_is_alpha_where_it_says_so_or_says_nothing(extra, mode):
    assert shown(tiff(as_numbers(SHARES[..., :4], "u1")[0], RGB, extra=extra))[0].mode == mode


def test_channels_that_are_no_alpha_are_left_out_and_said():
    values, wanted = as_numbers(SHARES[..., :6], "u1")

    image, notes = shown(tiff(values, RGB, extra=[0, 2, 0]))

    assert_pixels(image, wanted[..., [0, 1, 2, 4]])
    assert notes == ("2 more channels (masks, spot colours) left out",)


@pytest.mark.parametrize("separate", [False, True])
@pytest.mark.parametrize("kind", ["u1", "u2", "f4"])
def test_inks_with_alpha_are_laid_on_paper(kind, separate):
    values, wanted = as_numbers(SHARES[..., :5], kind)

    image, notes = shown(tiff(values, CMYK, extra=[2], separate=separate))

    assert image.mode == "CMYK"
    assert_pixels(image, np.rint(wanted[..., :4] * (wanted[..., 4:] / 255)), tolerance=1)
    assert notes == ("laid on white: it has alpha, which is not kept beside inks",)


@pytest.mark.parametrize(("kind", "photometric"), [("u1", LAB), ("u2", LAB), ("u1", ICC_LAB), ("u2", ICC_LAB),
                                                   ("f4", LAB)])
def test_lab_is_read_under_its_own_white(kind, photometric):
    """The white of Lab in TIFF is D50, as in profiles (Adobe's note; ImageMagick takes that of sRGB, D65)."""
    exact = np.array([[60, 10, -20], [35.5, 40, 12], [90, 0, 0], [20, -10, -25], [75, -30, 30], [50, 5, 40]], float)
    if kind == "f4":
        values = exact.astype("f4")
    elif photometric == LAB:
        scale, step = (2.55, 1) if kind == "u1" else (655.35, 256)
        values = np.rint(exact * (scale, step, step)).astype(int).astype(kind)
    else:
        scale, step = (2.55, 1) if kind == "u1" else (652.8, 256)
        values = np.rint(exact * (scale, step, step) + (0, 128 * step, 128 * step)).astype(kind)

    decoded = decode_fully(tiff(values[None], photometric), "tiff")
    image, _ = to_srgb(decoded.pixels.frames[0].image, decoded.pixels.color)

    assert np.abs(np.asarray(image)[0] - from_xyz(from_lab(exact))).max() <= 3  # 8 bits of Lab are coarser


# --- which page

def test_a_small_version_at_the_start_is_not_the_picture():
    small = page(np.zeros((8, 8, 3), np.uint8), RGB, more={254: ("I", [1])})
    values, wanted = as_numbers(SHARES[..., :3], "u1")
    mask = page(np.zeros((HEIGHT, WIDTH, 1), np.uint8), 4, bits=1, more={254: ("I", [4])})
    for big in (False, True):
        for data in (together([small, mask, page(values, RGB)], big=big),
                     together([small, page(values, RGB)], big=big, children={0: [1]}),
                     together([page(values, RGB), small, mask], big=big)):
            image, notes = shown(data)

            assert_pixels(image, wanted)
            assert notes == ()


def test_where_there_are_only_small_versions_the_largest_is_taken():
    pages = [page(np.full((size, size, 1), size, np.uint8), GREY, more={254: ("I", [1])}) for size in (8, 32, 16)]

    assert shown(together(pages))[0].size == (32, 32)


def test_of_several_pages_the_first_is_taken_and_a_broken_later_one_is_no_fault():
    values, wanted = as_numbers(SHARES[..., :3], "u1")
    two = together([page(values, RGB), page(255 - values, RGB)])

    assert_pixels(shown(two)[0], wanted)
    assert shown(two)[1] == ("it has several pages, the first is taken",)

    broken = bytearray(tiff(values, RGB))
    broken[-4:] = struct.pack("<I", len(broken) - 2)
    assert_pixels(shown(bytes(broken))[0], wanted)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("compression", ["none", "jpeg", "webp", "ccittfax4"])
def test_all_kinds_are_turned_upright(compression, orientation):
    picture = photo((60, 40)).convert("1") if compression == "ccittfax4" else photo((60, 40))
    source = pyvips.Image.new_from_buffer(encoded("PNG", picture), "").copy()
    source.set_type(pyvips.GValue.gint_type, "orientation", orientation)
    options = {"bitdepth": 1} if compression == "ccittfax4" else {"lossless": True} if compression == "webp" else {}
    data = source.tiffsave_buffer(compression=compression, **options)

    image, _ = shown(data)

    wanted = pyvips.Image.new_from_buffer(data, "").autorot().numpy()
    assert_pixels(image, wanted, tolerance=1)


# --- JPEG, WebP, fax, YCbCr

@pytest.mark.parametrize("tiled", [False, True])
@pytest.mark.parametrize("compression", ["jpeg", "webp"])
def test_strips_and_tiles_of_jpeg_and_webp(compression, tiled):
    for bands in (3,) if compression == "jpeg" else (3, 4):
        picture = photo((150, 130), "RGBA").convert("RGBA" if bands == 4 else "RGB")
        source = pyvips.Image.new_from_buffer(encoded("PNG", picture), "")
        options = {"tile": True, "tile_width": 64, "tile_height": 48} if tiled else {}
        for big in (False, True):
            data = source.tiffsave_buffer(compression=compression, Q=90, bigtiff=big, **options)

            assert_pixels(shown(data)[0], pyvips.Image.new_from_buffer(data, "").numpy(), tolerance=1)


@pytest.mark.parametrize("with_strips", [False, True])
@pytest.mark.parametrize("orientation", [1, 6])
def test_the_old_kind_of_jpeg(orientation, with_strips):
    picture = photo((64, 48))
    stream = encoded("JPEG", picture, quality=95)
    tags = {256: ("I", [64]), 257: ("I", [48]), 258: ("H", [8] * 3), 259: ("H", [6]), 262: ("H", [6]), 277: ("H", [3]),
            274: ("H", [orientation]), 278: ("I", [48]), 513: ("I", [8]), 514: ("I", [len(stream)])}
    small = page(np.zeros((8, 8, 3), np.uint8), RGB, more={254: ("I", [1])})
    data = together([(tags, [stream]), small])
    if not with_strips:  # as some cameras wrote it
        data = data.replace(struct.pack("<HH", 273, 4), struct.pack("<HH", 65001, 4), 1)
        data = data.replace(struct.pack("<HH", 279, 4), struct.pack("<HH", 65002, 4), 1)

    image, notes = shown(data)

    wanted = pyvips.Image.new_from_buffer(stream, "")
    wanted = wanted.rot90().numpy() if orientation == 6 else wanted.numpy()
    assert image.size == (wanted.shape[1], wanted.shape[0])
    assert np.abs(np.asarray(image).astype(int) - wanted).mean() < 6  # libtiff repeats chroma, others smooth it
    assert notes == ()


def of_large_numbers_first(data):
    """A big-endian BigTIFF of what is in strips of a little-endian TIFF, which Pillow does not open."""
    found = ours.read(data).page
    tags = {256: ("I", [found.width]), 257: ("I", [found.height]), 258: ("H", [found.bits] * found.samples),
            259: ("H", [found.compression]), 262: ("H", [found.photometric]), 277: ("H", [found.samples]),
            278: ("I", [found.block[1]])}
    tags |= {tag: ({347: "B", 530: "H"}.get(tag, "I"), values) for tag, values in found.tags.items()}
    blocks = [found.part(data, number) for number in range(len(found.offsets))]
    return together([(tags, blocks)], order=">", big=True)


@pytest.mark.parametrize("compression", ["jpeg", "group3", "group4"])
def test_a_big_tiff_of_large_numbers_first(compression):
    data = encoded("TIFF", photo(mode="RGB" if compression == "jpeg" else "1"), compression=compression)
    changed = of_large_numbers_first(data)
    with pytest.raises((OSError, UserWarning)):
        Image.open(io.BytesIO(changed))

    assert_pixels(shown(changed)[0], pyvips.Image.new_from_buffer(changed, "").numpy(), tolerance=1)


@pytest.mark.parametrize("subsampling", [(1, 1), (2, 1), (2, 2), (1, 2), (4, 2)], ids=str)
@pytest.mark.parametrize("compression", [NONE, ZIP])
def test_brightness_and_differences_of_colour_that_are_not_jpeg(compression, subsampling):
    across, down = subsampling
    width, height = 61, 45  # the last units stick out
    whole = np.asarray(photo((64, 48)).convert("YCbCr"))
    bright = whole[..., 0].reshape(48 // down, down, 64 // across, across).swapaxes(1, 2)
    bright = bright.reshape(48 // down, 64 // across, -1)
    shared = whole[..., 1:].reshape(48 // down, down, 64 // across, across, 2).mean(axis=(1, 3)).astype(np.uint8)
    units = np.concatenate([bright, shared], axis=2)[:-(-height // down), :-(-width // across)]
    rows = 16
    tags, blocks = page(units, YCBCR, strip=rows // down, compression=compression)
    tags |= {256: ("I", [width]), 257: ("I", [height]), 258: ("H", [8] * 3), 277: ("H", [3]), 278: ("I", [rows]),
             339: ("H", [1] * 3), 530: ("H", subsampling)}
    data = together([(tags, blocks)])

    image, _ = shown(data)

    # Both hand on what libtiff makes of it; without subsampling libvips hands on the numbers as they are
    if subsampling == (1, 1):
        wanted = np.asarray(Image.fromarray(whole[:height, :width], "YCbCr").convert("RGB"))
    else:
        wanted = pyvips.Image.new_from_buffer(data, "").numpy()[..., :3]
    assert_pixels(image, wanted, tolerance=1)


# --- what is refused, and how

@pytest.mark.parametrize(("number", "name"), [
    (34887, "LERC"), (34712, "JPEG 2000"), (50002, "JPEG XL"), (34661, "JBIG"), (34933, "PNG"), (12345, "unknown"),
])
def test_a_compression_that_cannot_be_undone_is_named(number, name):
    data = tiff(as_numbers(SHARES[..., :3], "u1")[0], RGB, more={259: ("H", [number])})

    with pytest.raises(FormatNotAllowed, match=f"{name}.* compression inside cannot be decoded here; save it as PNG"):
        decode(data, "tiff")


def test_a_compression_that_pillow_was_built_without_is_named(monkeypatch):
    from imagepipe.codecs import decode_tiff

    data = encoded("TIFF", photo(), compression="zstd")

    def refuse(*_arguments, **_options):
        raise OSError("encoder error -2 when writing image file")

    decode_tiff._can.cache_clear()
    monkeypatch.setattr(Image.Image, "save", refuse)
    try:
        with pytest.raises(FormatNotAllowed, match="Zstandard compression inside"):
            decode(data, "tiff")
    finally:
        decode_tiff._can.cache_clear()


@pytest.mark.parametrize(("photometric", "words"), [
    (32803, "sensor data of a camera"), (34892, "sensor data of a camera"), (32845, "LogLuv"), (10, "ITU Lab"),
    (4711, "unknown kind of colour .photometric 4711."),
])
def test_what_the_numbers_mean_is_named_where_it_cannot_be_shown(photometric, words):
    with pytest.raises(FormatNotAllowed, match=words):
        decode(tiff(as_numbers(SHARES[..., :1], "u2")[0], photometric), "tiff")


@pytest.mark.parametrize(("data", "words"), [
    (tiff(np.zeros((4, 4, 4), np.uint8), CMYK, more={332: ("H", [2])}), "other inks"),
    (tiff(np.zeros((4, 4, 1), np.uint64), GREY), "1 x 64 bits"),
    (tiff(np.zeros((4, 4, 1), np.uint64), GREY, more={339: ("H", [6])}), "64 complex bits"),
    (tiff(np.zeros((4, 4, 3), np.uint8), RGB, more={258: ("H", [5, 6, 5])}), "3 x different bits"),
    (tiff(np.zeros((4, 4, 1), np.uint16), GREY, more={259: ("H", [7])}), "16 bits.* with JPEG compression"),
    (tiff(np.zeros((4, 4, 4), np.uint8), CMYK, more={259: ("H", [50001])}), "4 x 8 bits.* with WebP compression"),
    (tiff(np.zeros((4, 4, 3), np.uint8), YCBCR, separate=True), "photometric 6"),
])
def test_other_kinds_are_named(data, words):
    with pytest.raises(FormatNotAllowed, match=words):
        decode(data, "tiff")


@pytest.mark.parametrize("layout", [{}, {"strip": 8}, {"tile": (16, 16)}, {"compression": ZIP, "strip": 8},
                                    {"compression": ZIP, "tile": (16, 16)}, {"separate": True, "strip": 8}], ids=str)
def test_a_cut_tiff_is_refused_and_shows_what_is_there_where_that_is_accepted(layout):
    values, wanted = as_numbers(SHARES[..., :3], "u1")
    tags, blocks = page(values, RGB, **layout)
    blocks[-1] = blocks[-1][:len(blocks[-1]) // 2]
    data = together([(tags, blocks)])

    with pytest.raises(Corrupt):
        decode(data, "tiff")

    image, notes = shown(data, accept_damaged=True)
    assert notes[-1].startswith("damaged: ")
    assert_pixels(image.crop((0, 0, 8, 8)).getchannel("R"), wanted[:8, :8, 0])


@pytest.mark.parametrize("compression", ["jpeg", "group4", "webp"])
def test_a_cut_tiff_of_fax_jpeg_or_webp_is_refused(compression):
    picture = photo((64, 48)).convert("1" if compression == "group4" else "RGB")
    if compression == "webp":
        whole = pyvips.Image.new_from_buffer(encoded("PNG", picture), "").tiffsave_buffer(compression=compression)
    else:
        whole = encoded("TIFF", picture, compression=compression)
    found = ours.read(whole).page
    tags = {256: ("I", [64]), 257: ("I", [48]), 258: ("H", [found.bits] * found.samples),
            262: ("H", [found.photometric]), 259: ("H", [found.compression]), 277: ("H", [found.samples]),
            278: ("I", [found.block[1]])}
    tags |= {tag: ({347: "B", 530: "H"}.get(tag, "I"), values) for tag, values in found.tags.items()}
    start = together([(tags, [])], order="<")  # the list first, the picture at the end
    block = found.part(whole, 0)
    tags |= {273: ("I", [len(start) + 200]), 279: ("I", [len(block)])}
    head = together([(tags, [])])
    data = head.ljust(len(start) + 200, b"\0") + block
    assert_pixels(shown(data)[0], np.asarray(shown(whole)[0]))

    for end in (len(data) - 1, len(data) - len(block) // 2):
        with pytest.raises(Corrupt):
            decode(data[:end], "tiff")


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_a_fault_in_a_strip_of_jpeg_is_seen(mode):
    whole = encoded("TIFF", photo((200, 150), mode), compression="jpeg")
    found = ours.read(whole).page
    middle = found.offsets[0] + found.counts[0] * 2 // 3
    broken = whole[:middle] + b"\xff\xd9" + bytes(40) + whole[middle + 42:]
    assert_pixels(shown(whole)[0], pyvips.Image.new_from_buffer(whole, "").numpy(), tolerance=2)

    with pytest.raises(Corrupt):
        decode(broken, "tiff")

    assert shown(broken, accept_damaged=True)[0].size == (200, 150)


def test_every_cut_of_a_file_is_an_error_or_the_whole_picture():
    values, wanted = as_numbers(SHARES[:12, :12, :3], "u2")
    data = tiff(values, RGB, compression=ZIP, strip=4)
    for end in range(0, len(data), 7):
        try:
            image, _ = shown(data[:end])
        except ImageError:
            continue
        assert_pixels(image, wanted)


def test_every_changed_byte_is_an_error_of_ours_or_a_picture():
    tags, blocks = page(as_numbers(SHARES[:8, :8, :3], "u2")[0], RGB, compression=ZIP, extra=[])
    data = bytearray(together([(tags, blocks)]))
    start = len(data) - 12 * 12 - 6
    for at in [*range(16), *range(start, len(data))]:
        for value in (0, 1, 0x7F, 0xFF):
            changed = bytes(data[:at]) + bytes([value]) + bytes(data[at + 1:])
            try:
                decode(changed, "tiff", max_pixels=1_000_000)
            except ImageError:
                continue


@pytest.mark.parametrize("compression", [NONE, ZIP])
def test_lengths_of_strips_may_be_left_out(compression):
    values, wanted = as_numbers(SHARES[..., :3], "u1")
    data = tiff(values, RGB, strip=8, compression=compression).replace(struct.pack("<H", 279), struct.pack("<H", 65000))

    assert_pixels(shown(data)[0], wanted)


@pytest.mark.parametrize("accept_damaged", [False, True])
@pytest.mark.parametrize(("tile", "words"), [((1 << 20, 1 << 20), "more than all of it"),
                                             ((1, 1), "12 of 40,000 parts")])
def test_tiles_that_make_no_sense_are_refused_at_once(tile, words, accept_damaged):
    tags, blocks = page(np.zeros((200, 200, 1), np.uint8), GREY, tile=(64, 64))
    data = together([(tags | {322: ("I", [tile[0]]), 323: ("I", [tile[1]])}, blocks[:12])])

    with pytest.raises(Corrupt, match=words):
        decode(data, "tiff", accept_damaged=accept_damaged)


def test_tiles_that_are_far_more_than_the_picture_are_refused():
    tags, blocks = page(np.zeros((5000, 1, 1), np.uint8), GREY, tile=(16, 1))
    data = together([(tags | {322: ("I", [1 << 22])}, blocks)])

    with pytest.raises(Corrupt, match="far more than all of it"):
        decode(data, "tiff")


@pytest.mark.parametrize("tag", [322, 323])
def test_a_tile_of_a_negative_size_is_no_picture(tag):
    values, _ = as_numbers(SHARES[..., :3], "u1")
    data = tiff(values, RGB, tile=(16, 16))
    signed = data.replace(struct.pack("<HHIi", tag, 4, 1, 16), struct.pack("<HHIi", tag, 9, 1, -16))
    assert signed != data

    with pytest.raises(Corrupt, match="no picture"):
        decode(signed, "tiff")


@pytest.mark.parametrize("photometric", [GREY, YCBCR], ids=["numbers", "JPEG"])
def test_tiles_that_are_all_the_same_bytes_take_no_memory(photometric):
    tags, _ = page(np.zeros((1600, 1600, 1), np.uint8), GREY, tile=(16, 16), compression=ZIP)
    much = bytes(200_000)
    tags |= {262: ("H", [photometric]), 324: ("I", [8] * 10_000), 325: ("I", [len(much)] * 10_000)}
    if photometric == YCBCR:
        tags[259] = ("H", [7])
    data = together([(tags, [much])])

    with pytest.raises(Corrupt, match="lie on each other"):
        decode(data, "tiff")


def test_long_lists_that_thousands_of_pages_share_are_read_once():
    tags, blocks = page(np.zeros((8, 8, 1), np.uint8), GREY, strip=8)
    shared = together([(tags | {254: ("I", [1]), 273: ("I", [8] * 300_000)}, blocks)])
    at = struct.unpack_from("<I", shared, 4)[0]
    directory = shared[at:-4]
    out = bytearray(shared[:-4])
    for _ in range(3000):  # each with the same list, and each a smaller version of something
        out += struct.pack("<I", len(out) + 4) + directory
    out += bytes(4)

    tracemalloc.start()
    try:
        header = read_any_header(bytes(out), "tiff")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert (header.width, header.height) == (8, 8)
    assert peak < 50_000_000


def test_a_jpeg_in_a_tiff_that_is_larger_than_it_says_is_not_decoded(monkeypatch):
    small, large = encoded("JPEG", photo((64, 64))), encoded("JPEG", photo((80, 64)), progressive=True)
    tags, _ = page(np.zeros((64, 64, 3), np.uint8), YCBCR)
    tags |= {259: ("H", [7]), 530: ("H", [2, 2])}
    assert shown(together([(tags, [small])]))[0].size == (64, 64)

    # of a progressive one libjpeg would allocate all that its header says
    monkeypatch.setattr(simplejpeg, "decode_jpeg", lambda *_, **__: pytest.fail("it was looked at"))
    with pytest.raises(Corrupt):
        decode(together([(tags, [large])]), "tiff")


def test_a_strip_of_webp_that_is_too_small_is_a_fault():
    tags, _ = page(np.zeros((64, 64, 3), np.uint8), RGB)
    tags[259] = ("H", [50001])
    assert shown(together([(tags, [encoded("WEBP", photo((64, 64)))])]))[0].size == (64, 64)

    with pytest.raises(Corrupt, match="smaller than it says"):
        decode(together([(tags, [encoded("WEBP", photo((64, 60)))])]), "tiff")


def test_strips_that_cut_through_shared_colours_are_refused():
    units = np.zeros((9, 8, 6), np.uint8)
    tags, blocks = page(units, YCBCR, strip=3)
    tags |= {256: ("I", [16]), 257: ("I", [15]), 258: ("H", [8] * 3), 277: ("H", [3]), 278: ("I", [5]),
             339: ("H", [1] * 3), 530: ("H", [2, 2])}

    with pytest.raises(FormatNotAllowed):
        decode(together([(tags, blocks)]), "tiff")


def test_a_large_strip_reserves_what_it_takes(monkeypatch):
    asked = []
    monkeypatch.setattr(budget, "_keeper", asked.append)
    values = np.zeros((500, 400, 4), "f8")

    decode(tiff(values, RGB, extra=[2], compression=ZIP), "tiff")

    assert asked[-1] > 3 * values.nbytes


def test_a_tiff_says_what_it_is():
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    data = tiff(as_numbers(SHARES[..., :4], "u2")[0], RGB, extra=[2], more={34675: ("B", list(icc)), 274: ("H", [6])})

    header = read_any_header(data, "tiff")

    assert (header.width, header.height, header.orientation) == (HEIGHT, WIDTH, 1)
    assert (header.bit_depth, header.channels, header.has_alpha) == (16, "rgb", True)
    assert header.color.icc == icc
