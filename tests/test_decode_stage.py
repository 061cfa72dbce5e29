"""The stage Decode: what an asset is after it, and which pictures it decodes in full."""

import hashlib
import io
import pickle

import pytest
import pyvips
from pictures import animated, encoded, photo, wide_profile
from PIL import Image

from imagepipe.asset import Asset, Received
from imagepipe.errors import (
    ConfigurationError,
    Corrupt,
    FormatNotAllowed,
    NotAnImage,
    TooLarge,
    TooManyFrames,
    TooManyPixels,
)
from imagepipe.likeness import alike
from imagepipe.stages.decode import Decode


def decoded(data, name="front.jpg", **settings):
    return Decode(**settings)(Asset(name, "77", data=data))


def turned(orientation, picture=None, **options):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded("JPEG", picture or photo((160, 120)), exif=exif.tobytes(), **options)


def preview_of(asset):
    image = pyvips.Image.new_from_buffer(asset.preview, "", fail_on="warning")
    return image.width, image.height


def test_a_jpeg_that_complies_keeps_its_bytes_and_is_not_decoded_in_full():
    data = encoded("JPEG", photo((800, 600)), quality=90)

    asset = decoded(data)

    assert asset.data is data
    assert asset.pixels is None
    assert asset.lossless
    assert (asset.facts.format, asset.facts.width, asset.facts.height, asset.facts.is_srgb) == ("jpeg", 800, 600, True)
    assert asset.received == Received(hashlib.sha256(data).hexdigest(), len(data))
    assert len(asset.fingerprint) == 64
    assert preview_of(asset) == (96, 72)
    assert asset.warnings == asset.notes == ()


def test_what_read_has_said_of_the_source_stands():
    received = Received("0" * 64, 5, mtime_ns=7)

    assert Decode()(Asset("a.jpg", "1", data=encoded("JPEG"), received=received)).received == received


@pytest.mark.parametrize("format", ["PNG", "GIF", "WEBP"])
def test_others_that_comply_are_verified_and_their_pixels_dropped(format):
    data = encoded(format)

    asset = decoded(data, f"a.{format.lower()}")

    assert asset.data is data
    assert asset.pixels is None
    assert asset.facts.format == format.lower()


@pytest.mark.parametrize(("data", "reason"), [
    pytest.param(turned(6), "orientation", id="sideways"),
    pytest.param(encoded("JPEG", photo(mode="CMYK")), "ink", id="cmyk"),
    pytest.param(encoded("JPEG", icc_profile=wide_profile()), "profile", id="wide"),
    pytest.param(encoded("PNG", icc_profile=wide_profile()), "profile", id="wide png"),
])
def test_pixels_that_will_be_needed_are_kept_beside_the_bytes(data, reason):
    asset = decoded(data, "a.jpg")

    assert asset.data is data
    assert asset.pixels.size == (asset.facts.width, asset.facts.height)
    assert asset.pixels.orientation == asset.facts.orientation
    assert asset.pixels.color.icc == (wide_profile() if reason == "profile" else None)
    assert asset.facts.is_srgb is (reason == "orientation")


@pytest.mark.parametrize(("format", "data"), [
    ("bmp", encoded("BMP")), ("tiff", encoded("TIFF")), ("avif", encoded("AVIF")), ("ppm", encoded("PPM")),
    ("tga", encoded("TGA")), ("xbm", encoded("XBM", photo(mode="1"))), ("jpeg2000", encoded("JPEG2000")),
])
def test_what_must_change_its_type_comes_out_as_pixels(format, data):
    asset = decoded(data, f"a.{format}")

    assert asset.data is None
    assert asset.pixels.size == (48, 32)
    assert asset.facts.format == format


def test_a_jpeg_that_will_be_scaled_is_decoded_at_a_smaller_scale():
    data = encoded("JPEG", photo((1600, 1200)))

    asset = decoded(data, max_edge=400)

    assert asset.data is None
    assert asset.pixels.size == (600, 450)
    assert (asset.facts.width, asset.facts.height) == (600, 450)
    assert asset.notes == ("decoded at 600 x 450 of 1600 x 1200 pixels, as no more are wanted",)
    assert not asset.lossless
    assert decoded(data, max_edge=1600).data is data


def test_deep_pictures_come_with_pixels_of_eight_bits():
    deep = pyvips.Image.black(20, 10).cast("ushort").copy(interpretation="grey16")

    png = decoded(deep.pngsave_buffer(), "a.png")
    tiff = decoded(deep.tiffsave_buffer(), "a.tif")

    assert (png.facts.bit_depth, png.lossless, png.data is None) == (16, True, False)  # while its bytes stand
    assert (tiff.facts.bit_depth, tiff.lossless, tiff.data) == (8, False, None)
    assert png.pixels.frames[0].image.mode == tiff.pixels.frames[0].image.mode == "L"


@pytest.mark.parametrize(("picture", "format", "expected"), [
    (photo(mode="RGBA"), "PNG", True), (photo(), "PNG", False), (photo(mode="RGBA"), "WEBP", True),
    (photo(mode="RGBA").convert("RGB").convert("RGBA"), "PNG", False), (photo(mode="RGBA"), "TIFF", True),
])
def test_alpha_is_only_what_hides_something(picture, format, expected):
    assert decoded(encoded(format, picture), "a.png").facts.has_alpha is expected


def test_the_frames_of_an_animation_are_counted():
    assert decoded(animated("GIF", 4), "a.gif").facts.frames == 4


def test_content_wins_over_the_name_and_that_is_said():
    assert decoded(encoded("PNG"), "front.jpg").notes == ("named .jpg, but it is a PNG",)
    assert decoded(encoded("PNG"), "https://shop.example/front.JPG?size=2").notes == ("named .jpg, but it is a PNG",)
    assert decoded(encoded("JPEG"), "front.jpe").notes == ()
    assert decoded(encoded("JPEG"), "front").notes == ()


@pytest.mark.parametrize(("data", "error", "words"), [
    (b"<!doctype html><html><body>Not found", NotAnImage, "HTML page"),
    (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", NotAnImage, "Git LFS"),
    (b"", NotAnImage, "empty"),
    (b"PK\x03\x04" + bytes(100), NotAnImage, "ZIP"),
    (b"%PDF-1.7\n", FormatNotAllowed, "PDF"),
    (b"%!PS-Adobe-3.0 EPSF-3.0\n", FormatNotAllowed, "EPS"),
    (b'<svg xmlns="http://www.w3.org/2000/svg"/>', FormatNotAllowed, "SVG"),
])
def test_what_is_no_picture_is_named(data, error, words):
    with pytest.raises(error, match=words):
        decoded(data)


def test_limits_are_settings():
    data = encoded("JPEG", photo((100, 100)))

    with pytest.raises(TooManyPixels, match="100 x 100 is 10,000 pixels, the limit is 9,999"):
        decoded(data, max_pixels=9_999)
    with pytest.raises(TooLarge):
        decoded(data, max_source_bytes=len(data) - 1)
    with pytest.raises(TooManyFrames):
        decoded(animated("GIF", 4), "a.gif", max_frames=3)


def test_damage_is_refused_or_taken_with_a_warning():
    data = encoded("JPEG", photo((160, 120)))[:-400]

    with pytest.raises(Corrupt):
        decoded(data)
    asset = decoded(data, accept_damaged=True)

    assert asset.warnings == ("damaged",)
    assert asset.data is None
    assert asset.pixels.size == (160, 120)
    assert not asset.lossless


def test_without_damage_accepting_it_changes_nothing():
    data = encoded("PNG")

    assert decoded(data, "a.png", accept_damaged=True) == decoded(data, "a.png")


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_likeness_and_preview_are_those_of_the_upright_picture(orientation):
    upright = photo((160, 120))
    turn = {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}.get(orientation)
    stored = upright.transpose(turn) if turn is not None else upright

    asset = decoded(turned(orientation, stored, quality=95))

    assert preview_of(asset) == (96, 72)
    assert alike(asset.likeness, decoded(encoded("PNG", upright), "a.png").likeness)


def test_a_blank_picture_is_said_to_be_one():
    assert decoded(encoded("JPEG", Image.new("RGB", (800, 600), "white"))).warnings == ("nearly_blank",)


def test_a_jpeg_of_arithmetic_coding_is_decoded_because_browsers_do_not_show_it():
    import shutil
    import subprocess

    if shutil.which("cjpeg") is None:
        pytest.skip("needs cjpeg")
    data = subprocess.run(["cjpeg", "-arithmetic"], input=encoded("PPM"), capture_output=True, check=True).stdout
    assert data[:2] == b"\xff\xd8"

    asset = decoded(data)

    assert asset.data is None
    assert asset.pixels.size == (48, 32)
    assert any("arithmetic" in note for note in asset.notes)


def test_the_stage_and_what_it_makes_pickle():
    stage = Decode(max_edge=400)
    assert pickle.loads(pickle.dumps(stage)) == stage

    for data in (encoded("JPEG"), encoded("TIFF"), animated("GIF")):
        asset = decoded(data, "a")
        again = pickle.loads(pickle.dumps(asset))
        assert again.facts == asset.facts
        assert again.likeness == asset.likeness


def test_pixels_alone_pass_and_nothing_at_all_is_wrong_use():
    asset = decoded(encoded("TIFF"), "a.tif")
    assert Decode()(asset) is asset

    with pytest.raises(ConfigurationError, match="put Read in front"):
        Decode()(Asset("a.jpg", "1"))


def test_nothing_of_the_preview_names_the_source():
    exif = Image.Exif()
    exif[0x8298] = "SECRET"
    data = encoded("JPEG", exif=exif.tobytes(), comment=b"SECRET")
    assert b"SECRET" in data

    assert b"SECRET" not in decoded(data).preview
    assert Image.open(io.BytesIO(decoded(data).preview)).info.keys() <= {"jfif", "jfif_version", "jfif_unit",
                                                                          "jfif_density"}


def test_the_same_pixels_in_other_containers_have_one_fingerprint():
    picture = photo()
    tiff, tga = decoded(encoded("TIFF", picture), "a.tif"), decoded(encoded("TGA", picture), "a.tga")
    other = decoded(encoded("TIFF", photo().transpose(Image.Transpose.FLIP_LEFT_RIGHT)), "b.tif")

    assert tiff.fingerprint == tga.fingerprint
    assert tiff.fingerprint is not None
    assert other.fingerprint != tiff.fingerprint
