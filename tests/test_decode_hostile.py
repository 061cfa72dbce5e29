"""Hostile and damaged pictures: refused with a typed error that says why, without much memory or time."""

import contextlib
import io
import pickle
import random
import struct
import sys
import threading
import tracemalloc
import warnings
import zlib

import numpy as np
import pytest
from pictures import animated, chunk, encoded, photo
from PIL import Image, ImageFile

from imagepipe import budget
from imagepipe.asset import Asset
from imagepipe.codecs.decode import decode, decode_fully, read_any_header, verify
from imagepipe.codecs.decode_guard import reason, shielded
from imagepipe.errors import Corrupt, FormatNotAllowed, ImageError, NeedsMemory, TooManyFrames, TooManyPixels, TooSlow

SIGNATURE = b"\x89PNG\r\n\x1a\n"
PIXEL = b"\x02\x44\x01"  # one pixel of a GIF, packed


def png(width, height, rows, *, depth=8, kind=2, interlace=0, extra=b""):
    ihdr = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, interlace)
    return SIGNATURE + chunk(b"IHDR", ihdr) + extra + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND")


def jpeg_that_claims(width, height):
    data = bytearray(encoded("JPEG"))
    frame = data.index(b"\xff\xc0")
    data[frame + 5:frame + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def gif(width, height, frames):
    blocks = b"".join(b"\x2c" + struct.pack("<HHHHB", x, y, w, h, 0) + b"\x02" + PIXEL + b"\0" for x, y, w, h in frames)
    return b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff" + blocks + b";"


def bmp(width, height, bits=24, compression=0):
    return b"BM" + struct.pack("<IHHI", 154, 0, 0, 54) + struct.pack(
        "<IiiHHIIiiII", 40, width, height, 1, bits, compression, 0, 0, 0, 0, 0) + bytes(100)


def tga(width, height, kind=2, body=bytes(100)):
    return struct.pack("<BBBHHBHHHHBB", 0, 0, kind, 0, 0, 0, 0, 0, width, height, 24, 0) + body


def psd(width, height, depth=8, version=1):
    return b"8BPS" + struct.pack(">HxxxxxxHIIHH", version, 3, height, width, depth, 3) + bytes(14)


def tiff(next_page=0, body=bytes(4000), **changed):
    tags = {"256": (4, 1, 64), "257": (4, 1, 48), "258": (3, 1, 8), "259": (3, 1, 1), "262": (3, 1, 1),
            "273": (4, 1, 8), "278": (4, 1, 48), "279": (4, 1, 3072)} | {name[1:]: v for name, v in changed.items()}
    out = b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags))
    out += b"".join(struct.pack("<HHII", int(tag), *value) for tag, value in tags.items())
    return out + struct.pack("<I", next_page) + body


def jp2_that_claims(width, height):
    data = bytearray(encoded("JPEG2000"))
    at = data.index(b"ihdr")
    data[at + 4:at + 12] = struct.pack(">II", height, width)
    return bytes(data)


def with_ispe(data, width, height):
    data = bytearray(data)
    at = data.find(b"ispe")
    while at > 0:
        data[at + 8:at + 16] = struct.pack(">II", width, height)
        at = data.find(b"ispe", at + 16)
    return bytes(data)


def heic(picture=None):
    pillow_heif = pytest.importorskip("pillow_heif")
    file = io.BytesIO()
    pillow_heif.from_pillow(picture or photo((64, 48))).save(file, quality=80)
    return file.getvalue()


def progressive_with_scans(count):
    data = encoded("JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:-2] + data[last:-2] * count + b"\xff\xd9"


BOMBS = {
    "png": (png(60_000, 60_000, bytes(1000)), TooManyPixels),
    "png of 200 MP and a row": (png(19_900, 10_000, bytes(1000)), Corrupt),
    "jpeg": (jpeg_that_claims(65_535, 65_535), TooManyPixels),
    "jpeg of 88 MP in 1 kB": (jpeg_that_claims(9_400, 9_400), Corrupt),
    "jpeg of 1000 scans": (progressive_with_scans(1000), TooSlow),
    "gif": (gif(65_535, 65_535, [(0, 0, 1, 1)]), TooManyPixels),
    "gif frame beyond the screen": (gif(10, 10, [(0, 0, 1, 1), (0, 0, 65_535, 65_535)]), ImageError),
    "gif frames x screen": (gif(5_000, 5_000, [(0, 0, 1, 1)] * 120), TooManyPixels),
    "gif of many frames": (gif(1, 1, [(0, 0, 1, 1)] * 5000), TooManyFrames),
    "bmp": (bmp(30_000, 30_000), ImageError),
    "bmp of runs": (bmp(5_000, 5_000, 8, 1), ImageError),  # where nothing is said there is paper: a byte a pixel
    "tga": (tga(65_535, 65_535), TooManyPixels),
    "psd": (psd(30_000, 30_000), TooManyPixels),
    "psd of 16 bits without data": (psd(10_000, 10_000, depth=16), Corrupt),
    "psd of runs without data": (psd(1, 100_000_000, version=2)[:-2] + b"\0\1", Corrupt),
    "ppm": (b"P6 60000 60000 255\n" + bytes(100), TooManyPixels),
    "ppm with 5000 digits": (b"P6 " + b"9" * 5000 + b" 5 255\n", ImageError),
    "jpeg2000": (jp2_that_claims(60_000, 60_000), TooManyPixels),
    "tiff": (tiff(t256=(4, 1, 1 << 31), t257=(4, 1, 1 << 31)), TooManyPixels),
    "tiff with 4 G of strips": (tiff(t273=(4, 0xFFFFFFFF, 8)), ImageError),
    "tiff with a strip outside": (tiff(t273=(4, 1, 1_000_000_000)), Corrupt),
    "xbm": (b"#define a_width 60000\n#define a_height 60000\nstatic char a_bits[] = {\n0x00};", ImageError),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_for_its_header_or_its_missing_data(name):
    data, error = BOMBS[name]
    format = name.split(" ")[0]
    tracemalloc.start()

    try:
        with pytest.raises(error) as raised:
            verify(data, format) if format in ("png", "jpeg", "gif") else decode(data, format)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert peak < 30_000_000
    assert type(raised.value).__module__ == "imagepipe.errors"
    assert str(pickle.loads(pickle.dumps(raised.value))) == str(raised.value)


@pytest.mark.parametrize(("size", "error"), [(0, Corrupt), (32_768, TooManyPixels), (65_535, TooManyPixels),
                                             (1 << 31, TooManyPixels)])
def test_heic_and_avif_that_claim_a_size(size, error):
    for data, format in ((heic(), "heic"), (encoded("AVIF"), "avif")):
        with pytest.raises(error):
            decode(with_ispe(data, size, size), format)


def test_pixels_are_counted_over_all_frames():
    data = animated("GIF", 10)
    assert len(decode(data, "gif", max_pixels=48 * 32 * 10).frames) == 10

    with pytest.raises(TooManyPixels, match="x 10 frames"):
        decode(data, "gif", max_pixels=48 * 32 * 10 - 1)


def test_the_number_of_frames_is_limited():
    with pytest.raises(TooManyFrames, match="it has 6 frames, the limit is 5"):
        decode(animated("GIF", 6), "gif", max_frames=5)


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG", "AVIF"])
def test_frames_are_counted_as_they_come_and_not_as_announced(format):
    from dataclasses import replace

    data = animated(format, 5)
    header = replace(read_any_header(data, format.lower()), frames=2)  # a container that was understood wrongly

    with pytest.raises(TooManyFrames):
        decode(data, format.lower(), header=header, max_frames=4)
    with pytest.raises(TooManyPixels):
        decode(data, format.lower(), header=header, max_pixels=48 * 32 * 4)


@pytest.mark.parametrize("claimed", [1, 2, 4, (1 << 31) - 1])
def test_an_apng_has_the_frames_that_it_has_whatever_it_claims(claimed):
    data = bytearray(animated("PNG", 3))
    at = data.index(b"acTL")
    data[at + 4:at + 8] = struct.pack(">I", claimed)
    data[at + 12:at + 16] = struct.pack(">I", zlib.crc32(data[at:at + 12]))

    assert len(decode(bytes(data), "png").frames) == 3
    with pytest.raises(TooManyFrames):
        decode(bytes(data), "png", max_frames=2)


def test_a_tiff_of_20_000_pages_is_read_no_further_than_the_first():
    entries = tiff(body=b"")[10:-4]
    page = struct.pack("<H", len(entries) // 12) + entries
    pages = b"".join(page + struct.pack("<I", 8 + (number + 1) * (len(page) + 4)) for number in range(20_000))

    decoded = decode_fully(b"II*\0\x08\0\0\0" + pages, "tiff")

    assert len(decoded.pixels.frames) == 1
    assert decoded.header.notes == ("it has several pages, the first is taken",)


def test_a_loop_of_pages_ends():
    assert len(decode(tiff(next_page=8), "tiff").frames) == 1


BESIDES = {
    "a text of 100 MB": chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(100_000_000), 9)),
    "a profile of 100 MB": chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(100_000_000), 9)),
}


@pytest.mark.parametrize("name", BESIDES)
def test_what_inflates_beside_a_png_is_not_inflated(name):
    data = png(48, 32, bytes(145 * 32), extra=BESIDES[name])
    tracemalloc.start()

    with contextlib.suppress(ImageError):  # a refusal that says so is as good
        assert decode(data, "png").size == (48, 32)

    assert tracemalloc.get_traced_memory()[1] < 30_000_000
    tracemalloc.stop()


# --- parts are missing

WHOLE = {
    "jpeg": encoded("JPEG"), "jpeg progressive": encoded("JPEG", progressive=True), "png": encoded("PNG"),
    "png animated": animated("PNG"), "gif": encoded("GIF"), "gif animated": animated("GIF"), "webp": encoded("WEBP"),
    "webp lossless": encoded("WEBP", lossless=True), "webp animated": animated("WEBP"), "bmp": encoded("BMP"),
    "tiff": encoded("TIFF"), "tiff lzw": encoded("TIFF", compression="tiff_lzw"),
    "tiff jpeg": encoded("TIFF", compression="jpeg"), "tiff deflate": encoded("TIFF", compression="tiff_adobe_deflate"),
    "tga": encoded("TGA"), "tga runs": encoded("TGA", compression="tga_rle"), "ppm": encoded("PPM"),
    "jpeg2000": encoded("JPEG2000"), "avif": encoded("AVIF"),
    "ico": encoded("ICO", photo((64, 64), "RGBA"), sizes=[(64, 64)]),
    "xbm": encoded("XBM", photo(mode="1")),
}


@pytest.mark.parametrize("name", WHOLE)
def test_a_cut_picture_is_refused_or_has_all_its_pixels(name):
    data, format = WHOLE[name], name.split(" ")[0]
    whole = [frame.image.tobytes() for frame in decode(data, format).frames]
    refused = 0

    for left in sorted({*(len(data) * part // 12 for part in range(12)), *(len(data) - cut for cut in range(1, 16))}):
        try:
            found = decode(data[:left], format)
        except ImageError:
            refused += 1
            continue
        assert [frame.image.tobytes() for frame in found.frames] == whole

    assert refused >= 12


def test_a_cut_heic_is_refused():
    data = heic()

    for part in range(1, 10):
        with pytest.raises(ImageError):
            decode(data[:len(data) * part // 10], "heic")


@pytest.mark.parametrize("interlace", [0, 1])
@pytest.mark.parametrize(("width", "height", "depth", "kind"),
                         [(48, 32, 8, 2), (7, 5, 1, 0), (3, 1, 16, 6), (1, 1, 8, 3)])
def test_every_row_of_a_png_must_be_there(width, height, depth, kind, interlace):
    samples = {0: 1, 2: 3, 3: 1, 6: 4}[kind]
    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    parts = passes if interlace else [(0, 0, 1, 1)]
    needed = 0
    for left, top, across, down in parts:
        columns, rows = len(range(left, width, across)), len(range(top, height, down))
        if columns and rows:
            needed += rows * (1 + (columns * depth * samples + 7) // 8)
    palette = chunk(b"PLTE", bytes(3)) if kind == 3 else b""

    def picture(count):
        return png(width, height, bytes(count), depth=depth, kind=kind, interlace=interlace, extra=palette)

    assert verify(picture(needed), "png").glance.size == (width, height)
    with pytest.raises(Corrupt, match="rows are there"):
        verify(picture(needed - 1), "png")


def test_rows_of_every_frame_of_an_apng_must_be_there():
    data = animated("PNG", 3)
    at = data.rindex(b"fdAT")
    length = int.from_bytes(data[at - 4:at], "big")
    sequence = data[at + 4:at + 8]
    short = data[:at - 4] + chunk(b"fdAT", sequence + zlib.compress(b"\0" * 5)) + data[at + 8 + length:]

    with pytest.raises(Corrupt, match="rows are there"):
        verify(short, "png")


@pytest.mark.parametrize("format", ["jpeg", "png", "gif", "webp"])
def test_flipped_bits_raise_nothing_but_our_errors(format):
    whole = encoded(format.upper(), photo((96, 64)))
    dice = random.Random(format)
    refused = 0

    for _ in range(60):
        data = bytearray(whole)
        for _ in range(3):
            data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
        try:
            verify(bytes(data), format)
        except ImageError:
            refused += 1

    assert refused > 10


def test_damaged_scans_that_pillow_loads_are_refused():
    data = encoded("JPEG", photo((160, 120)), restart_marker_blocks=4)
    middle = len(data) // 2
    damaged = data[:middle] + data[middle + 40:]
    Image.open(io.BytesIO(damaged)).load()  # not a word

    with pytest.raises(Corrupt, match="damaged or incomplete .*; open it in an image editor"):
        verify(damaged, "jpeg")


@pytest.mark.parametrize("place", ["before a marker", "after the end", "JFIF 9.9", "SOS of a progressive one"])
def test_what_harmless_cameras_write_is_no_damage(place):
    data = encoded("JPEG")
    table = data.index(b"\xff\xdb")
    if place == "before a marker":
        data = data[:table] + b"\xff\xff\xff" + data[table:]
    elif place == "after the end":
        data += bytes(100) + b"trailer"
    elif place == "JFIF 9.9":
        at = data.index(b"JFIF\0") + 5
        data = data[:at] + b"\x09\x09" + data[at + 2:]
    else:
        scan = data.index(b"\xff\xda")
        end = scan + 2 + int.from_bytes(data[scan + 2:scan + 4], "big")
        data = data[:end - 3] + b"\0\0\0" + data[end:]

    assert verify(data, "jpeg").glance.size == (48, 32)


# --- accepted damage

@pytest.mark.parametrize("format", ["jpeg", "png", "gif", "tiff", "bmp", "ppm", "tga"])
def test_of_a_cut_picture_the_first_part_can_be_had(format):
    data = encoded(format.upper(), photo((240, 160)))
    whole = np.asarray(decode(data, format).frames[0].image.convert("RGB")).astype(int)
    cut = data[:len(data) * 8 // 10]

    with pytest.raises(Corrupt):
        decode(cut, format)
    decoded = decode_fully(cut, format, accept_damaged=True)

    assert decoded.damaged
    found = np.asarray(decoded.pixels.frames[0].image.convert("RGB")).astype(int)
    rows = slice(-20, None) if format in ("tga", "bmp") else slice(0, 20)  # these are stored from the bottom up
    assert found.shape == whole.shape
    assert np.abs(found[rows] - whole[rows]).mean() < 3


def test_of_a_cut_wbmp_the_first_rows_can_be_had():
    data = b"\0\0\x10\x10" + bytes(20)

    with pytest.raises(Corrupt):
        decode(data, "wbmp")
    decoded = decode_fully(data, "wbmp", accept_damaged=True)

    assert decoded.damaged
    assert np.asarray(decoded.pixels.frames[0].image)[:10].max() == 0


@pytest.mark.parametrize("kind", [0, 2, 4, 6])
@pytest.mark.parametrize("depth", [8, 16])
def test_a_png_with_a_broken_stream_keeps_its_first_rows(kind, depth):
    samples = {0: 1, 2: 3, 4: 2, 6: 4}[kind]
    rows = (b"\0" + b"\xff" * (samples * depth // 8 * 48)) * 32
    data = png(48, 32, rows[:len(rows) // 2], depth=depth, kind=kind)

    image = decode(data, "png", accept_damaged=True).frames[0].image

    assert image.getpixel((5, 5)) in (255, (255, 255, 255), (255, 255), (255, 255, 255, 255))
    assert image.size == (48, 32)


def test_a_png_with_a_flipped_bit_keeps_what_stands_before_it():
    whole = np.asarray(photo((240, 160)))
    data = bytearray(encoded("PNG", photo((240, 160))))
    data[len(data) * 7 // 10] ^= 0xFF

    with pytest.raises(Corrupt):
        decode(bytes(data), "png")
    decoded = decode_fully(bytes(data), "png", accept_damaged=True)

    assert decoded.damaged
    assert (np.asarray(decoded.pixels.frames[0].image)[:30] == whole[:30]).all()


def test_what_is_damaged_is_never_taken_unasked():
    data = WHOLE["png"][:-200]

    with pytest.raises(Corrupt):
        decode(data, "png")
    assert not ImageFile.LOAD_TRUNCATED_IMAGES


# --- the process stays as it was

def test_warnings_of_decoders_reach_nobody(recwarn):
    warnings.simplefilter("always")
    before = list(warnings.filters)

    decode(tiff(t306=(2, 0xFFFF, 1 << 30)), "tiff")

    assert len(recwarn) == 0
    assert warnings.filters == before


def test_a_caller_who_turns_warnings_into_errors_still_gets_the_picture():
    with warnings.catch_warnings():
        warnings.simplefilter("error")

        assert decode(tiff(t306=(2, 0xFFFF, 1 << 30)), "tiff").size == (64, 48)


def test_pillows_limit_is_raised_only_while_a_larger_picture_is_decoded(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)

    for format in ("JPEG", "PNG", "GIF", "WEBP", "TIFF"):
        assert decode(encoded(format, photo((200, 100))), format.lower()).size == (200, 100)

    assert Image.MAX_IMAGE_PIXELS == 1000


def test_threads_leave_filters_and_limits_as_they_were(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    before = list(warnings.filters)
    data = [encoded(format, photo((120, 90))) for format in ("JPEG", "TIFF", "PNG", "GIF")]
    failures = []

    def work(number):
        try:
            for turn in range(5):
                format = ("jpeg", "tiff", "png", "gif")[(number + turn) % 4]
                decode(data[(number + turn) % 4], format)
        except Exception as error:  # noqa: BLE001 - collected, to be shown by the test
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    assert warnings.filters == before
    assert Image.MAX_IMAGE_PIXELS == 1000


@pytest.mark.parametrize("error", [
    SyntaxError("x"), struct.error("x"), ValueError("x"), OSError("x"), zlib.error("x"), EOFError(), IndexError("x"),
    OverflowError("x"), KeyError("x"), RecursionError("x"), ZeroDivisionError("x"), TypeError("x"), RuntimeError("x"),
])
def test_whatever_a_decoder_raises_becomes_corrupt(error):
    with pytest.raises(Corrupt), shielded("this picture"):
        raise error


def test_memory_errors_and_ours_pass_through():
    for error in (MemoryError(), TooSlow("x"), KeyboardInterrupt()):
        with pytest.raises(type(error)), shielded("this picture"):
            raise error


def test_a_reason_is_one_printable_line():
    assert reason(ValueError("a\n\x1b[31mb\u202e" + "c" * 500)) == ("a ?[31mb?" + "c" * 500)[:160]


def test_memory_is_asked_for_before_anything_is_decoded(monkeypatch):
    asked = []

    def refuse(size):
        asked.append(size)
        raise NeedsMemory("too much")

    monkeypatch.setattr(budget, "_keeper", refuse)

    with pytest.raises(NeedsMemory):
        decode(encoded("PNG", photo((400, 300))), "png")
    assert asked[0] > 400 * 300 * 9


def test_kinds_that_no_decoder_here_takes_are_named():
    for data, format, words in ((psd(10, 10)[:24] + b"\0\7" + bytes(14), "psd", "separate spot inks"),
                                (tiff(t258=(3, 1, 24), t339=(3, 1, 3)), "tiff", "24 floating-point bits")):
        with pytest.raises(FormatNotAllowed, match=words):
            decode(data, format)


@pytest.mark.parametrize(("format", "package"), [("raw", "rawpy"), ("jxl", "pylibjxl")])
def test_a_missing_extra_is_named(format, package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)

    with pytest.raises(FormatNotAllowed, match=rf"imagepipe-upload\[{format}\]"):
        decode(b"\xff\x0a" + bytes(100), format)


def test_an_asset_whose_picture_is_refused_keeps_its_bytes_out_of_the_message():
    from imagepipe.stages.decode import Decode

    with pytest.raises(ImageError) as raised:
        Decode()(Asset("x.jpg", "1", data=b"SECRET" * 1000))

    assert "SECRET" not in str(raised.value)
