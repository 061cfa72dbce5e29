"""Icons: which of their pictures is taken, and what it shows."""

import struct
import tracemalloc

import pytest
from pictures import encoded, photo
from PIL import Image

from imagepipe.codecs.decode import decode, read_any_header
from imagepipe.errors import Corrupt, TooManyPixels

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def bitmap(edge: int, bits: int, color: tuple[int, int, int], *, alpha: int = 255, mask: int = 0) -> bytes:
    """One colour, as icons hold it: of double height, without a file header, with a mask at the end."""
    head = struct.pack("<IiiHHIIiiII", 40, edge, 2 * edge, 1, bits, 0, 0, 0, 0, 0, 0)
    blue_first = bytes(color[::-1])
    palette = (blue_first + b"\0") * (1 << bits) if bits <= 8 else b""
    row = {32: (blue_first + bytes((alpha,))) * edge, 24: blue_first * edge}.get(bits, bytes(edge * bits // 8))
    return head + palette + (row + bytes(-len(row) % 4)) * edge + bytes((mask,)) * ((edge + 31) // 32 * 4 * edge)


def icon(*pictures: tuple[int, int, bytes]) -> bytes:
    """An icon; each picture is (edge and bits by the directory, and what is there)."""
    at, table, body = 6 + 16 * len(pictures), b"", b""
    for edge, bits, data in pictures:
        table += struct.pack("<BBBBHHII", edge % 256, edge % 256, 0, 0, 1, bits, len(data), at + len(body))
        body += data
    return struct.pack("<HHH", 0, 1, len(pictures)) + table + body


def shown(data: bytes) -> Image.Image:
    return decode(data, "ico").frames[0].image


@pytest.mark.parametrize("depths", [(4, 8, 32), (32, 8, 4), (24, 8), (4, 8)])
@pytest.mark.parametrize("stated", [True, False], ids=["stated", "not stated"])
def test_of_one_size_the_picture_with_the_most_colours_is_taken(depths, stated):
    pictures = [(16, depth * stated, bitmap(16, depth, GREEN if depth == max(depths) else RED)) for depth in depths]

    assert shown(icon(*pictures)).convert("RGB").getpixel((3, 3)) == GREEN


def test_a_larger_picture_of_few_colours_goes_before_a_smaller_one_of_many():
    data = icon((16, 32, bitmap(16, 32, RED)), (32, 4, bitmap(32, 4, GREEN)))

    assert read_any_header(data, "ico").notes == ("it has 2 sizes, the largest is taken",)
    assert shown(data).size == (32, 32)
    assert shown(data).convert("RGB").getpixel((3, 3)) == GREEN


def test_alpha_counts_though_the_directory_does_not_say_that_there_are_32_bits():
    assert shown(icon((16, 0, bitmap(16, 32, RED, alpha=99)))).getpixel((3, 3)) == (*RED, 99)


def test_the_mask_counts_where_there_is_no_alpha():
    assert shown(icon((16, 32, bitmap(16, 32, RED, alpha=0, mask=0)))).mode == "RGB"
    assert shown(icon((16, 24, bitmap(16, 24, RED, mask=0x0F)))).getpixel((1, 3)) == (*RED, 255)
    assert shown(icon((16, 24, bitmap(16, 24, RED, mask=0x0F)))).getpixel((5, 3)) == (*RED, 0)


def test_a_size_is_what_the_picture_says_it_is():
    data = icon((16, 32, encoded("PNG", photo((300, 20)))), (64, 32, bitmap(32, 32, RED)))

    header = read_any_header(data, "ico")

    assert (header.width, header.height) == (300, 20)
    assert shown(data).tobytes() == photo((300, 20)).tobytes()


def test_a_picture_that_is_not_there_is_left_out():
    gone = icon((16, 32, bitmap(16, 32, RED)), (64, 32, b""))

    assert shown(gone).size == (16, 16)
    with pytest.raises(Corrupt, match="none of its pictures"):
        shown(icon((64, 32, b"")))


def test_a_bomb_in_an_icon_is_refused_by_its_header():
    bomb = struct.pack("<IiiHHIIiiII", 40, 60_000, 120_000, 1, 32, 0, 0, 0, 0, 0, 0)

    with pytest.raises(TooManyPixels):
        shown(icon((0, 32, bomb)))
    with pytest.raises(Corrupt):
        shown(icon((16, 32, bitmap(16, 32, RED)[:-300])))


def test_pictures_that_are_all_the_same_bytes_take_no_memory():
    body = bitmap(16, 32, RED) + bytes(1_000_000)
    entry = struct.pack("<BBBBHHII", 16, 16, 0, 0, 1, 32, len(body), 6 + 16 * 1000)
    data = struct.pack("<HHH", 0, 1, 1000) + entry * 1000 + body

    tracemalloc.start()
    try:
        header = read_any_header(data, "ico")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert (header.width, header.height) == (16, 16)
    assert peak < 10_000_000
