import struct

import pytest
from pictures import encoded, photo, wide_profile
from PIL import Image

from imagepipe.asset import Color
from imagepipe.codecs import bmp, wbmp, xbm
from imagepipe.codecs.decode import decode
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


@pytest.mark.parametrize("name", [b"foo-ref", b"x/y.z", "Bär".encode(), b"a" * 190])
def test_xbm_of_any_name(name):
    data = b"#define %b_width 2\n#define %b_height 1\nstatic char %b_bits[] = { 0x01 };" % (name, name, name)

    assert xbm.decode(data).tobytes() == b"\x40"


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


def pixels_of(data: bytes) -> list[list[tuple[int, ...]]]:
    """Rows of what a BMP shows, from the top."""
    image = decode(data, "bmp").frames[0].image
    image = image.convert("RGBA" if image.mode in ("LA", "RGBA") else "RGB")
    return [[image.getpixel((x, y)) for x in range(image.width)] for y in range(image.height)]


@pytest.mark.parametrize("depth, masks, value, shown", [
    pytest.param(16, (0xF00, 0xF0, 0xF), 0xFA50, (170, 85, 0), id="4 bits each"),
    pytest.param(16, (0x180, 0x70, 0x1), 0x00A1, (85, 73, 255), id="2, 3 and 1 bits"),
    pytest.param(32, (0xFF00, 0xFF0000, 0xFF000000), 0x030201FF, (1, 2, 3), id="another order"),
    pytest.param(32, (0xFFE00000, 0x1FFC00, 0x3FF), 0xFFF00200, (255, 128, 128), id="11 and 10 bits"),
    pytest.param(32, (0xFF, 0, 0), 0x123456, (0x56, 0, 0), id="a channel that is not there"),
])
def test_bmp_with_any_masks(depth, masks, value, shown):
    data = made(width=1, height=1, depth=depth, compression=3, rows=0, fields=struct.pack("<III", *masks))

    assert pixels_of(data + value.to_bytes(4, "little")) == [[shown]]
    assert bmp.read_header(data + bytes(4)).bit_depth == (16 if masks[2] == 0x3FF else 8)


def test_bmp_with_an_alpha_mask_behind_a_short_header():
    fields = struct.pack("<IIII", 0xFF, 0xFF00, 0xFF0000, 0xFF000000)
    data = made(width=2, height=1, depth=32, compression=6, rows=0, fields=fields)

    assert pixels_of(data + bytes((1, 2, 3, 128, 4, 5, 6, 255))) == [[(1, 2, 3, 128), (4, 5, 6, 255)]]
    assert pixels_of(data + bytes((1, 2, 3, 0, 4, 5, 6, 0))) == [[(1, 2, 3), (4, 5, 6)]]  # never filled in


@pytest.mark.parametrize("masks", [(0x5, 0xF0, 0xF00), (0x1F0000, 0x7E0, 0x1F)])
def test_bmp_with_masks_that_cannot_be(masks):
    with pytest.raises(Corrupt, match="masks"):
        bmp.read_header(made(depth=16, compression=3, fields=struct.pack("<III", *masks)))


COLORS = bytes((3, 2, 1, 0, 30, 20, 10, 0, 33, 22, 11, 0, 9, 8, 7, 0))  # blue, green, red, and nothing


@pytest.mark.parametrize("size", [16, 40, 64, 124])
def test_bmp_of_2_bits_in_every_version(size):
    data = made(width=4, height=1, depth=2, rows=0, size=size, fields=COLORS)

    assert pixels_of(data + b"\x1b\0\0\0") == [[(1, 2, 3), (10, 20, 30), (11, 22, 33), (7, 8, 9)]]


def test_bmp_whose_palette_is_longer_than_it_can_be():
    data = bytearray(made(width=4, height=1, depth=8, rows=0, fields=COLORS + bytes(4 * 296)) + bytes((3, 2, 1, 0)))
    data[46:50] = (300).to_bytes(4, "little")

    assert pixels_of(bytes(data)) == [[(7, 8, 9), (11, 22, 33), (10, 20, 30), (1, 2, 3)]]


def test_bmp_whose_rows_start_within_its_palette():
    data = made(width=4, height=1, depth=8, rows=0, offset=14 + 40 + 8, fields=COLORS[:8] + bytes((2, 2, 1, 0)))

    assert pixels_of(data)[0] == [(1, 2, 2), (1, 2, 2), (10, 20, 30), (1, 2, 3)]


def test_bmp_colours_that_the_palette_does_not_have_are_black():
    data = bytearray(made(width=4, height=1, depth=8, rows=0, fields=COLORS[:8]) + bytes((0, 1, 2, 255)))
    data[46:50] = (2).to_bytes(4, "little")

    assert pixels_of(bytes(data)) == [[(1, 2, 3), (10, 20, 30), (0, 0, 0), (0, 0, 0)]]


RUNS = {1: bytes((2, 1, 0, 3, 3, 2, 1, 0)), 2: bytes((2, 0x11, 0, 3, 0x32, 0x10))}  # two of a colour, then three others


@pytest.mark.parametrize("coding", [1, 2])
@pytest.mark.parametrize("end", [b"\0\0\0\1", b"\0\1", b"\0\0", b""])
def test_bmp_of_runs_ends_with_its_last_pixel_however_it_says_so(coding, end):
    data = made(width=5, height=1, depth=(8, 4)[coding - 1], compression=coding, rows=0, fields=COLORS)

    last = [(7, 8, 9), (11, 22, 33), (10, 20, 30)]
    assert pixels_of(data + RUNS[coding] + end) == [[(10, 20, 30)] * 2 + last]


@pytest.mark.parametrize("coding", [1, 2])
def test_bmp_of_runs_that_breaks_off_is_corrupt(coding):
    data = made(width=5, height=2, depth=(8, 4)[coding - 1], compression=coding, rows=0, fields=COLORS)
    data += RUNS[coding] + b"\0\0"

    for end in range(len(data) - 8, len(data) + 1):
        with pytest.raises(Corrupt, match="rows are"):
            decode(data[:end], "bmp")
    assert decode(data, "bmp", accept_damaged=True).frames[0].image.size == (5, 2)


def test_bmp_of_runs_may_leave_out_the_first_colour():
    data = made(width=5, height=3, depth=8, compression=1, rows=0, fields=COLORS)
    data += bytes((9, 1, 0, 0, 0, 2, 3, 1, 2, 2, 0, 1))

    shown = pixels_of(data)

    assert shown[2] == [(10, 20, 30)] * 5  # a run that reaches beyond its row
    assert shown[1] == [(1, 2, 3)] * 5
    assert shown[0] == [(1, 2, 3)] * 3 + [(11, 22, 33)] * 2
