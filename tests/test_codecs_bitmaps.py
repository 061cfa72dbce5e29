import struct

import pytest
from pictures import encoded, photo, wide_profile
from PIL import Image

from imagepipe.asset import Color
from imagepipe.codecs import bmp, wbmp, xbm
from imagepipe.errors import Corrupt, FormatNotAllowed, NotAnImage

BITS = photo((20, 3), "L").point(lambda value: 255 * (value > 128)).convert("1", dither=Image.Dither.NONE)
WBMP = b"\0\0\x14\3" + BITS.tobytes()
X11 = b"#define im_width 10\n#define im_height 2\nstatic char im_bits[] = {\n0x01,0x00,0xff, 0x3 };\n"
X10 = b"#define im_width 10\n#define im_height 2\nstatic short im_bits[] = { 0x0001, 0x03ff};"


def test_wbmp_is_read_with_white_set():
    header = wbmp.read_header(WBMP)

    assert (header.width, header.height, header.channels, header.bit_depth) == (20, 3, "bilevel", 1)
    assert wbmp.decode(WBMP).tobytes() == BITS.tobytes()


def test_wbmp_of_more_than_127_pixels_has_sizes_of_several_bytes():
    data = b"\0\0\x82\x2c\x81\0" + bytes(38 * 128)

    assert wbmp.decode(data).size == (300, 128)


@pytest.mark.parametrize("head", [
    b"", b"\0", b"\0\0", b"\0\0\x14", b"\0\0\0\3" + bytes(9), b"\0\0\x14\0", b"\0\0\x84\x80\x80\x80\x80\3",
    b"\0\0\xff\xff\xff\xff\x7f\3", b"\0\0\x87\xff\xff\xff\x7f\3", b"\0\0\x84\x80\0\3",  # 2^35, 2^31, 65536
    b"\0\0" + b"\x80" * 100, b"\0\x80\x14\3", b"\0\1\x14\3", b"\x80\x80\x80\x80\x80\0",
])
def test_wbmp_headers_that_cannot_be(head):
    with pytest.raises(NotAnImage):
        wbmp.read_header(head)


def test_wbmp_of_another_type_is_refused():
    with pytest.raises(FormatNotAllowed, match="type 1"):
        wbmp.read_header(b"\1" + WBMP[1:])


def test_wbmp_has_to_have_all_its_rows():
    for end in range(5, len(WBMP)):
        with pytest.raises(Corrupt, match="missing"):
            wbmp.decode(WBMP[:end])
    assert wbmp.decode(WBMP[:-3], accept_damaged=True).size == (20, 3)
    assert wbmp.read_header(WBMP + b"xy").notes == ("2 bytes after the end",)


@pytest.mark.parametrize("data", [X11, X10, X11.replace(b"static char", b"static unsigned char"),
                                  X11.replace(b"\n", b"\r\n"), b"/* made by hand */\n" + X11,
                                  X11.replace(b"im_", b""), X11.replace(b"0x01,0x00,0xff, 0x3", b"1,0,255,3,"),
                                  X11.replace(b"im_bits[]", b"im_bits[4]")])
def test_xbm_is_read_with_black_set_from_the_lowest_bit(data):
    header = xbm.read_header(data)

    assert (header.width, header.height, header.channels) == (10, 2, "bilevel")
    image = xbm.decode(data)
    assert [image.getpixel((x, 0)) for x in range(10)] == [0] + [255] * 9
    assert [image.getpixel((x, 1)) for x in range(10)] == [0] * 10


@pytest.mark.parametrize("width", [b"2000000000", b"9" * 5000, b"-8", b"0", b"65536", b"8.5", b"0x10", b""])
def test_xbm_sizes_that_cannot_be(width):
    with pytest.raises(NotAnImage):
        xbm.read_header(X11.replace(b"10", width))


@pytest.mark.parametrize("data", [
    X11.replace(b", 0x3", b""), X11.replace(b"0xff", b"0x1ff"), X11.replace(b"0xff", b"what"), X11.replace(b"}", b""),
    X11.replace(b"10", b"60000"), X11.replace(b"0xff,", b"0xff"), X11[:X11.index(b"{") + 1],
])
def test_xbm_has_to_have_all_its_numbers(data):
    with pytest.raises(Corrupt):
        xbm.decode(data)
    assert xbm.read_header(X11).height == 2


def test_damaged_xbm_is_accepted_on_request():
    assert xbm.decode(X11.replace(b", 0x3", b""), accept_damaged=True).size == (10, 2)


def test_numbers_run_together_are_no_trap():
    with pytest.raises(Corrupt):
        xbm.decode(X11.replace(b"0x01,0x00", b"1" * 2_000_000))


@pytest.mark.parametrize("mode, channels, depth", [("RGB", "rgb", 8), ("P", "palette", 8), ("1", "palette", 1),
                                                   ("L", "palette", 8)])
def test_bmp(mode, channels, depth):
    header = bmp.read_header(encoded("BMP", photo().convert(mode)))

    assert (header.width, header.height) == photo().size
    assert (header.channels, header.bit_depth, header.has_alpha) == (channels, depth, False)


def made(width=4, height=2, depth=24, compression=0, size=40, planes=1, rows=24, offset=None, fields=b""):
    start = 14 + size + len(fields)
    if size == 12:
        second = struct.pack("<IHHHH", 12, width, height, planes, depth)
    else:
        second = struct.pack("<IiiHHIIiiII", size, width, height, planes, depth, compression, 0, 0, 0, 0, 0)[:size]
        second = second.ljust(size, b"\0")
    data = struct.pack("<2sIII", b"BM", 0, 0, start if offset is None else offset) + second + fields
    return data + bytes(rows)


@pytest.mark.parametrize("size", [12, 16, 40, 52, 56, 64, 108, 124])
def test_bmp_of_every_version(size):
    assert bmp.read_header(made(size=size)).width == 4


@pytest.mark.parametrize("depth, rows", [(1, 8), (2, 8), (4, 8), (8, 8), (16, 16), (24, 24), (32, 32)])
def test_bmp_of_every_depth_has_to_have_all_its_rows(depth, rows):
    assert bmp.read_header(made(depth=depth, rows=rows)).height == 2
    with pytest.raises(Corrupt, match="missing"):
        bmp.read_header(made(depth=depth, rows=rows - 1))


def test_bmp_from_the_top_down():
    header = bmp.read_header(made(height=-2))

    assert header.height == 2
    assert header.notes == ("rows from the top down",)


@pytest.mark.parametrize("alpha", [0, 0xFF000000])
@pytest.mark.parametrize("size", [56, 108, 124])
def test_bmp_has_alpha_where_a_mask_says_so(size, alpha):
    data = bytearray(made(depth=32, compression=3, size=size, rows=32))
    data[14 + 40:14 + 56] = struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, alpha)

    assert bmp.read_header(bytes(data)).has_alpha is bool(alpha)


def test_bmp_profile():
    data = bytearray(made(size=124))
    data[14 + 56:14 + 60] = b"DEBM"
    data[14 + 112:14 + 120] = struct.pack("<II", len(data) - 14, len(wide_profile()))

    assert bmp.read_header(bytes(data) + wide_profile()).color.icc == wide_profile()
    assert bmp.read_header(bytes(data) + wide_profile()[:-9]).color == Color()


@pytest.mark.parametrize("data", [
    made(width=0), made(width=-1), made(height=0), made(height=-2**31), made(planes=3), made(depth=23),
    made(depth=24, compression=1), made(compression=9), made(height=-2, depth=8, compression=1), made(offset=20),
    made(offset=10_000), made(rows=0), made()[:30], made(width=65_535, height=65_535),
    made(width=2**31 - 1, height=2**31 - 1),
])
def test_bmp_that_makes_no_sense(data):
    with pytest.raises(Corrupt):
        bmp.read_header(data)


@pytest.mark.parametrize("data", [b"", b"BM", b"BM" + bytes(40), made(size=41), b"MB" + made()[2:]])
def test_what_is_no_bmp_is_none(data):
    with pytest.raises(NotAnImage):
        bmp.read_header(data)


@pytest.mark.parametrize("compression", [4, 5])
def test_bmp_around_another_picture_is_refused(compression):
    with pytest.raises(FormatNotAllowed):
        bmp.read_header(made(compression=compression))
