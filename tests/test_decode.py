"""Pixels of every type, against libvips or against exact values made in code."""

import io
import pickle
import shutil
import struct
import subprocess
import zlib

import numpy as np
import pytest
import pyvips
from pictures import animated, animation, chunk, encoded, photo, xmp
from PIL import Image, ImageOps

from imagepipe.codecs.decode import decode, decode_fully, read_any_header, verify
from imagepipe.errors import FormatNotAllowed

WIDTH, HEIGHT = 48, 32
_random = np.random.default_rng(5)
DEEP = {bands: _random.integers(0, 65536, (HEIGHT, WIDTH, bands), dtype=np.uint16) for bands in (1, 2, 3, 4)}
INKS = _random.integers(0, 256, (HEIGHT, WIDTH, 4), dtype=np.uint8)


def deep(bands):
    array = DEEP[bands]
    interpretation = "rgb16" if bands > 2 else "grey16"
    return pyvips.Image.new_from_array(array).copy(interpretation=interpretation)


def rounded(array, most=65535):
    result = np.rint(array.astype(float) * 255 / most).astype(np.uint8)
    return result[..., 0] if result.ndim == 3 and result.shape[2] == 1 else result


def only(data, format, **options):
    (frame,) = decode(data, format, **options).frames
    assert frame.image.info == {}
    return frame.image


def seen_by_vips(data):
    array = pyvips.Image.new_from_buffer(data, "").numpy()
    return array[..., 0] if array.ndim == 3 and array.shape[2] == 1 else array


def assert_pixels(image, wanted, tolerance=0):
    found = np.asarray(image)
    assert found.shape == wanted.shape
    assert np.abs(found.astype(int) - wanted.astype(int)).max() <= tolerance


# --- JPEG

@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize(
    "options", [{}, {"progressive": True}, {"subsampling": 0}, {"restart_marker_blocks": 2}], ids=str)
def test_jpeg_is_as_libvips_sees_it(mode, options):
    data = encoded("JPEG", photo(mode=mode), quality=88, **options)

    image = only(data, "jpeg")

    assert image.mode == mode
    assert_pixels(image, seen_by_vips(data), tolerance=1)


def test_inks_are_the_same_whether_adobe_inverted_them_or_not():
    data = pyvips.Image.new_from_array(INKS).copy(interpretation="cmyk").jpegsave_buffer(Q=100)
    adobe = data.find(b"Adobe")
    assert adobe > 0

    inverted = only(data, "jpeg")
    assert_pixels(inverted, INKS, tolerance=2)

    without_marker = data[:adobe - 4] + data[adobe + 12:]  # whoever leaves it out does not invert
    assert_pixels(only(without_marker, "jpeg"), 255 - np.asarray(inverted))


def test_ycck_becomes_cmyk():
    data = bytearray(pyvips.Image.new_from_array(INKS).copy(interpretation="cmyk").jpegsave_buffer(Q=100))
    data[data.find(b"Adobe") + 11] = 2  # the transform: YCCK

    image = only(bytes(data), "jpeg")

    assert image.mode == "CMYK"
    assert_pixels(image, seen_by_vips(bytes(data)), tolerance=1)


@pytest.mark.parametrize(("max_edge", "expected"), [
    (None, (1200, 900)), (1200, (1200, 900)), (5000, (1200, 900)), (799, (1200, 900)), (500, (750, 563)),
    (100, (150, 113)),
])
def test_jpeg_is_decoded_at_no_less_than_one_and_a_half_times_what_is_wanted(max_edge, expected):
    data = encoded("JPEG", photo((1200, 900)))

    assert only(data, "jpeg", max_edge=max_edge).size == expected


def test_a_large_jpeg_has_the_same_pixels_as_a_small_one(monkeypatch):
    from imagepipe.codecs import decode_jpeg

    data = {mode: encoded("JPEG", photo((300, 200), mode), quality=85) for mode in ("RGB", "L", "CMYK")}
    small = {mode: only(data[mode], "jpeg") for mode in data}
    monkeypatch.setattr(decode_jpeg, "_LARGE", 1000)

    for mode in data:
        assert_pixels(only(data[mode], "jpeg"), np.asarray(small[mode]), tolerance=1)


def test_only_the_first_picture_of_an_mpo_is_taken():
    first, second = photo(), ImageOps.invert(photo())
    data = encoded("MPO", first, save_all=True, append_images=[second])

    assert_pixels(only(data, "jpeg"), seen_by_vips(encoded("JPEG", first)), tolerance=1)


def test_verifying_a_jpeg_gives_a_glance_and_a_fingerprint_without_metadata():
    plain = encoded("JPEG", photo((1600, 1200)))
    with_comment = encoded("JPEG", photo((1600, 1200)), comment=b"taken in October")
    assert plain != with_comment

    verified = verify(plain, "jpeg")

    assert verified.glance.size == (400, 300)
    assert verified.pixels is None
    assert verified.fingerprint == verify(with_comment, "jpeg").fingerprint


# --- 16 bits

@pytest.mark.parametrize("interlace", [False, True])
@pytest.mark.parametrize("bands", [1, 2, 3, 4])
def test_sixteen_bit_png_is_scaled_and_rounded(bands, interlace):
    data = deep(bands).pngsave_buffer(interlace=interlace)
    assert read_any_header(data, "png").bit_depth == 16

    assert_pixels(only(data, "png"), rounded(DEEP[bands]))


@pytest.mark.parametrize("compression", ["none", "lzw", "deflate"])
@pytest.mark.parametrize(
    "layout", [{}, {"tile": True, "tile_width": 16, "tile_height": 16}, {"bigtiff": True}], ids=str)
@pytest.mark.parametrize("bands", [1, 3, 4])
def test_sixteen_bit_tiff_is_scaled_and_rounded(bands, layout, compression):
    data = deep(bands).tiffsave_buffer(compression=compression, **layout)

    assert_pixels(only(data, "tiff"), rounded(DEEP[bands]))


@pytest.mark.parametrize("most", [255, 1023, 65535])
@pytest.mark.parametrize("bands", [1, 3])
def test_pnm_is_scaled_to_its_maximum(bands, most):
    array = (DEEP[bands].astype(int) * most // 65535).astype(">u2" if most > 255 else "u1")
    data = b"P%d 48 32 %d\n" % (5 if bands == 1 else 6, most) + array.tobytes()

    assert_pixels(only(data, "ppm"), rounded(array, most))


def test_white_can_be_zero_in_a_sixteen_bit_tiff():
    white = Image.new("L", (8, 8), 255)
    values = np.full((8, 8), 65535, dtype=np.uint16)
    data = pyvips.Image.new_from_array(values).copy(interpretation="grey16").tiffsave_buffer(miniswhite=True)

    assert_pixels(only(data, "tiff"), np.asarray(white))


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0, 255), (0, 65535)])
def test_floating_point_tiff_is_scaled_by_its_range(low, high):
    values = (DEEP[1][..., 0] / 65535 * (high - low) + low).astype(np.float32)
    data = pyvips.Image.new_from_array(values).tiffsave_buffer()

    assert_pixels(only(data, "tiff"), rounded(DEEP[1]), tolerance=1)


def test_what_is_not_a_number_in_a_tiff_is_black():
    values = np.full((8, 8), np.nan, dtype=np.float32)
    values[:4] = 1.0

    image = only(pyvips.Image.new_from_array(values).tiffsave_buffer(), "tiff")

    assert image.getextrema() == (0, 255)


def test_a_transparent_colour_of_sixteen_bits_is_matched_in_full():
    pixels = DEEP[3].copy()
    pixels[5, 5] = pixels[3, 4] ^ 1  # the same but for the lowest bit
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    clear = b"".join(int(value).to_bytes(2, "big") for value in pixels[3, 4])
    data = (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", WIDTH, HEIGHT, 16, 2, 0, 0, 0))
            + chunk(b"tRNS", clear) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND"))

    image = only(data, "png")

    assert image.mode == "RGBA"
    assert np.argwhere(np.asarray(image)[..., 3] == 0).tolist() == [[3, 4]]


# --- PNG

@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_palettes_of_all_depths_become_rgb(bits):
    image = photo().quantize(2 ** bits)
    data = encoded("PNG", image, bits=bits)

    assert_pixels(only(data, "png"), np.asarray(image.convert("RGB")))


def test_a_palette_with_transparency_becomes_rgba():
    data = encoded("PNG", photo().quantize(16), transparency=bytes([0, 128] + [255] * 14))

    image = only(data, "png")

    assert image.mode == "RGBA"
    assert_pixels(image, seen_by_vips(data))


@pytest.mark.parametrize(("mode", "expected"), [("1", "L"), ("L", "L"), ("LA", "LA"), ("RGB", "RGB"), ("RGBA", "RGBA")])
def test_png_modes(mode, expected):
    picture = photo(mode="RGBA").convert(mode)

    image = only(encoded("PNG", picture), "png")

    assert image.mode == expected
    assert_pixels(image, np.asarray(picture.convert(expected)))


def test_an_alpha_channel_that_hides_nothing_is_dropped():
    picture = photo()
    picture.putalpha(255)

    for format, name in (("PNG", "png"), ("TIFF", "tiff"), ("WEBP", "webp"), ("TGA", "tga")):
        assert only(encoded(format, picture), name).mode == "RGB"


# --- animations

@pytest.mark.parametrize("format", ["GIF", "PNG", "WEBP", "AVIF"])
def test_every_frame_of_an_animation_is_whole_and_timed(format):
    options = {"WEBP": {"lossless": True}, "AVIF": {"quality": 95, "subsampling": "4:4:4"}}.get(format, {})
    data = animated(format, 4, loop=0, **options)

    pixels = decode(data, format.lower())

    assert [frame.duration for frame in pixels.frames] == [70] * 4
    assert pixels.loop == 0
    for frame, wanted in zip(pixels.frames, animation(4), strict=True):
        error = np.abs(np.asarray(frame.image).astype(int) - np.asarray(wanted).astype(int))
        assert error.mean() < (12 if format == "GIF" else 8)


def test_verifying_an_animation_keeps_no_frame_but_one():
    data = animated("GIF", 5)

    verified = verify(data, "gif")

    assert verified.pixels is None
    assert verified.opaque
    assert verified.glance.size == (WIDTH, HEIGHT)


def test_frames_are_of_the_size_of_the_screen_when_they_are_parts():
    small = Image.new("P", (10, 10), 1)
    small.putpalette([255, 255, 255, 200, 0, 0])
    data = bytearray(encoded("GIF", photo().quantize(8), save_all=True, append_images=[small]))

    sizes = {frame.image.size for frame in decode(bytes(data), "gif").frames}

    assert sizes == {(WIDTH, HEIGHT)}


# --- what must change its type

@pytest.mark.parametrize("bits", [1, 4, 8, 24, 32])
def test_bmp_of_all_depths(bits):
    picture = {1: photo(mode="1"), 4: photo().quantize(16), 8: photo().quantize(200), 24: photo(),
               32: photo(mode="RGBA")}[bits]
    data = encoded("BMP", picture)

    image = only(data, "bmp")

    if bits != 32:
        assert_pixels(image, np.asarray(picture.convert("L" if bits == 1 else "RGB")))
    else:
        assert_pixels(image.convert("RGB"), np.asarray(picture.convert("RGB")))


def convert(data, *options):
    return subprocess.run(["convert", "png:-", *options], input=data, capture_output=True, check=True).stdout


BY_IMAGEMAGICK = [
    ("bmp", "bmp3:-", ["-type", "palette", "-compress", "RLE"]),
    ("bmp", "bmp:-", ["-define", "bmp:subtype=RGB565"]),
    ("tiff", "tiff:-", ["-compress", "RLE"]),
    ("tiff", "tiff:-", ["-compress", "Zip"]),
    ("tiff", "tiff:-", ["-interlace", "Plane"]),
    ("tiff", "tiff:-", ["-endian", "MSB"]),
    ("psd", "psd:-", ["-compress", "RLE"]),
    ("ppm", "ppm:-", ["-compress", "none"]),
]


@pytest.mark.parametrize(("format", "output", "options"), BY_IMAGEMAGICK, ids=lambda value: str(value))
def test_what_imagemagick_writes_is_read_as_imagemagick_reads_it(format, output, options):
    if shutil.which("convert") is None:
        pytest.skip("needs ImageMagick")
    data = convert(encoded("PNG"), *options, output)
    wanted = subprocess.run(["convert", f"{output.split(':')[0].rstrip('3')}:-[0]", "-depth", "8", "rgb:-"], input=data,
                            capture_output=True, check=True).stdout

    image = only(data, format).convert("RGB")

    assert_pixels(image, np.frombuffer(wanted, np.uint8).reshape(HEIGHT, WIDTH, 3), tolerance=1)


@pytest.mark.parametrize(("origin", "turned"), [
    (0x00, lambda array: array[::-1]), (0x10, lambda array: array[::-1, ::-1]), (0x20, lambda array: array),
    (0x30, lambda array: array[:, ::-1]),
])
@pytest.mark.parametrize("kind", [2, 10], ids=["raw", "runs"])
def test_tga_from_all_four_corners(kind, origin, turned):
    pixels = np.asarray(photo())
    stored = turned(pixels)[..., ::-1]  # blue, green, red
    header = struct.pack("<BBBHHBHHHHBB", 0, 0, kind, 0, 0, 0, 0, 0, WIDTH, HEIGHT, 24, origin)
    body = stored.tobytes() if kind == 2 else b"".join(bytes([WIDTH - 1]) + row.tobytes() for row in stored)

    assert_pixels(only(header + body, "tga"), pixels)


def test_a_byte_of_nothing_beside_the_colours_is_no_transparency():
    picture = photo(mode="RGBA")
    picture.putalpha(0)

    assert only(encoded("TGA", picture), "tga").mode == "RGB"


COMPRESSIONS = ["raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg", "group3", "group4"]


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_tiff_of_all_compressions(compression):
    picture = photo(mode="1" if compression.startswith("group") else "RGB")
    data = encoded("TIFF", picture, compression=None if compression == "raw" else compression)

    assert_pixels(only(data, "tiff"), seen_by_vips(data), tolerance=1)


@pytest.mark.parametrize("mode", ["CMYK", "LAB", "L", "RGBA"])
def test_tiff_of_other_colour_models_keeps_its_numbers(mode):
    picture = Image.merge("LAB", photo().split()) if mode == "LAB" else photo(mode="RGBA").convert(mode)

    image = only(encoded("TIFF", picture), "tiff")

    assert image.mode == mode
    assert_pixels(image, np.asarray(picture))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_tiff_comes_out_upright(orientation):
    data = encoded("TIFF", tiffinfo={274: orientation})

    pixels = decode(data, "tiff")

    assert pixels.orientation == 1
    assert_pixels(pixels.frames[0].image, pyvips.Image.new_from_buffer(data, "").autorot().numpy())


def test_of_several_pages_the_first_is_taken_and_said_so():
    data = encoded("TIFF", photo(), save_all=True, append_images=[ImageOps.invert(photo())] * 2)

    decoded = decode_fully(data, "tiff")

    assert_pixels(decoded.pixels.frames[0].image, np.asarray(photo()))
    assert any("several pages" in note for note in decoded.header.notes)


def test_of_an_icon_the_largest_is_taken():
    data = encoded("ICO", photo((64, 64), "RGBA"), sizes=[(16, 16), (64, 64), (32, 32)])

    assert only(data, "ico").size == (64, 64)


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA"])
def test_lossless_jpeg_2000_is_exact(mode):
    picture = photo(mode="RGBA").convert(mode)

    assert_pixels(only(encoded("JPEG2000", picture, irreversible=False), "jpeg2000"), np.asarray(picture))


def test_the_profile_of_a_jpeg_2000_is_found():
    from pictures import srgb_profile

    icc = srgb_profile()
    data = encoded("JPEG2000")
    at = data.index(b"colr") - 4
    length = int.from_bytes(data[at:at + 4], "big")
    box = struct.pack(">I", len(icc) + 11) + b"colr\x02\0\0" + icc
    outer = data.index(b"jp2h") - 4
    grown = int.from_bytes(data[outer:outer + 4], "big") + len(box) - length
    data = data[:outer] + grown.to_bytes(4, "big") + data[outer + 4:at] + box + data[at + length:]

    header = read_any_header(data, "jpeg2000")

    assert header.color.icc == icc


@pytest.mark.parametrize("width", [1, 8, 13, 300])
def test_wbmp_is_exact(width):
    bits = _random.integers(0, 2, (7, width), dtype=np.uint8)
    size = b"".join(bytes([0x80 | value >> 7, value & 0x7F]) if value > 127 else bytes([value]) for value in (width, 7))

    assert_pixels(only(b"\0\0" + size + np.packbits(bits, axis=1).tobytes(), "wbmp"), bits * 255)


def test_xbm_is_exact():
    picture = photo(mode="1")

    # Pillow writes set bits for white, where X and all others show them black
    assert_pixels(only(encoded("XBM", picture), "xbm"), 255 - np.asarray(picture.convert("L")))


def photoshop(array, mode, *, depth=16, large=False, runs=False, layers=0):
    """A PSD or PSB as Photoshop lays it out: header, palette, resources, layers, composite."""
    height, width, channels = array.shape
    lengths = ">Q" if large else ">I"
    section = struct.pack(lengths, 4) + struct.pack(">hH", layers, 0) if layers else b""
    start = (b"8BPS" + struct.pack(">HxxxxxxHIIHH", 1 + large, channels, height, width, depth, mode) + bytes(8)
             + struct.pack(lengths, len(section)) + section + struct.pack(">H", runs))
    rows = [row.tobytes() for plane in array.transpose(2, 0, 1).astype(">u2" if depth == 16 else "u1") for row in plane]
    if not runs:
        return start + b"".join(rows)
    packed = [b"".join(bytes([len(row[at:at + 100]) - 1]) + row[at:at + 100] for at in range(0, len(row), 100))
              for row in rows]
    return start + b"".join(struct.pack(">I" if large else ">H", len(row)) for row in packed) + b"".join(packed)


@pytest.mark.parametrize("runs", [False, True])
@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize(("number", "bands", "mode"), [(1, 1, "L"), (3, 3, "RGB"), (4, 4, "CMYK"), (9, 3, "LAB")])
@pytest.mark.parametrize("depth", [8, 16])
def test_photoshop_composites(depth, number, bands, mode, large, runs):
    array = DEEP[bands] if depth == 16 else rounded(DEEP[bands]).reshape(HEIGHT, WIDTH, bands)
    wanted = rounded(DEEP[bands])

    image = only(photoshop(array, number, depth=depth, large=large, runs=runs), "psd")

    assert image.mode == mode
    if mode == "LAB":  # a and b: from the middle in Photoshop and in Pillow, signed when Pillow hands out bytes
        wanted = wanted ^ np.array((0, 128, 128), dtype=np.uint8)
    assert_pixels(image, 255 - wanted if mode == "CMYK" else wanted)


@pytest.mark.parametrize("depth", [8, 16])
def test_a_saved_selection_in_photoshop_is_no_transparency(depth):
    array = DEEP[4] if depth == 16 else rounded(DEEP[4])

    assert only(photoshop(array, 3, depth=depth), "psd").mode == "RGB"
    assert only(photoshop(array, 3, depth=depth, layers=-1), "psd").mode == "RGBA"


# --- HEIC and AVIF

def heic(picture, **options):
    pillow_heif = pytest.importorskip("pillow_heif")
    file = io.BytesIO()
    pillow_heif.from_pillow(picture).save(file, **options)
    return file.getvalue()


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L"])
def test_heic_of_eight_bits(mode):
    picture = photo((64, 48), "RGBA").convert(mode)

    image = only(heic(picture, quality=-1, chroma=444, matrix_coefficients=0), "heic")

    assert image.mode in (mode, "RGB")
    assert_pixels(image.convert("RGB"), np.asarray(picture.convert("RGB")), tolerance=2)


@pytest.mark.parametrize("bits", [10, 12])
def test_heic_of_more_bits_is_scaled(bits, monkeypatch):
    pillow_heif = pytest.importorskip("pillow_heif")
    monkeypatch.setattr(pillow_heif.options, "SAVE_HDR_TO_12_BIT", bits == 12)
    file = io.BytesIO()
    pillow_heif.from_bytes("RGB;16", (WIDTH, HEIGHT), DEEP[3].tobytes()).save(
        file, quality=-1, chroma=444, matrix_coefficients=0)
    data = file.getvalue()
    assert read_any_header(data, "heic").bit_depth == bits

    assert_pixels(only(data, "heic"), rounded(DEEP[3]), tolerance=1)


def test_a_turned_heic_is_turned_once():
    exif = Image.Exif()
    exif[0x0112] = 6
    data = heic(photo((64, 48)), quality=-1, chroma=444, exif=exif.tobytes())
    assert b"irot" in data

    pixels = decode(data, "heic")

    assert pixels.orientation == 1
    assert pixels.size == (48, 64)
    turned = photo((64, 48)).transpose(Image.Transpose.ROTATE_270)
    assert_pixels(pixels.frames[0].image, np.asarray(turned), tolerance=12)


def test_of_several_pictures_in_a_heic_the_primary_is_taken():
    pillow_heif = pytest.importorskip("pillow_heif")
    file = pillow_heif.from_pillow(ImageOps.invert(photo((64, 48))))
    file.add_from_pillow(photo((64, 48)))
    out = io.BytesIO()
    file.save(out, quality=-1, chroma=444, primary_index=1)

    decoded = decode_fully(out.getvalue(), "heic")

    assert_pixels(decoded.pixels.frames[0].image, np.asarray(photo((64, 48))), tolerance=12)
    assert any("2 pictures" in note for note in decoded.header.notes)


@pytest.mark.parametrize(("coding", "name"), [(b"jpeg", "JPEG"), (b"vvc1", "VVC"), (b"unci", "uncompressed data")])
def test_a_heif_that_is_coded_otherwise_is_named(coding, name):
    data = heic(photo((64, 48)))
    at = data.index(b"infe")
    other = data[:at] + data[at:].replace(b"hvc1", coding, 1)

    with pytest.raises(FormatNotAllowed, match=f"a HEIF with {name} inside cannot be decoded here"):
        decode(other, "heic")


def test_heic_says_what_its_colours_are():
    wide = heic(photo((64, 48)), quality=90, color_primaries=12, transfer_characteristics=13)

    assert read_any_header(wide, "heic").color.cicp[:2] == (12, 13)


@pytest.mark.parametrize("bits", [8, 10, 12])
def test_avif_of_all_depths(bits):
    data = deep(3).heifsave_buffer(compression="av1", bitdepth=bits, lossless=True, effort=1)
    assert read_any_header(data, "avif").bit_depth == bits

    assert_pixels(only(data, "avif"), rounded(DEEP[3]), tolerance=1)


def test_the_orientation_of_an_avif_is_left_to_be_applied():
    exif = Image.Exif()
    exif[0x0112] = 6

    pixels = decode(encoded("AVIF", exif=exif.tobytes()), "avif")

    assert (pixels.orientation, pixels.size) == (6, (WIDTH, HEIGHT))


def test_an_orientation_that_only_xmp_states_turns_no_avif():
    stated = xmp()
    assert b'tiff:Orientation="6"' in stated

    pixels = decode(encoded("AVIF", xmp=stated), "avif")

    assert (pixels.orientation, set(pixels.metadata)) == (1, {"xmp"})


# --- results

@pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF", "WEBP", "TIFF", "AVIF"])
def test_what_is_decoded_pickles(format):
    pixels = decode(animated(format) if format in ("GIF", "WEBP") else encoded(format), format.lower())

    again = pickle.loads(pickle.dumps(pixels))

    assert [frame.image.tobytes() for frame in again.frames] == [frame.image.tobytes() for frame in pixels.frames]
    assert again.size == (WIDTH, HEIGHT)


def test_exif_is_kept_on_request_only():
    exif = Image.Exif()
    exif[0x8298] = "somebody"
    data = encoded("JPEG", exif=exif.tobytes())

    assert b"somebody" in decode(data, "jpeg").metadata["exif"]
    assert decode(data, "jpeg", keep_metadata=False).metadata == {}


@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF", "AVIF"])
def test_whose_a_picture_is_can_be_kept(format):
    exif = Image.Exif()
    exif[0x8298] = "(c) Somebody"

    assert decode(encoded(format, exif=exif), format.lower()).metadata["copyright"] == b"(c) Somebody"


def test_whose_a_heic_is_can_be_kept():
    exif = Image.Exif()
    exif[0x8298] = "(c) Somebody"

    assert decode(heic(photo((64, 48)), exif=exif.tobytes()), "heic").metadata["copyright"] == b"(c) Somebody"


def cut_to(data, left, top, width, height, size):
    """An AVIF of one picture with a clean aperture, which tells all to show a part of it."""
    out = bytearray(data)

    def grow(name, by):
        at = out.index(name) - 4
        out[at:at + 4] = (int.from_bytes(out[at:at + 4], "big") + by).to_bytes(4, "big")
        return at, int.from_bytes(out[at:at + 4], "big")

    extents = out.index(b"iloc") + 8  # sizes 4 and 4, one item: id, reference, count, then offset and length
    assert out[extents:extents + 8] == b"\x44\0\0\1\0\1\0\0"
    offset = int.from_bytes(out[extents + 10:extents + 14], "big")
    out[extents + 10:extents + 14] = (offset + 41).to_bytes(4, "big")
    grow(b"meta", 41)
    grow(b"iprp", 41)
    at, length = grow(b"ipma", 1)
    properties = out[at + 18]
    out[at + 18] += 1
    out[at + length - 1:at + length - 1] = bytes([0x80 | properties + 1])
    at, length = grow(b"ipco", 40)
    numbers = (width, 1, height, 1, 2 * left + width - size[0], 2, 2 * top + height - size[1], 2)
    out[at + length - 40:at + length - 40] = b"\0\0\0\x28clap" + struct.pack(">IIIIiIiI", *numbers)
    return bytes(out)


def test_of_an_avif_only_the_part_to_be_shown_is():
    whole = encoded("AVIF", photo((64, 48)), quality=95, subsampling="4:4:4")
    data = cut_to(whole, 10, 6, 40, 21, (64, 48))

    decoded = decode_fully(data, "avif")

    assert (decoded.header.width, decoded.header.height) == (40, 21)
    assert_pixels(decoded.pixels.frames[0].image, seen_by_vips(data), tolerance=3)


@pytest.mark.parametrize("part", [(0, 0, 64, 48), (-4, 0, 40, 21), (30, 0, 40, 21)])
def test_a_part_that_is_all_or_sticks_out_is_no_part(part):
    data = cut_to(encoded("AVIF", photo((64, 48)), quality=95), *part, (64, 48))

    assert only(data, "avif").size == (64, 48)


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_blue_of_an_avif_of_bt2020_in_studio_range_is_as_libvips_sees_it(mode):
    blues = np.zeros((32, 32, 3), np.uint8)
    blues[..., 0], blues[..., 1] = np.arange(32) * 4, 60
    blues[..., 2] = 100 + np.arange(32)[:, None] * 4
    picture = Image.fromarray(blues).convert(mode)
    data = encoded("AVIF", picture, quality=100, subsampling="4:4:4", range="limited")
    at = data.index(b"colrnclx") + 8
    data = data[:at] + struct.pack(">HHHB", 9, 13, 9, 0) + data[at + 7:]

    decoded = only(data, "avif")

    assert decoded.mode == "RGB"
    assert_pixels(decoded, seen_by_vips(data)[..., :3], tolerance=3)  # 9 off as libavif has it on some machines
