import pytest
import pyvips
from pictures import CANARY, SIZE, animated, animation, encoded, gif_extension, in_gif, other_eyes, photo
from PIL import Image

from imagepipe.codecs import gif
from imagepipe.codecs.decode import decode
from imagepipe.errors import Corrupt, NotAnImage, TooSlow

STILL = encoded("GIF")
MOVING = animated("GIF", loop=2)
FIRST = STILL.index(b",", 13 + 768)
FIRST_MOVING = MOVING.index(b",", 13 + 768)


@pytest.mark.parametrize("loop, plays", [(0, 0), (1, 2), (7, 8), (None, None)])
def test_loop_is_how_often_it_plays(loop, plays):
    header = gif.read_header(animated("GIF", **({} if loop is None else {"loop": loop})))

    assert header.loop == plays
    assert (header.width, header.height, header.frames, header.channels) == (*SIZE, 3, "palette")


@pytest.mark.parametrize("data", [STILL, MOVING], ids=["still", "animated"])
def test_every_truncation_is_corrupt(data):
    for end in range(6, len(data)):
        with pytest.raises(Corrupt):
            gif.rebuild(data[:end])


def test_what_is_no_gif_is_none():
    for data in (b"", b"GIF8", b"GIF90a" + STILL[6:]):
        with pytest.raises(NotAnImage):
            gif.read_header(data)


def test_a_missing_end_is_accepted_on_request():
    header = gif.read_header(MOVING[:-1], accept_damaged=True)

    assert header.frames == 3
    assert "the end is missing" in header.notes


def test_timing_stays():
    private = in_gif(MOVING, gif_extension(0xFE, CANARY))

    rebuilt = gif.rebuild(private)

    assert rebuilt == MOVING
    assert pyvips.Image.new_from_buffer(rebuilt, "", n=-1).get("delay") == [70] * 3


def test_animexts_counts_as_netscape_does():
    data = MOVING.replace(b"NETSCAPE2.0", b"ANIMEXTS1.0")

    assert gif.read_header(data).loop == 3
    assert gif.rebuild(data) is data


def test_a_loop_count_in_a_still_picture_goes():
    data = in_gif(STILL, gif_extension(0xFF, b"NETSCAPE2.0", b"\1\0\0"))

    assert gif.rebuild(data) == STILL
    assert gif.read_header(data).loop is None


def test_a_loop_count_stated_again_goes():
    data = in_gif(MOVING, gif_extension(0xFF, b"NETSCAPE2.0", b"\1\2\0"))

    assert gif.rebuild(data) == MOVING


@pytest.mark.parametrize("options, alpha", [
    ({}, False), ({"transparency": 0}, True), ({"disposal": 1}, False),
])
def test_transparency_of_a_still_picture(options, alpha):
    assert gif.read_header(encoded("GIF", photo().quantize(8), **options)).has_alpha is alpha


def test_a_transparent_colour_in_later_frames_only_shows_what_is_below():
    assert b"\x21\xf9\x04\x05" in MOVING or b"\x21\xf9\x04\x01" in MOVING or gif.read_header(MOVING).frames == 3
    assert not gif.read_header(MOVING).has_alpha


def test_a_frame_that_is_wiped_leaves_a_hole():
    frames = [frame.quantize(8) for frame in animation()]
    data = encoded("GIF", frames[0], save_all=True, append_images=frames[1:], disposal=2, duration=50)
    first = data.index(b"\x21\xf9\x04")
    assert data[first + 3] >> 2 & 7 == 2
    second = data.index(b"\x21\xf9\x04", first + 8)
    image = data.index(b",", second + 8)
    smaller = data[:image + 5] + b"\x08\0\x08\0" + data[image + 9:]

    assert gif.read_header(smaller).has_alpha


def test_the_first_frame_makes_the_screen_grow_as_in_browsers():
    outside = STILL[:6] + b"\x20\0\x10\0" + STILL[10:]

    header, rebuilt = gif.read_header(outside), gif.rebuild(outside)

    assert (header.width, header.height, header.has_alpha, header.shown_alike) == (48, 32, False, True)
    assert header.notes == ("a screen of 32 x 16 that its first frame is larger than",)
    assert rebuilt == STILL
    assert gif.read_header(rebuilt).notes == ()
    assert other_eyes(rebuilt) == other_eyes(outside)


def test_what_no_frame_covers_is_shown_in_a_colour_by_some_unless_a_colour_is_transparent():
    moved = STILL[:6] + b"\x40\0\x40\0" + STILL[10:]
    transparent = moved[:FIRST] + gif_extension(0xF9, b"\1\0\0\x07") + moved[FIRST:]

    assert gif.read_header(moved).has_alpha and gif.read_header(transparent).has_alpha
    assert (gif.read_header(moved).shown_alike, gif.read_header(transparent).shown_alike) == (False, True)
    assert gif.read_header(moved).notes == (
        "parts of the screen that no frame covers, which some programs show in a colour",)


def test_of_a_later_frame_is_shown_what_lies_on_the_screen():
    second = MOVING.index(b",", MOVING.index(b"\x21\xf9\x04", FIRST_MOVING))
    outside = MOVING[:second + 1] + b"\x28\0\x0c\0" + MOVING[second + 5:]

    header = gif.read_header(outside)

    assert (header.width, header.height, header.shown_alike) == (48, 32, False)
    assert header.notes == ("a frame that sticks out of the screen, of which the part inside is shown",)


def test_a_frame_far_larger_than_the_screen_is_corrupt():
    second = MOVING.index(b",", MOVING.index(b"\x21\xf9\x04", FIRST_MOVING))
    outside = MOVING[:second + 5] + b"\xff\xff\xff\xff" + MOVING[second + 9:]

    with pytest.raises(Corrupt, match="on a screen of 48 x 32"):
        gif.read_header(outside)


@pytest.mark.parametrize("data", [
    STILL[:13 + 768] + b"\0" + STILL[13 + 768:],  # something between the parts
    STILL[:FIRST + 5] + b"\0\0" + STILL[FIRST + 7:],  # no width
    STILL[:FIRST + 10] + b"\x0d" + STILL[FIRST + 11:],  # an impossible code size
    in_gif(STILL, gif_extension(0xF9, b"\0\0\0")),
    STILL[:13 + 768] + b";",
], ids=["between", "width", "code size", "control", "empty"])
def test_contradictions_are_corrupt(data):
    with pytest.raises(Corrupt):
        gif.rebuild(data)


def test_a_control_block_without_a_picture_goes():
    assert gif.rebuild(in_gif(STILL, gif_extension(0xF9, b"\0\0\0\0"))) == STILL


def test_text_goes_but_what_comes_before_it_still_applies_to_the_next_frame():
    at = MOVING.index(b"\x21\xf9\x04", MOVING.index(b","))
    data = MOVING[:at + 8] + gif_extension(0x01, b"\0" * 12, CANARY) + MOVING[at + 8:]

    assert gif.rebuild(data) == MOVING
    assert other_eyes(data) == other_eyes(MOVING)


def test_endless_gifs_end(monkeypatch):
    monkeypatch.setattr(gif, "MAX_PARTS", 1_000)
    monkeypatch.setattr(gif, "_MAX_BLOCKS", 10_000)
    with pytest.raises(TooSlow):
        gif.read_header(STILL[:-1] + STILL[FIRST:-1] * 1000)
    with pytest.raises(TooSlow):
        gif.read_header(STILL[:-1] + gif_extension(0xFE) * 1_001 + b";")
    with pytest.raises(TooSlow):
        gif.read_header(STILL[:-1] + b"\x21\xfe" + b"\1x" * 10_001 + b"\0;")


def test_frames_are_counted():
    assert gif.read_header(STILL[:-1] + STILL[FIRST:-1] * 999 + b";").frames == 1000


def test_what_is_hidden_is_named():
    data = in_gif(STILL, gif_extension(0xFE, b"x"), gif_extension(0xFF, b"ICCRGBG1012", b"x"),
                  gif_extension(0xFF, b"PROGRAM 1.0", b"x")) + b"<html>"

    assert gif.read_header(data).hidden == ("a comment", "a colour profile, which nothing applies", "data of a program",
                                            "an HTML page after the end")


def test_a_frame_with_a_table_of_greys_beside_a_table_of_colours_keeps_both():
    grey = Image.new("P", SIZE, 7)
    grey.putpalette(bytes(value for value in range(256) for _ in range(3)))
    local = encoded("GIF", grey, optimize=False, transparency=0)
    table = local[13:13 + 768]  # entry n is the grey n, so Pillow sees no palette in it
    at = local.index(b",", 13 + 768)
    frame = b"\x21\xf9\x04\x01\0\0\0\0" + local[at:at + 9] + b"\x87" + table + local[at + 10:-1]

    pixels = decode(STILL[:-1] + frame + b";", "gif")

    assert pixels.frames[1].image.convert("RGB").getpixel((3, 3)) == (7, 7, 7)


def control(disposal: int, clear: int | None = None) -> bytes:
    return gif_extension(0xF9, bytes((disposal << 2 | (clear is not None), 7, 0, clear or 0)))


def test_of_two_control_blocks_the_last_counts_and_is_left():
    at = STILL.index(b",", 13 + 768)
    twice = STILL[:at] + control(0, clear=1) + gif_extension(0xFE, CANARY) + control(0) + STILL[at:]

    assert gif.rebuild(twice) == STILL[:at] + control(0) + STILL[at:]
    assert not gif.read_header(twice).has_alpha
    assert gif.clean(twice).removed == ("a stray control block", "a comment")


def test_a_control_block_and_a_comment_at_the_end_go_in_one_pass():
    once = gif.rebuild(in_gif(STILL[:-1] + control(0) + gif_extension(0xFE, CANARY) + b";"))

    assert once == STILL


def test_a_first_frame_that_is_taken_back_leaves_holes_under_the_next():
    size = (SIZE[0] // 2).to_bytes(2, "little") + (SIZE[1] // 2).to_bytes(2, "little")
    small = encoded("GIF", photo((SIZE[0] // 2, SIZE[1] // 2)))
    picture = small[small.index(b",", 13 + 768):-1]
    at = STILL.index(b",", 13 + 768)
    second = b"," + bytes(4) + size + b"\x87" + small[13:13 + 768] + picture[10:]
    data = STILL[:at] + control(3) + STILL[at:-1] + second + b";"

    assert gif.read_header(data).has_alpha
    assert decode(data, "gif").frames[1].image.getchannel("A").getextrema() == (0, 255)
    assert not gif.read_header(data.replace(control(3), control(1))).has_alpha


def test_a_first_frame_beyond_every_screen_is_corrupt():
    at = STILL.index(b",", 13 + 768)

    with pytest.raises(Corrupt, match="screen"):
        gif.read_header(STILL[:at + 1] + b"\xff\xff" + STILL[at + 3:])


@pytest.mark.parametrize("clear, alike", [(None, False), (1, True)])
def test_programs_differ_on_what_is_left_of_a_wiped_frame_without_a_transparent_colour(clear, alike):
    at = STILL.index(b",", 13 + 768)
    picture = STILL[at:-1]
    data = STILL[:at] + control(2, clear) + picture + control(0, clear=1) + picture + b";"

    header = gif.read_header(data)

    assert header.has_alpha
    assert header.shown_alike is alike
