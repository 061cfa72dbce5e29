import pytest
from pictures import (
    CANARY,
    SIZE,
    animated,
    encoded,
    exif,
    extended_webp,
    other_eyes,
    photo,
    riff,
    webp_chunks,
    wide_profile,
)

from imagepipe.codecs import webp
from imagepipe.codecs.decode import decode
from imagepipe.errors import Corrupt, NotAnImage, TooSlow

LOSSY = encoded("WEBP")
ALPHA = encoded("WEBP", photo(mode="RGBA"))
LOSSLESS = encoded("WEBP", photo(mode="RGBA"), lossless=True)
MOVING = animated("WEBP", loop=4)


def kinds(data: bytes) -> list[bytes]:
    return [kind for kind, _ in webp_chunks(data)]


def flags(data: bytes) -> int:
    return dict(webp_chunks(data))[b"VP8X"][0]


@pytest.mark.parametrize("data, alpha, frames, loop", [
    (LOSSY, False, 1, None), (ALPHA, True, 1, None), (LOSSLESS, True, 1, None), (MOVING, False, 3, 4),
    (encoded("WEBP", lossless=True), False, 1, None),
], ids=["lossy", "alpha", "lossless", "animated", "opaque lossless"])
def test_header(data, alpha, frames, loop):
    header = webp.read_header(data)

    assert (header.width, header.height) == SIZE
    assert (header.has_alpha, header.frames, header.loop) == (alpha, frames, loop)


@pytest.mark.parametrize("data", [LOSSY, ALPHA, LOSSLESS, MOVING], ids=["lossy", "alpha", "lossless", "animated"])
def test_every_truncation_is_corrupt(data):
    for end in range(12, len(data)):
        with pytest.raises(Corrupt):
            webp.rebuild(data[:end])


def test_what_is_no_webp_is_none():
    for data in (b"", b"RIFF", b"RIFF\x20\0\0\0WAVE" + bytes(40), b"\x89PNG"):
        with pytest.raises(NotAnImage):
            webp.read_header(data)


def test_the_simple_container_is_enough_where_nothing_extended_is_left():
    assert webp.rebuild(extended_webp(LOSSY, (b"EXIF", exif()), flags=8)) == LOSSY
    assert kinds(webp.rebuild(extended_webp(LOSSLESS, flags=0x10))) == [b"VP8L"]


def test_flags_say_what_is_there():
    every = extended_webp(ALPHA, (b"ICCP", wide_profile()), (b"EXIF", exif(6)), (b"XMP ", CANARY), flags=0x3C)

    rebuilt = webp.rebuild(every)

    assert flags(rebuilt) == 0x20 | 0x10 | 0x08
    assert kinds(rebuilt) == [b"VP8X", b"ICCP", b"ALPH", b"VP8 ", b"EXIF"]
    assert flags(webp.rebuild(extended_webp(ALPHA, flags=0x2C))) == 0x10
    assert "flags that do not say what is there" in webp.read_header(extended_webp(ALPHA, flags=0x2C)).notes
    assert flags(webp.rebuild(extended_webp(ALPHA, flags=0))) == 0x10


def test_what_the_flags_do_not_announce_does_not_count():
    header = webp.read_header(extended_webp(LOSSY, (b"ICCP", wide_profile()), (b"EXIF", exif(6))))

    assert header.color.icc is None
    assert header.orientation == 1
    assert webp.rebuild(extended_webp(LOSSY, (b"ICCP", wide_profile()), (b"EXIF", exif(6)))) == LOSSY


def test_frames_keep_their_bytes_and_timing_and_lose_the_rest():
    parts = [(kind, body if kind != b"ANMF" else body + b"priv" + len(CANARY).to_bytes(4, "little") + CANARY)
             for kind, body in webp_chunks(MOVING)]
    private = riff(*parts)
    assert CANARY in private

    assert webp.rebuild(private) == MOVING
    assert webp.rebuild(MOVING) is MOVING


@pytest.mark.parametrize("data", [
    extended_webp(LOSSY, size=(64, 32)),  # two sizes
    extended_webp(LOSSY, flags=0x02),  # an animation without frames
    extended_webp(LOSSY, (b"VP8 ", webp_chunks(LOSSY)[0][1])),  # two pictures
    riff((b"VP8X", bytes(10))),  # none
    riff((b"priv", b"")), riff((b"ALPH", b"\0\0")),
    riff((b"VP8 ", b"\1" + webp_chunks(LOSSY)[0][1][1:])),  # no key frame
    riff((b"VP8 ", webp_chunks(LOSSY)[0][1][:40])),  # shorter than it says
    riff((b"VP8L", b"\x2f\xff\xff\xff\xff")),  # a version that does not exist
    riff(*[(kind, body) for kind, body in webp_chunks(MOVING) if kind != b"ANIM"]),
    riff(*[(kind, b"\xff" + body[1:] if kind == b"ANMF" else body) for kind, body in webp_chunks(MOVING)]),
    riff(*[(kind, body[:9] + b"\1" + body[10:] if kind == b"ANMF" else body) for kind, body in webp_chunks(MOVING)]),
], ids=range(12))
def test_contradictions_are_corrupt(data):
    with pytest.raises(Corrupt):
        webp.rebuild(data)


def test_padding_stays_and_is_put_in_where_it_is_missing():
    body = webp_chunks(LOSSY)[0][1] + b"\0" * (len(webp_chunks(LOSSY)[0][1]) % 2 == 0)
    odd = riff((b"VP8 ", body))

    assert webp.rebuild(odd) is odd
    assert webp.rebuild(odd[:4] + (len(odd) - 9).to_bytes(4, "little") + odd[8:-1]) == odd
    assert other_eyes(odd) == other_eyes(LOSSY)


def test_what_follows_the_end_goes():
    assert webp.rebuild(LOSSY + b"PK\x03\x04" + CANARY) == LOSSY
    assert webp.read_header(LOSSY + b"PK\x03\x04").hidden == ("a ZIP archive after the end",)


def test_too_many_chunks_are_refused(monkeypatch):
    monkeypatch.setattr(webp, "MAX_PARTS", 1_000)
    with pytest.raises(TooSlow):
        webp.read_header(extended_webp(LOSSY, *[(b"priv", b"")] * 1_001))


def test_frames_that_leave_the_canvas_open_are_transparent():
    start = b"\0\0\0\0" + (99).to_bytes(3, "little") + (99).to_bytes(3, "little")
    parts = [(kind, bytes((body[0],)) + start[1:] if kind == b"VP8X" else body) for kind, body in webp_chunks(MOVING)]

    assert webp.read_header(riff(*parts)).has_alpha
    assert not webp.read_header(MOVING).has_alpha


def test_an_animation_of_opaque_frames_that_leaves_part_of_the_canvas_empty_is_transparent_there():
    chunks = webp_chunks(MOVING)
    wide = (SIZE[0] + 9).to_bytes(3, "little") + (SIZE[1] - 1).to_bytes(3, "little")
    data = riff(*((kind, body[:4] + wide if kind == b"VP8X" else body) for kind, body in chunks))

    frames = decode(data, "webp").frames

    assert webp.read_header(data).has_alpha
    assert [frame.image.getpixel((SIZE[0] + 5, 3))[3] for frame in frames] == [0] * 3
    assert frames[0].image.getpixel((3, 3))[3] == 255
    assert webp.rebuild(data) is data
