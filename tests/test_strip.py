import pickle
import shutil
import subprocess

import pytest
from pictures import (
    CANARY,
    animated,
    chunk,
    encoded,
    exif,
    extended_webp,
    gif_extension,
    icc_segments,
    in_gif,
    in_jpeg,
    in_png,
    iptc,
    other_eyes,
    photo,
    segment,
    srgb_profile,
    wide_profile,
    xmp,
)

from imagepipe import codecs
from imagepipe.asset import Asset, Color, Facts, Frame, Pixels
from imagepipe.errors import ConfigurationError
from imagepipe.stages.convert import Convert
from imagepipe.stages.decode import Decode
from imagepipe.stages.strip import Strip

JPEG, PNG, WEBP, GIF = encoded("JPEG"), encoded("PNG"), encoded("WEBP"), encoded("GIF")
APNG, MOVING_WEBP, MOVING_GIF = animated("PNG"), animated("WEBP"), animated("GIF", loop=0)
XMP_HEAD = b"http://ns.adobe.com/xap/1.0/\0"
HASH = b"0123456789ABCDEF0123456789ABCDEF"

PRIVATE = {
    "jpeg-exif": in_jpeg(JPEG, segment(0xE1, b"Exif\0\0" + exif())),
    "jpeg-exif-sideways": in_jpeg(JPEG, segment(0xE1, b"Exif\0\0" + exif(6))),
    "jpeg-exif-twice": in_jpeg(JPEG, segment(0xE1, b"Exif\0\0" + exif(6)), segment(0xE1, b"Exif\0\0" + exif(3))),
    "jpeg-xmp": in_jpeg(JPEG, segment(0xE1, XMP_HEAD + xmp())),
    "jpeg-extended-xmp": in_jpeg(JPEG, segment(0xE1, XMP_HEAD + xmp()),
                                 segment(0xE1, b"http://ns.adobe.com/xmp/extension/\0" + HASH + b"\0" * 8 + CANARY)),
    "jpeg-iptc": in_jpeg(JPEG, segment(0xED, iptc())),
    "jpeg-comment": in_jpeg(JPEG, segment(0xFE, CANARY)),
    "jpeg-comment-between-scans": (lambda data: in_jpeg(data, segment(0xFE, CANARY), at=data.rindex(b"\xff\xda")))(
        encoded("JPEG", progressive=True)),
    "jpeg-mpf": in_jpeg(JPEG, segment(0xE2, b"MPF\0" + CANARY)) + in_jpeg(JPEG, segment(0xFE, CANARY)),
    "jpeg-gain-map": in_jpeg(JPEG, segment(0xE2, b"urn:iso:std:iso:ts:21496:-1\0" + CANARY)) + JPEG + CANARY,
    "jpeg-c2pa": in_jpeg(JPEG, segment(0xEB, b"JP\0\1\0\0\0\1" + b"jumbc2pa" + CANARY)),
    "jpeg-any-app": in_jpeg(JPEG, *(segment(marker, CANARY) for marker in range(0xE1, 0xF0))),
    "jpeg-jfif-thumbnail": b"\xff\xd8" + segment(0xE0, b"JFIF\0\1\2\0\0\1\0\1\2\2" + CANARY + b"xy") + JPEG[20:],
    "jpeg-jfxx": in_jpeg(JPEG, segment(0xE0, b"JFXX\0\x10" + CANARY), at=20),
    "jpeg-adobe-tail": in_jpeg(JPEG, segment(0xEE, b"Adobe\0\x64\0\0\0\0\1" + CANARY), at=20),
    "jpeg-broken-icc": in_jpeg(JPEG, icc_segments(b"\0" * 200 + CANARY)),
    "jpeg-icc-behind-its-end": in_jpeg(JPEG, icc_segments(wide_profile() + CANARY)),
    "jpeg-film": JPEG + b"\0\0\0\x18ftypmp42" + CANARY,
    "jpeg-zip": JPEG + b"PK\x03\x04" + CANARY + b"PK\x05\x06" + b"\0" * 18,
    "jpeg-html": JPEG + b"<html><script>" + CANARY,
    "jpeg-padding": in_jpeg(JPEG, CANARY, at=20),
    "png-text": in_png(PNG, chunk(b"tEXt", b"Comment\0" + CANARY)),
    "png-itxt": in_png(PNG, chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp())),
    "png-time": in_png(PNG, chunk(b"tIME", CANARY[:7])),
    "png-exif": in_png(PNG, chunk(b"eXIf", exif())),
    "png-exif-sideways": in_png(PNG, chunk(b"eXIf", exif(6))),
    "png-private-chunk": in_png(PNG, chunk(b"prVt", CANARY)),
    "png-suggested-palette": in_png(PNG, chunk(b"PLTE", CANARY[:9]), before=b"IDAT"),
    "png-behind-the-end": in_png(PNG, chunk(b"zTXt", CANARY), before=b"IEND") + CANARY,
    "png-iend-with-content": PNG[:-12] + chunk(b"IEND", CANARY),
    "png-broken-icc": in_png(PNG, chunk(b"iCCP", CANARY + b"\0\0nonsense")),
    "apng-between-frames": in_png(APNG, chunk(b"tEXt", b"Comment\0" + CANARY), before=b"fdAT") + CANARY,
    "webp-exif": extended_webp(WEBP, (b"EXIF", exif()), flags=0x08),
    "webp-exif-sideways": extended_webp(WEBP, (b"EXIF", b"Exif\0\0" + exif(6)), flags=0x08),
    "webp-xmp": extended_webp(WEBP, (b"XMP ", xmp()), flags=0x04),
    "webp-unannounced": extended_webp(WEBP, (b"EXIF", exif(6)), (b"XMP ", xmp())),
    "webp-unknown": extended_webp(WEBP, (b"priv", CANARY)),
    "webp-behind-the-end": WEBP + CANARY,
    "webp-animated": (lambda body: b"RIFF" + len(body).to_bytes(4, "little") + body)(
        MOVING_WEBP[8:] + b"XMP " + len(xmp()).to_bytes(4, "little") + xmp() + b"\0" * (len(xmp()) & 1)),
    "gif-comment": in_gif(GIF, gif_extension(0xFE, CANARY)),
    "gif-text": in_gif(GIF, gif_extension(0x01, b"\0" * 12, CANARY)),
    "gif-xmp": in_gif(GIF, b"\x21\xff\x0bXMP DataXMP" + xmp() + bytes((1, *range(255, -1, -1), 0))),
    "gif-application": in_gif(GIF, gif_extension(0xFF, b"PROGRAM 1.0", CANARY)),
    "gif-unknown-extension": in_gif(GIF, gif_extension(0x2C, CANARY)),
    "gif-loop-with-more": in_gif(MOVING_GIF, gif_extension(0xFF, b"NETSCAPE2.0", b"\1\0\0", CANARY)),
    "gif-behind-the-end": MOVING_GIF + CANARY,
}


def format_of(name: str) -> str:
    return name.split("-")[0].removeprefix("a") if name.startswith("apng") else name.split("-")[0]


def asset(data: bytes, format: str) -> Asset:
    header = codecs.read_header(data, format)
    return Asset("x", data=data, facts=Facts(format, header.width, header.height, header.frames))


@pytest.mark.parametrize("name", PRIVATE)
def test_private_thing_is_not_in_what_leaves_and_pixels_are_the_same(name):
    original, format = PRIVATE[name], format_of(name)
    assert CANARY in original or CANARY[:7] in original

    stripped = Strip()(asset(original, format))

    assert CANARY[:7] not in stripped.data
    assert CANARY not in stripped.data
    assert other_eyes(stripped.data) == other_eyes(original, fail_on="none")
    assert stripped.notes and stripped.notes[0].startswith(("removed", "tidied"))


@pytest.mark.parametrize("name", PRIVATE)
def test_what_was_stripped_once_is_minimal(name):
    format = format_of(name)
    once = codecs.rebuild(PRIVATE[name], format)

    assert codecs.rebuild(once, format) is once


@pytest.mark.parametrize("name", PRIVATE)
def test_orientation_survives_as_the_header_has_it(name):
    format = format_of(name)

    before = codecs.read_header(PRIVATE[name], format)
    after = codecs.read_header(codecs.rebuild(PRIVATE[name], format), format)

    assert after.orientation == before.orientation == (6 if name.endswith(("sideways", "twice")) else 1)
    assert (after.width, after.height, after.frames, after.loop) == (before.width, before.height, before.frames,
                                                                    before.loop)


@pytest.mark.skipif(shutil.which("exiftool") is None, reason="exiftool is not installed")
def test_exiftool_finds_nothing_private(tmp_path):
    for name, original in PRIVATE.items():
        (tmp_path / f"{name}.{format_of(name)}").write_bytes(codecs.rebuild(original, format_of(name)))

    told = subprocess.run(["exiftool", "-a", "-G1", "-s", "-ee", "-u", "-r", str(tmp_path)],
                          capture_output=True, text=True, check=False).stdout

    for group in ("[GPS", "[XMP", "[IPTC", "[Photoshop]", "[IFD1]", "[MakerNote", "[Trailer]", "[MPF", "[JUMBF]",
                  "[QuickTime]", "[JFXX]"):
        assert group not in told
    assert "[IFD0]" in told  # the orientation: exiftool did look
    for tag in ("Comment ", "ThumbnailImage", " ModifyDate", "Make "):
        assert tag not in told


@pytest.mark.parametrize("format, data", [("jpeg", JPEG), ("png", PNG), ("webp", WEBP), ("gif", GIF), ("png", APNG),
                                          ("webp", MOVING_WEBP), ("gif", MOVING_GIF),
                                          ("webp", encoded("WEBP", photo(mode="RGBA"))),
                                          ("webp", encoded("WEBP", photo(mode="RGBA"), lossless=True)),
                                          ("png", encoded("PNG", photo().quantize(16))),
                                          ("gif", animated("GIF")),
                                          ("jpeg", encoded("JPEG", progressive=True)),
                                          ("jpeg", encoded("JPEG", photo(mode="CMYK")))])
def test_minimal_picture_is_returned_as_the_same_asset(format, data):
    given = asset(data, format)

    assert Strip()(given) is given


PROFILES = {
    "jpeg": lambda icc: in_jpeg(JPEG, icc_segments(icc), at=20),
    "png": lambda icc: encoded("PNG", icc_profile=icc),
    "webp": lambda icc: extended_webp(WEBP, (b"ICCP", icc), flags=0x20),
}


@pytest.mark.parametrize("format", PROFILES)
def test_profile_that_is_srgb_goes_and_another_stays(format):
    srgb, wide = PROFILES[format](srgb_profile()), PROFILES[format](wide_profile())
    assert codecs.read_header(srgb, format).color.icc == srgb_profile()

    without = Strip()(asset(srgb, format))

    assert codecs.read_header(without.data, format).color == Color()
    assert without.notes == ("removed the sRGB profile",)
    assert codecs.read_header(Strip()(asset(wide, format)).data, format).color.icc == wide_profile()


@pytest.mark.parametrize("format", PROFILES)
def test_profile_that_is_srgb_stays_on_request(format):
    given = PROFILES[format](srgb_profile())

    assert codecs.read_header(Strip({"icc"})(asset(given, format)).data, format).color.icc == srgb_profile()


@pytest.mark.parametrize("format", PROFILES)
@pytest.mark.parametrize("broken", [b"", b"x" * 5000, wide_profile()[:-40], wide_profile().replace(b"RGB ", b"CMYK", 1),
                                    wide_profile()[:128] + b"\xff" * 400], ids=range(5))
def test_broken_profile_goes_and_counts_as_srgb(format, broken):
    given = PROFILES[format](broken)

    header = codecs.read_header(given, format)
    rebuilt = codecs.rebuild(given, format, frozenset({"icc"}))

    assert header.color == Color()
    assert codecs.read_header(rebuilt, format).notes == ()
    assert broken[128:] not in rebuilt or not broken


@pytest.mark.parametrize("format, data", [
    ("jpeg", in_jpeg(JPEG, segment(0xE1, b"Exif\0\0" + exif(copyright=b"(c) Ann")))),
    ("jpeg", in_jpeg(JPEG, segment(0xE1, XMP_HEAD + xmp("(c) Ann")))),
    ("jpeg", in_jpeg(JPEG, segment(0xED, iptc(b"(c) Ann")))),
    ("png", in_png(PNG, chunk(b"eXIf", exif(copyright=b"(c) Ann")))),
    ("png", in_png(PNG, chunk(b"tEXt", b"Copyright\0(c) Ann"))),
    ("png", in_png(PNG, chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp("(c) Ann")))),
    ("webp", extended_webp(WEBP, (b"EXIF", exif(copyright=b"(c) Ann")), flags=8)),
    ("webp", extended_webp(WEBP, (b"XMP ", xmp("(c) Ann")), flags=4)),
    ("gif", in_gif(GIF, b"\x21\xff\x0bXMP DataXMP" + xmp("(c) Ann") + bytes((1, *range(255, -1, -1), 0)))),
    ("gif", in_gif(GIF, gif_extension(0xFE, b"(c) Ann"))),
])
def test_only_the_copyright_is_kept_on_request(format, data):
    kept = Strip({"copyright"})(asset(data, format)).data

    assert b"(c) Ann" in kept
    assert CANARY not in kept
    assert codecs.metadata(kept, format)["copyright"] == b"(c) Ann"
    assert codecs.rebuild(kept, format, frozenset({"copyright"})) is kept
    assert b"Ann" not in Strip()(asset(kept, format)).data
    assert other_eyes(kept) == other_eyes(data)


@pytest.mark.parametrize("name", ["jpeg-exif-sideways", "png-exif-sideways", "webp-exif-sideways"])
def test_exif_is_kept_whole_on_request(name):
    format = format_of(name)

    kept = codecs.rebuild(PRIVATE[name], format, frozenset({"exif"}))

    assert codecs.metadata(kept, format)["exif"] == exif(6)
    assert codecs.read_header(kept, format).hidden == codecs.read_header(PRIVATE[name], format).hidden


@pytest.mark.parametrize("format, data", [
    ("jpeg", in_jpeg(JPEG, segment(0xE1, b"Exif\0\0" + exif(9)))),
    ("png", in_png(PNG, chunk(b"eXIf", exif(9)))),
    ("webp", extended_webp(WEBP, (b"EXIF", exif(9)), flags=8)),
])
def test_kept_exif_says_what_is_true(format, data):
    assert codecs.metadata(codecs.rebuild(data, format, frozenset({"exif"})), format)["exif"] == exif(1)


@pytest.mark.parametrize("name", ["jpeg-xmp", "png-itxt", "webp-xmp", "gif-xmp"])
def test_xmp_is_kept_whole_on_request(name):
    format = format_of(name)

    kept = codecs.rebuild(PRIVATE[name], format, frozenset({"xmp"}))

    upright = xmp() if format == "gif" else xmp().replace(b'Orientation="6"', b'Orientation="1"')
    assert codecs.metadata(kept, format)["xmp"] == upright


def test_pixels_lose_what_the_container_loses():
    pixels = Pixels((Frame(photo()),), color=Color(icc=srgb_profile()), orientation=6,
                    metadata={"exif": b"x", "xmp": b"y", "copyright": b"Ann", "artist": b"Ann"})
    given = Asset("x", pixels=pixels, facts=Facts("jpeg", *photo().size, orientation=6))

    stripped = Strip({"copyright"})(given).pixels

    assert stripped.metadata == {"copyright": b"Ann", "artist": b"Ann"}
    assert stripped.color == Color()
    assert stripped.orientation == 6
    assert stripped.frames is pixels.frames


def test_pixels_without_metadata_are_left_alone():
    given = Asset("x", pixels=Pixels((Frame(photo()),), color=Color(icc=wide_profile())),
                  facts=Facts("jpeg", *photo().size))

    assert Strip()(given) is given


def test_data_of_a_type_that_has_to_change_is_left_alone():
    given = Asset("x", data=encoded("BMP"), facts=Facts("bmp", *photo().size))

    assert Strip()(given) is given


def test_data_without_facts_is_recognised():
    assert CANARY not in Strip()(Asset("x", data=PRIVATE["gif-comment"])).data


def test_unknown_word_is_refused():
    with pytest.raises(ConfigurationError, match="gps"):
        Strip({"gps"})


@pytest.mark.parametrize("stage", [Strip(), Strip("icc"), Strip(["exif", "copyright", "xmp"])])
def test_its_settings_are_its_recipe(stage):
    assert eval(repr(stage)) == stage == pickle.loads(pickle.dumps(stage))
    assert repr(Strip({"xmp", "icc"})) == "Strip(keep={'icc', 'xmp'})"


def test_notes_name_what_went():
    data = in_jpeg(JPEG, segment(0xE1, b"Exif\0\0" + exif()), segment(0xE1, XMP_HEAD + xmp()))

    stripped = Strip()(asset(data + b"\0\0\0\x18ftypmp42", "jpeg"))

    assert stripped.notes == (
        "removed EXIF (with GPS position, a thumbnail and maker notes), XMP and a film after the end",)


@pytest.mark.parametrize("format, data", [
    ("jpeg", in_jpeg(JPEG, segment(0xE1, b"Exif\0\0" + exif(6)), icc_segments(wide_profile()))),
    ("jpeg", in_jpeg(JPEG, segment(0xE1, b"Exif\0\0" + exif(1)), icc_segments(srgb_profile()))),
    ("png", in_png(encoded("PNG", icc_profile=wide_profile()), chunk(b"eXIf", exif(8)))),
    ("webp", extended_webp(WEBP, (b"ICCP", wide_profile()), (b"EXIF", exif(3)), flags=0x28)),
    ("gif", PRIVATE["gif-comment"]),
])
def test_before_or_behind_convert_makes_no_difference(format, data):
    decoded = Decode()(Asset("x", data=data))

    before, behind = Convert()(Strip()(decoded)), Strip()(Convert()(decoded))

    assert before.data == behind.data
    assert before.facts == behind.facts
    assert (before.pixels is None) == (behind.pixels is None)
    if before.pixels is not None:
        assert [frame.image.tobytes() for frame in before.pixels.frames] == [
            frame.image.tobytes() for frame in behind.pixels.frames]
        assert before.pixels.color == behind.pixels.color
        assert dict(before.pixels.metadata) == dict(behind.pixels.metadata)
