import struct
import zlib

import pytest
import pyvips
from pictures import (
    CANARY,
    SIZE,
    animated,
    chunk,
    encoded,
    in_png,
    other_eyes,
    photo,
    png_chunks,
    srgb_profile,
    wide_profile,
)

from imagepipe.asset import Color
from imagepipe.codecs import png, png_walk, profile
from imagepipe.codecs.decode import decode
from imagepipe.errors import Corrupt, FormatNotAllowed, NotAnImage, TooSlow

PNG = encoded("PNG")
APNG = animated("PNG", loop=5)
GAMMA, POINTS = struct.pack(">I", 100_000), struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)
PROFILE = b"ICC Profile\0\0" + zlib.compress(wide_profile(), 9)
SRGB_PROFILE = b"sRGB by someone\0\0" + zlib.compress(srgb_profile(), 9)


def kinds(data: bytes) -> list[bytes]:
    return [kind for kind, _ in png_chunks(data)]


@pytest.mark.parametrize("mode, channels, depth, alpha", [
    ("RGB", "rgb", 8, False), ("RGBA", "rgb", 8, True), ("L", "gray", 8, False), ("LA", "gray", 8, True),
    ("1", "bilevel", 1, False), ("P", "palette", 8, True), ("I;16", "gray", 16, False),
])
def test_header(mode, channels, depth, alpha):
    header = png.read_header(encoded("PNG", photo().convert("RGBA").convert(mode) if mode != "I;16" else
                                     photo(mode="L").convert("I").convert("I;16")))

    assert (header.width, header.height) == SIZE
    assert (header.channels, header.bit_depth, header.has_alpha, header.frames) == (channels, depth, alpha, 1)


@pytest.mark.parametrize("transparency, alpha", [(0, True), (b"\xff\x80", True), (b"\xff\xff", False)])
def test_a_palette_is_transparent_only_where_an_entry_is(transparency, alpha):
    data = encoded("PNG", photo().quantize(8), transparency=transparency)

    assert png.read_header(data).has_alpha is alpha
    assert png.rebuild(data) is data


@pytest.mark.parametrize("data", [PNG, APNG], ids=["still", "animated"])
def test_every_truncation_is_corrupt(data):
    for end in range(8, len(data)):
        with pytest.raises(Corrupt):
            png.rebuild(data[:end])


def test_what_is_no_png_is_none():
    for data in (b"", PNG[:7], b"GIF89a", PNG.replace(b"\r\n", b"\n", 1)):
        with pytest.raises(NotAnImage):
            png.read_header(data)


def test_a_wrong_checksum_is_corrupt_where_it_matters():
    for kind in (b"IHDR", b"IDAT", b"IEND"):
        at = PNG.index(kind)
        end = at + 4 + int.from_bytes(PNG[at - 4:at], "big")
        with pytest.raises(Corrupt, match="checksum"):
            png.read_header(PNG[:end] + bytes((PNG[end] ^ 1,)) + PNG[end + 1:])


@pytest.mark.parametrize("kind, body", [(b"tRNS", bytes(6)), (b"gAMA", GAMMA), (b"eXIf", b"MM\0*")])
def test_a_wrong_checksum_of_what_decoders_make_different_things_of_is_corrupt(kind, body):
    with pytest.raises(Corrupt, match="checksum"):
        png.read_header(in_png(PNG, chunk(kind, body)[:-4] + b"abcd"))


def test_a_wrong_checksum_of_what_goes_anyway_is_a_note():
    broken = in_png(PNG, chunk(b"tEXt", CANARY)[:-1] + b"\0")

    assert "a part with a wrong checksum" in png.read_header(broken).notes
    assert png.rebuild(broken) == PNG


@pytest.mark.parametrize("data", [
    in_png(PNG, chunk(b"NEED", b"")),  # an unknown part that a decoder needs
    in_png(PNG, chunk(b"IHDR", bytes(13))),
    PNG[:8] + chunk(b"tEXt", b"a\0b") + PNG[8:],
    in_png(PNG, b"\0\0\0\0 bad\0\0\0\0"),
    PNG[:8] + PNG[-12:],
    in_png(encoded("PNG", photo().quantize(8)), b"").replace(b"PLTE", b"pLTE"),
], ids=["critical", "two headers", "no header first", "name", "empty", "no palette"])
def test_contradictions_are_corrupt(data):
    with pytest.raises(Corrupt):
        png.rebuild(data)


@pytest.mark.parametrize("field, value", [(0, bytes(4)), (0, b"\x80\0\0\0"), (8, b"\3"), (9, b"\5"), (10, b"\1"),
                                          (12, b"\2")])
def test_a_header_that_makes_no_sense_is_corrupt(field, value):
    head = bytearray(PNG[16:29])
    head[field:field + len(value)] = value

    with pytest.raises(Corrupt):
        png.read_header(PNG[:8] + chunk(b"IHDR", bytes(head)) + PNG[33:])


def test_data_with_a_gap_is_corrupt_because_closing_it_could_show_more():
    data = next(body for kind, body in png_chunks(PNG) if kind == b"IDAT")
    split = PNG[:33] + chunk(b"IDAT", data[:50]) + chunk(b"tEXt", b"a\0b") + chunk(b"IDAT", data[50:]) + PNG[-12:]

    with pytest.raises(Corrupt, match="in one piece"):
        png.rebuild(split)


@pytest.mark.parametrize("chunks, kept, color", [
    ({b"sRGB": b"\0"}, [b"sRGB"], Color()),
    ({b"sRGB": b"\0", b"gAMA": GAMMA, b"cHRM": POINTS}, [b"sRGB"], Color()),
    ({b"gAMA": GAMMA}, [b"gAMA"], Color(gamma=1.0)),
    ({b"gAMA": GAMMA, b"cHRM": POINTS}, [b"gAMA", b"cHRM"],
     Color(gamma=1.0, chromaticities=(0.3127, 0.329, 0.64, 0.33, 0.3, 0.6, 0.15, 0.06))),
    ({b"gAMA": bytes(4)}, [], Color()),
    ({b"cHRM": bytes(32)}, [], Color()),
    ({b"cICP": b"\x0c\x0d\0\1"}, [b"cICP"], Color(cicp=(12, 13, 0, 1))),
    ({b"cICP": b"\x0c\x0d\1\1"}, [], Color()),
    ({b"cICP": b"\x0c\x0d\0\1", b"gAMA": GAMMA}, [b"cICP", b"gAMA"], Color(cicp=(12, 13, 0, 1))),
    ({b"iCCP": PROFILE, b"gAMA": GAMMA, b"cHRM": POINTS}, [b"iCCP"], Color(icc=wide_profile())),
    ({b"iCCP": PROFILE, b"sRGB": b"\0"}, [b"iCCP"], Color(icc=wide_profile())),
    ({b"iCCP": SRGB_PROFILE, b"gAMA": GAMMA}, [], Color(icc=srgb_profile())),
    ({b"iCCP": b"broken\0\0no", b"gAMA": GAMMA}, [b"gAMA"], Color(gamma=1.0)),
])
def test_the_statement_on_colour_that_counts_stays(chunks, kept, color):
    data = in_png(PNG, *(chunk(kind, body) for kind, body in chunks.items()))

    assert kinds(png.rebuild(data)) == [b"IHDR", *kept, b"IDAT", b"IEND"]
    assert png.read_header(data).color == color


def test_a_statement_on_colour_behind_the_data_does_not_count():
    data = in_png(PNG, chunk(b"gAMA", GAMMA), before=b"IEND")

    assert png.read_header(data).color == Color()
    assert png.rebuild(data) == PNG


def test_a_profile_gets_a_name_that_says_nothing():
    data = in_png(PNG, chunk(b"iCCP", CANARY + b"\0\0" + zlib.compress(wide_profile())))

    rebuilt = png.rebuild(data)

    assert CANARY not in rebuilt
    assert png.read_header(rebuilt).color.icc == wide_profile()


def test_a_profile_that_inflates_without_end_is_broken():
    bomb = b"icc\0\0" + zlib.compress(wide_profile() + bytes(20_000_000), 9)

    assert png.read_header(in_png(PNG, chunk(b"iCCP", bomb))).color.icc is None
    assert png.rebuild(in_png(PNG, chunk(b"iCCP", bomb))) == PNG


def test_texts_are_not_inflated(monkeypatch):
    monkeypatch.setattr(profile, "inflated", lambda *_: pytest.fail("inflated"))
    bomb = in_png(PNG, chunk(b"zTXt", b"Copyright\0\0" + zlib.compress(bytes(1_000_000))))

    assert png.read_header(bomb).hidden == ("text",)
    assert png.rebuild(bomb) == PNG


def test_texts_kept_on_request_are_capped():
    bomb = in_png(PNG, chunk(b"zTXt", b"Copyright\0\0" + zlib.compress(b"x" * 10_000_000)))

    assert len(png.rebuild(bomb, frozenset({"copyright"}))) < 3_000


def test_an_animation_is_counted_whatever_it_claims():
    data = APNG.replace(chunk(b"acTL", struct.pack(">II", 3, 5)), chunk(b"acTL", struct.pack(">II", 2**31 - 1, 5)))
    assert data != APNG

    header = png.read_header(data)

    assert (header.frames, header.loop) == (3, 5)
    assert "it claims 2,147,483,647 frames and has 3" in header.notes
    assert png.rebuild(data) == APNG


def test_an_animation_of_one_frame_is_a_still_picture():
    control = struct.pack(">IIIIIHHBB", 0, *SIZE, 0, 0, 1, 10, 0, 0)
    data = in_png(PNG, chunk(b"acTL", struct.pack(">II", 1, 0)), chunk(b"fcTL", control))

    assert png.read_header(data).frames == 1
    assert png.rebuild(data) == PNG


@pytest.mark.parametrize("spoil", [
    lambda parts: [part for part in parts if part[0] != b"fdAT"],
    lambda parts: [(kind, struct.pack(">I", 9) + body[4:] if kind == b"fdAT" else body) for kind, body in parts],
    lambda parts: [(kind, body[:4] + struct.pack(">I", 999) + body[8:]) if kind == b"fcTL" else (kind, body)
                   for kind, body in parts],
], ids=["frame without data", "order", "outside"])
def test_a_broken_animation_is_corrupt(spoil):
    parts = spoil(png_chunks(APNG))

    with pytest.raises(Corrupt):
        png.read_header(PNG[:8] + b"".join(chunk(kind, body) for kind, body in parts))


def test_frames_without_an_animation_go():
    parts = [(kind, body) for kind, body in png_chunks(APNG) if kind != b"acTL"]
    data = PNG[:8] + b"".join(chunk(kind, body) for kind, body in parts)

    rebuilt = png.rebuild(data)

    assert kinds(rebuilt) == [b"IHDR", b"IDAT", b"IEND"]
    assert other_eyes(rebuilt) == other_eyes(data)
    assert png.read_header(data).hidden == ("a broken animation",)


def test_a_missing_end_is_accepted_on_request():
    header = png.read_header(PNG[:-12], accept_damaged=True)

    assert "the end is missing" in header.notes
    assert png.rebuild(PNG[:-12], accept_damaged=True) == PNG


def test_too_many_chunks_are_refused(monkeypatch):
    monkeypatch.setattr(png_walk, "MAX_PARTS", 1_000)
    with pytest.raises(TooSlow):
        png.read_header(in_png(PNG, chunk(b"tEXt") * 1_001))


def test_what_is_hidden_is_named():
    data = in_png(PNG, chunk(b"tEXt", b"Comment\0x"), chunk(b"zTXt", b"Raw profile type exif\0\0x"),
                  chunk(b"pHYs", bytes(9)), chunk(b"caBX", b""), chunk(b"prVt", b"")) + b"PK\x03\x04"

    assert png.read_header(data).hidden == ("text", "EXIF", "the density", "content credentials (C2PA)", "prVt data",
                                            "a ZIP archive after the end")


def deflated(data: bytes) -> bytes:
    return b"".join(body for kind, body in png_chunks(data) if kind == b"IDAT")


def with_data(data: bytes, *pieces: bytes) -> bytes:
    start = data.index(b"IDAT") - 4
    return data[:start] + b"".join(chunk(b"IDAT", piece) for piece in pieces) + data[-12:]


PICTURES = {
    "rgb": PNG, "palette": encoded("PNG", photo().quantize(8)), "bilevel": encoded("PNG", photo().convert("1")),
    "alpha": encoded("PNG", photo(mode="RGBA")),
}


@pytest.mark.parametrize("picture", PICTURES.values(), ids=PICTURES)
def test_what_follows_the_end_of_the_compressed_data_goes(picture):
    stream = deflated(picture)
    assert with_data(picture, stream) == picture

    for pieces in ((stream + CANARY,), (stream, CANARY), (stream[:40], stream[40:] + CANARY, CANARY)):
        private = with_data(picture, *pieces)
        rebuilt = png.rebuild(private)
        assert CANARY not in rebuilt
        assert deflated(rebuilt) == stream
        assert png.clean(private).removed == ("data that is no part of the picture",)


@pytest.mark.parametrize("picture", PICTURES.values(), ids=PICTURES)
def test_rows_that_are_too_many_go(picture):
    rows = zlib.decompress(deflated(picture))
    private = with_data(picture, zlib.compress(rows + CANARY * 50_000))

    rebuilt = png.rebuild(private)

    assert zlib.decompress(deflated(rebuilt)) == rows
    assert other_eyes(rebuilt) == other_eyes(picture)
    assert png.rebuild(rebuilt) is rebuilt


def test_surplus_of_frames_goes_and_their_numbers_stay():
    parts = png_chunks(APNG)
    private = APNG[:8] + b"".join(chunk(kind, body + CANARY if kind == b"fdAT" else body) for kind, body in parts)

    assert png.rebuild(private) == APNG


def test_interlaced_pictures_have_no_surplus():

    for size in ((48, 32), (1, 1), (3, 5), (7, 2), (9, 9)):
        picture = pyvips.Image.pngload_buffer(encoded("PNG", photo(size))).pngsave_buffer(interlace=True, strip=True)
        assert png.rebuild(picture + CANARY) == png.rebuild(picture)
        assert png.clean(picture).removed in ((), ("the density",), ("a background colour",))
        private = with_data(picture, deflated(picture) + CANARY)
        assert "data that is no part of the picture" in png.clean(private).removed


def test_a_png_packed_for_iphones_is_refused_in_a_sentence():
    with pytest.raises(FormatNotAllowed, match="CgBI"):
        png.read_header(PNG[:8] + chunk(b"CgBI", bytes(4)) + PNG[8:])


def test_only_the_first_profile_and_the_first_text_of_a_kind_are_inflated(monkeypatch):
    inflated = []
    monkeypatch.setattr(profile, "inflated", lambda *given: inflated.append(given))
    data = in_png(PNG, *[chunk(b"iCCP", b"icc\0\0x")] * 50, *[chunk(b"zTXt", b"Copyright\0\0x")] * 50)

    png.read_header(data)
    assert len(inflated) == 1
    png.metadata(data)
    assert len(inflated) <= 5


def controls(data: bytes, change) -> bytes:
    """An APNG whose frame controls are changed by `change(number, body)`."""
    parts, number = [], 0
    for kind, body in png_chunks(data):
        if kind == b"fcTL":
            body, number = change(number, body), number + 1
        parts.append(chunk(kind, body))
    return data[:8] + b"".join(parts)


def test_frames_that_leave_holes_are_transparent():
    assert not png.read_header(APNG).has_alpha
    for disposal in (1, 2):
        wiped = controls(APNG, lambda number, body, disposal=disposal: body[:24] + bytes((disposal,)) + body[25:])
        assert png.read_header(wiped).has_alpha
    assert not png.read_header(controls(APNG, lambda number, body: body[:24] + bytes((2 * (number > 0),)) + body[25:])
                               ).has_alpha


INDEXED = encoded("PNG", photo().quantize(8))


@pytest.mark.parametrize("data", [
    in_png(INDEXED, chunk(b"tRNS", b"\0"), before=b"PLTE"),
    in_png(INDEXED, chunk(b"tRNS", b"\0"), before=b"IEND"),
    in_png(INDEXED, chunk(b"tRNS", bytes(9))),
    in_png(INDEXED, chunk(b"tRNS", b"")),
    in_png(PNG, chunk(b"tRNS", b"\0\0")),
    in_png(encoded("PNG", photo(mode="L")), chunk(b"tRNS", bytes(6))),
], ids=["before the palette", "after the data", "too long", "empty", "of grey in colour", "of colour in grey"])
def test_transparency_that_other_decoders_do_not_heed_is_none(data):
    assert not png.read_header(data).has_alpha
    assert decode(data, "png").frames[0].image.mode in ("RGB", "L")
    assert other_eyes(png.rebuild(data)) == other_eyes(data, fail_on="none")


def test_of_two_statements_on_transparency_the_first_counts():
    data = in_png(INDEXED, chunk(b"tRNS", b"\xff\0"), chunk(b"tRNS", b"\0\xff"))

    assert decode(data, "png") == decode(png.rebuild(data), "png")
    assert png.rebuild(data).count(b"tRNS") == 1


@pytest.mark.parametrize("cut", [1, 4])
def test_data_without_its_end_is_corrupt_though_all_rows_are_there(cut):
    chunks = [(kind, body[:-cut] if kind == b"IDAT" else body) for kind, body in png_chunks(PNG)]
    data = PNG[:8] + b"".join(chunk(kind, body) for kind, body in chunks)

    with pytest.raises(pyvips.Error):
        other_eyes(data)
    with pytest.raises(Corrupt, match="no end"):
        decode(data, "png")
    assert decode(data, "png", accept_damaged=True).frames[0].image.size == SIZE


def test_data_that_looks_back_further_than_it_says_is_put_right():
    rows = (b"\0" + bytes(range(90)) * 3) * 40
    head = struct.pack(">IIBBBBB", 90, 40, 8, 2, 0, 0, 0)
    squeeze = zlib.compressobj(9, zlib.DEFLATED, 15)
    stream = squeeze.compress(rows) + squeeze.flush()

    def made(start: bytes, *at: int) -> bytes:
        whole = start + stream[2:]
        parts = [whole[begin:end] for begin, end in zip((0, *at), (*at, None), strict=True)]
        return PNG[:8] + chunk(b"IHDR", head) + b"".join(chunk(b"IDAT", part) for part in parts) + chunk(b"IEND")

    wrong = made(b"\x08\x1d", 1, 40)  # 256 bytes, and a row is longer
    with pytest.raises(pyvips.Error):
        other_eyes(wrong)

    cleaned = png.clean(wrong)

    assert cleaned.data == made(b"\x78\xda")
    assert cleaned.removed == ()
    assert other_eyes(cleaned.data)[1] == b"".join(rows[at + 1:at + 271] for at in range(0, len(rows), 271))
    assert png.rebuild(cleaned.data) is cleaned.data


def test_data_that_looks_back_less_far_than_it_may_is_left_alone():
    squeeze = zlib.compressobj(9, zlib.DEFLATED, 9)
    rows = (b"\0" + bytes(range(90)) * 3) * 40
    stream = squeeze.compress(rows) + squeeze.flush()
    head = struct.pack(">IIBBBBB", 90, 40, 8, 2, 0, 0, 0)
    data = PNG[:8] + chunk(b"IHDR", head) + chunk(b"IDAT", stream) + chunk(b"IEND")

    assert stream[0] >> 4 == 1
    assert png.rebuild(data) is data
    assert other_eyes(data)[0] == (90, 40, 3)
