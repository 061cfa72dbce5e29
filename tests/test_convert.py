"""What Convert makes of pictures: upright, sRGB, 8 bits, of a type that the store takes; and what it leaves alone."""

from __future__ import annotations

import io
import pickle
import struct
import zlib
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import pyvips
from pictures import animated, chunk, encoded, exif, in_jpeg, in_png, photo, segment
from PIL import Image, ImageDraw
from profiles import P3, SRGB, cmyk_profile, gray_profile, rgb_profile, srgb_curve

from imagepipe.asset import Asset, Color, Facts, Frame, Pixels
from imagepipe.codecs.decode import decode
from imagepipe.color import is_srgb_profile
from imagepipe.errors import ConfigurationError, Corrupt
from imagepipe.pipeline import Pipeline
from imagepipe.stages import Convert, Decode, Fit, Strip

P3_ICC = rgb_profile(P3, srgb_curve, "Display P3")
CORNERS = {"top left": (230, 20, 20), "top right": (20, 200, 20), "bottom left": (20, 20, 230),
           "bottom right": (240, 240, 20)}


def through(data: bytes, *stages: Any, name: str = "x") -> Asset:
    return Pipeline((Decode(), *(stages or (Convert(),))))(Asset(name, "1", data=data))


def seen(data: bytes) -> np.ndarray:
    """What libvips sees, as stored: nothing is turned, nothing converted."""
    image = pyvips.Image.new_from_buffer(data, "", fail_on="warning")
    return image.numpy().reshape(image.height, image.width, -1).astype(int)


def marked() -> Image.Image:
    """An upright picture with a colour in each corner."""
    image = Image.new("RGB", (96, 64), (128, 128, 128))
    draw = ImageDraw.Draw(image)
    for place, color in CORNERS.items():
        x, y = (0 if "left" in place else 64), (0 if "top" in place else 32)
        draw.rectangle((x, y, x + 31, y + 31), fill=color)
    return image


def stored(image: Image.Image, orientation: int) -> Image.Image:
    """The picture as a camera with this orientation stores it (Exif 2.32, 4.6.5: where row 0 and column 0 are)."""
    array = np.asarray(image)
    turned = {
        1: array, 2: array[:, ::-1], 3: array[::-1, ::-1], 4: array[::-1],
        5: array.swapaxes(0, 1), 6: array.swapaxes(0, 1)[::-1],
        7: array.swapaxes(0, 1)[::-1, ::-1], 8: array.swapaxes(0, 1)[:, ::-1],
    }[orientation]
    return Image.fromarray(np.ascontiguousarray(turned))


def assert_upright(pixels: np.ndarray, tolerance: int) -> None:
    assert pixels.shape[:2] == (64, 96)
    for place, color in CORNERS.items():
        x, y = (3 if "left" in place else 92), (3 if "top" in place else 60)
        assert np.abs(pixels[y, x, :3] - color).max() <= tolerance, place


def in_container(kind: str, orientation: int) -> bytes:
    image = stored(marked(), orientation)
    block = exif(orientation)
    if kind == "jpeg":
        return in_jpeg(encoded("JPEG", image, quality=95, subsampling=0), segment(0xE1, b"Exif\0\0" + block))
    if kind == "png":
        return in_png(encoded("PNG", image), chunk(b"eXIf", block))
    if kind == "webp":
        return encoded("WEBP", image, lossless=True, exif=block)
    return encoded("TIFF", image, tiffinfo={274: orientation})


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp", "tiff"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_baked_once_in_every_container(kind, orientation):
    data = in_container(kind, orientation)
    if orientation != 1 and kind != "tiff":
        assert orientation == 3 or seen(data).shape[:2] == (96, 64) or orientation < 5  # it lies as stored
        with pytest.raises(AssertionError):
            assert_upright(seen(data), 8)

    once = through(data, Convert(), Strip(), Fit())
    twice = through(once.data, Convert(), Convert(), Strip(), Fit())

    for result in (once, twice):
        assert result.data is not None and result.facts is not None
        assert_upright(seen(result.data), 12)
        assert (result.facts.width, result.facts.height, result.facts.orientation) == (96, 64, 1)
        assert "orientation" not in pyvips.Image.new_from_buffer(result.data, "").get_fields()
    turned = [f"turned upright (EXIF orientation {orientation})"] if orientation > 1 and kind != "tiff" else []
    assert [note for note in once.notes if "turned upright" in note] == turned
    assert not any("turned" in note for note in twice.notes)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_baked_into_pixels_alone_and_into_every_frame(orientation):
    frames = tuple(Frame(stored(marked(), orientation), 40) for _ in range(3))
    asset = Asset("x.heic", "1", pixels=Pixels(frames, orientation=orientation),
                  facts=Facts("heic", *frames[0].image.size, frames=3, orientation=orientation))

    result = Convert()(asset)

    assert result.pixels is not None and result.pixels.orientation == 1
    assert [frame.duration for frame in result.pixels.frames] == [40] * 3
    for frame in result.pixels.frames:
        assert_upright(np.asarray(frame.image).astype(int), 0)
    assert frames[0].image.tobytes() == stored(marked(), orientation).tobytes()  # what was given is as it was


def test_turning_without_loss_is_without_loss():
    result = through(in_container("png", 6), Convert(), Fit())

    assert result.lossless
    assert (seen(result.data) == np.asarray(marked())).all()
    assert not through(in_container("jpeg", 6), Convert(), Fit()).lossless


@pytest.mark.parametrize("value", [0, 9, 255])
def test_an_odd_orientation_is_none(value):
    data = in_jpeg(encoded("JPEG", marked()), segment(0xE1, b"Exif\0\0" + exif(value)))

    assert through(data).data is data


COMPLIANT = [
    pytest.param(encoded("JPEG"), id="JPEG"),
    pytest.param(encoded("JPEG", photo(mode="L")), id="grey JPEG"),
    pytest.param(encoded("PNG", photo(mode="RGBA")), id="transparent PNG"),
    pytest.param(encoded("PNG", photo().quantize(16)), id="palette PNG"),
    pytest.param(encoded("PNG", photo(mode="1")), id="bilevel PNG"),
    pytest.param(in_png(encoded("PNG"), chunk(b"gAMA", struct.pack(">I", 45455))), id="PNG with the usual gAMA"),
    pytest.param(encoded("GIF"), id="GIF"),
    pytest.param(animated("GIF"), id="animated GIF"),
    pytest.param(animated("PNG"), id="animated PNG"),
    pytest.param(encoded("WEBP"), id="WebP"),
    pytest.param(animated("WEBP"), id="animated WebP"),
]


@pytest.mark.parametrize("data", COMPLIANT)
@pytest.mark.parametrize("convert", [Convert(), Convert("keep"), Convert(color="keep"), Convert(background="red")])
def test_what_complies_is_not_touched(data, convert):
    before = Decode()(Asset("x", "1", data=data))

    after = convert(before)

    assert after is before
    assert after.data is data


@pytest.mark.parametrize("data", COMPLIANT)
def test_a_second_convert_has_nothing_to_do(data):
    once = Convert("webp")(Decode()(Asset("x", "1", data=data)))

    assert Convert("webp")(once) is once


def test_srgb_under_another_name_is_no_reason_to_encode_again():
    data = encoded("JPEG", icc_profile=rgb_profile(SRGB, srgb_curve, "Camera RGB"))

    assert through(data).data is data


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_display_p3_becomes_srgb_in_every_container(kind):
    options = {"JPEG": {"quality": 100, "subsampling": 0}, "WEBP": {"lossless": True}}.get(kind, {})
    data = encoded(kind, Image.new("RGB", (64, 64), (200, 30, 40)), icc_profile=P3_ICC, **options)

    result = through(data, Convert(), Strip(), Fit())

    assert result.data is not None
    assert np.abs(seen(result.data)[32, 32, :3] - (218, 0, 27)).max() <= 4  # (200, 30, 40) shown as it was meant
    assert "icc-profile-data" not in pyvips.Image.new_from_buffer(result.data, "").get_fields()
    assert "converted from Display P3 to sRGB" in result.notes
    assert result.facts.is_srgb and not result.lossless


def test_colours_can_be_kept_with_their_profile():
    data = encoded("TIFF", Image.new("RGB", (64, 64), (200, 30, 40)), icc_profile=P3_ICC)

    result = through(data, Convert(color="keep"), Strip(keep={"icc"}), Fit())

    image = pyvips.Image.new_from_buffer(result.data, "")
    assert np.abs(seen(result.data)[32, 32] - (200, 30, 40)).max() <= 3
    assert not is_srgb_profile(image.get("icc-profile-data"))
    assert not result.facts.is_srgb


def test_kept_colours_are_told_to_a_type_that_knows_only_profiles():
    data = in_png(encoded("PNG", Image.new("RGB", (64, 64), (200, 30, 40))), chunk(b"cICP", bytes((12, 13, 0, 1))))
    asset = through(data, Convert("jpeg", color="keep"), Strip(keep={"icc"}), Fit())

    profile = pyvips.Image.new_from_buffer(asset.data, "").get("icc-profile-data")
    assert not is_srgb_profile(profile)
    assert "Display P3" in profile.decode("utf-16-be", "ignore")
    assert np.abs(seen(asset.data)[32, 32] - (200, 30, 40)).max() <= 3

    as_png = through(encoded("TIFF", photo(mode="CMYK")), Convert("png", color="keep"))
    assert as_png.pixels.frames[0].image.mode == "RGB"
    assert any("PNG cannot say otherwise" in note for note in as_png.notes)


KEPT = [("JPEG", "RGB"), ("JPEG", "L"), ("JPEG", "CMYK"), ("PNG", "RGB"), ("PNG", "RGBA"), ("PNG", "L"), ("PNG", "LA"),
        ("PNG", "P"), ("WEBP", "RGB"), ("WEBP", "RGBA")]


@pytest.mark.parametrize(("kind", "mode"), KEPT)
def test_kept_colours_keep_their_profile_in_every_type_that_can_hold_it(kind, mode):
    profile = {"L": gray_profile(1.8), "LA": gray_profile(1.8), "CMYK": cmyk_profile()}.get(mode, P3_ICC)
    image = photo((64, 48)).quantize(16) if mode == "P" else photo((64, 48), mode)
    data = encoded(kind, image, icc_profile=profile, **({"lossless": True} if kind == "WEBP" else {}))
    assert through(data).data is None  # else it is converted

    untouched = through(data, Convert(color="keep"), Strip(), Fit())
    turned = Convert(color="keep")(Asset("x", "1", pixels=replace(decoded(data), orientation=3), facts=Facts(
        kind.lower(), 64, 48, orientation=3, is_srgb=False)))
    again = Pipeline((Strip(), Fit()))(turned)

    for result in (untouched, again):
        assert result.facts.format == kind.lower()
        assert pyvips.Image.new_from_buffer(result.data, "").get("icc-profile-data") == profile
    assert (seen(untouched.data) == seen(data)).all()
    apart = np.abs(seen(again.data) - seen(data)[::-1, ::-1, :seen(again.data).shape[2]])
    assert apart.mean() < 4


def decoded(data: bytes) -> Pixels:
    asset = Decode()(Asset("x", "1", data=data))
    return asset.pixels or decode(asset.data, asset.facts.format)


@pytest.mark.parametrize("data", [
    pytest.param(encoded("PNG", photo((64, 48), "L"), icc_profile=gray_profile(1.8)), id="by a profile"),
    pytest.param(in_png(encoded("PNG", photo((64, 48), "L")), chunk(b"gAMA", struct.pack(">I", 55556))), id="by gAMA"),
])
def test_kept_greys_are_converted_for_webp_which_has_none(data):
    result = through(data, Convert("webp", color="keep"), Strip(), Fit())

    assert "icc-profile-data" not in pyvips.Image.new_from_buffer(result.data, "").get_fields()
    assert any("WebP cannot say otherwise" in note for note in result.notes)
    meant = 255 * (seen(data)[:, :, 0] / 255) ** (1.8 / 2.2)
    assert np.abs(seen(result.data)[:, :, 0] - meant).mean() < 4


@pytest.mark.parametrize("mode", ["L", "LA"])
@pytest.mark.parametrize("said", ["by a profile", "by gAMA"])
def test_kept_greys_look_as_they_did_where_fit_finds_another_type(said, mode):
    grain = Image.effect_noise((200, 150), 12)
    image = Image.blend(photo((200, 150), "L"), grain, 0.3)
    if mode == "LA":
        image.putalpha(grain.point(lambda value: 255 if value > 110 else 160))
    data = encoded("PNG", image, icc_profile=gray_profile(1.8) if said == "by a profile" else None)
    if said == "by gAMA":
        data = in_png(data, chunk(b"gAMA", struct.pack(">I", 55556)))

    result = through(data, Convert(color="keep"), Strip(), Fit(max_bytes=len(data) // 2))

    written = pyvips.Image.new_from_buffer(result.data, "")
    grey = seen(data)[:, :, 0]
    if mode == "LA":  # there is no grey WebP that a profile could be for
        assert result.facts.format == "webp" and result.facts.is_srgb and not result.lossless
        assert "icc-profile-data" not in written.get_fields()
        assert any("converted to sRGB" in note for note in result.notes)
        grey = 255 * (grey / 255) ** (1.8 / 2.2)
    else:
        assert result.facts.format == "jpeg" and not result.facts.is_srgb
        assert written.get("icc-profile-data")[16:20] == b"GRAY"
    assert np.abs(seen(result.data)[:, :, 0] - grey).mean() < 5


@pytest.mark.parametrize(("profile", "expected"), [
    pytest.param(None, (229, 14, 23), id="without a profile"),
    pytest.param(cmyk_profile(), None, id="with one"),
])
def test_inks_become_srgb(profile, expected):
    image = Image.new("CMYK", (64, 64), (0, 255, 255, 0))
    for kind in ("JPEG", "TIFF"):
        data = encoded(kind, image, **({"icc_profile": profile} if profile else {}))

        result = through(data, Convert(), Strip(), Fit())

        pixels = seen(result.data)
        assert pixels.shape == (64, 64, 3)
        assert result.facts.is_srgb
        if expected:
            assert np.abs(pixels[32, 32] - expected).max() <= 6
        assert "icc-profile-data" not in pyvips.Image.new_from_buffer(result.data, "").get_fields()


def test_inks_go_through_the_profile_that_is_given(tmp_path):
    (tmp_path / "press.icc").write_bytes(cmyk_profile("the press"))
    data = encoded("TIFF", Image.new("CMYK", (64, 64), (0, 128, 255, 0)))

    given = through(data, Convert(cmyk_profile=str(tmp_path / "press.icc")))

    assert any("the press" in note for note in given.notes)
    assert given.pixels.frames[0].image.tobytes() != through(data).pixels.frames[0].image.tobytes()


def test_grey_stays_grey():
    data = encoded("JPEG", photo(mode="L"), icc_profile=gray_profile(1.8), quality=95)

    result = through(data, Convert(), Strip(), Fit())

    assert seen(result.data).shape[2] == 1
    assert np.abs(seen(result.data) - seen(data)).mean() > 3


def sixteen_bits(values: list[int]) -> bytes:
    """A grey PNG of 16 bits, one row."""
    row = b"\0" + struct.pack(f">{len(values)}H", *values)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", len(values), 1, 16, 0, 0, 0, 0))
            + chunk(b"IDAT", zlib.compress(row)) + chunk(b"IEND"))


def test_sixteen_bits_are_scaled_and_not_clipped():
    result = through(sixteen_bits([0, 257, 32768, 65535]), Convert(), Fit())

    assert seen(result.data)[0, :, 0].tolist() == [0, 1, 128, 255]
    assert pyvips.Image.new_from_buffer(result.data, "").format == "uchar"
    assert result.facts.format == "png" and result.facts.bit_depth == 8
    assert "from 16 to 8 bits a channel" in result.notes


@pytest.mark.parametrize(("kind", "image", "expected"), [
    pytest.param("TIFF", photo((300, 200)), "jpeg", id="an opaque TIFF"),
    pytest.param("TIFF", photo((300, 200), "RGBA"), "png", id="a transparent TIFF"),
    pytest.param("TIFF", photo((300, 200), "L"), "jpeg", id="a grey photograph has few values and is no drawing"),
    pytest.param("TIFF", marked().resize((300, 200), 0).convert("1"), "png", id="a bilevel TIFF"),
    pytest.param("TIFF", marked(), "png", id="a drawing of a few colours"),
    pytest.param("JPEG2000", photo((300, 200)), "jpeg", id="JPEG 2000"),
    pytest.param("JPEG2000", marked(), "jpeg", id="few colours in a type for photographs"),
    pytest.param("TGA", photo((300, 200)), "jpeg", id="TGA"),
    pytest.param("PPM", photo((300, 200)), "jpeg", id="PPM"),
    pytest.param("BMP", photo((300, 200)), "png", id="BMP"),
    pytest.param("XBM", photo((300, 200), "1"), "png", id="XBM"),
    pytest.param("AVIF", photo((300, 200)), "jpeg", id="AVIF"),
    pytest.param("AVIF", photo((300, 200), "RGBA"), "png", id="a transparent AVIF"),
    pytest.param("ICO", photo((64, 64), "RGBA"), "png", id="an icon"),
])
def test_the_type_follows_the_picture(kind, image, expected):
    name = {"TGA": "x.tga"}.get(kind, "x")

    result = through(encoded(kind, image), Convert(), Strip(), Fit(), name=name)

    assert result.facts.format == expected
    assert pyvips.Image.new_from_buffer(result.data, "").get("vips-loader").startswith(expected)
    assert any(note.endswith(f"to {expected.upper()}") for note in result.notes)


def test_bmp_becomes_png_pixel_for_pixel():
    result = through(encoded("BMP"), Convert(), Strip(), Fit())

    assert result.lossless
    assert (seen(result.data) == np.asarray(photo())).all()


def test_moving_pictures_of_other_types_become_animated_webp():
    data = animated("AVIF", 3)

    result = through(data, Convert(), Strip(), Fit())

    assert result.facts.format == "webp" and result.facts.frames == 3
    assert pyvips.Image.new_from_buffer(result.data, "", n=-1).get("n-pages") == 3
    assert pyvips.Image.new_from_buffer(result.data, "", n=-1).get("delay") == [70, 70, 70]


@pytest.mark.parametrize(("format", "kind"), [("jpeg", "GIF"), ("png", "GIF"), ("jpeg", "WEBP"), ("jpeg", "PNG")])
def test_a_still_type_takes_the_first_frame_and_warns(format, kind):
    result = through(animated(kind), Convert(format), Strip(), Fit())

    assert result.facts.format == format and result.facts.frames == 1
    assert "animation_lost" in result.warnings
    assert "the first of 3 frames taken" in result.notes


def test_an_animated_png_that_is_asked_for_as_png_stays_as_it_is():
    data = animated("PNG")

    assert through(data, Convert("png")).data is data


@pytest.mark.parametrize(("background", "expected"), [(None, (255, 255, 255)), ("#0a6420", (10, 100, 32)),
                                                      ("rgb(200, 0, 50)", (200, 0, 50))])
def test_transparent_parts_are_laid_on_the_background_where_jpeg_is_asked_for(background, expected):
    image = Image.new("RGBA", (64, 64), (0, 0, 255, 0))
    image.paste((250, 200, 0, 255), (32, 0, 64, 64))

    result = through(encoded("PNG", image), Convert("jpeg", background=background), Strip(), Fit())

    pixels = seen(result.data)
    assert np.abs(pixels[32, 4] - expected).max() <= 3
    assert np.abs(pixels[32, 60] - (250, 200, 0)).max() <= 3
    assert f"transparent parts laid on {background or 'white'}" in result.notes
    assert not result.facts.has_alpha


def test_half_transparent_is_half_the_background():
    image = Image.new("LA", (64, 64), (200, 128))

    white = through(encoded("PNG", image), Convert("jpeg")).pixels.frames[0].image
    red = through(encoded("PNG", image), Convert("jpeg", background="red")).pixels.frames[0].image

    assert white.mode == "L" and abs(white.getpixel((0, 0)) - 227) <= 1
    assert red.mode == "RGB" and red.getpixel((0, 0)) == (227, 100, 100)


@pytest.mark.parametrize("ground", [(255, 255, 255), (0, 0, 0), (12, 200, 99)])
def test_transparency_is_mixed_as_browsers_mix_it(ground):
    chance = np.random.default_rng(2)
    pixels = chance.integers(0, 256, (40, 40, 4), dtype=np.uint8)
    alpha = pixels[:, :, 3:].astype(float) / 255
    mixed = pixels[:, :, :3] * alpha + np.array(ground) * (1 - alpha)  # of the codes, not of their light

    result = through(encoded("PNG", Image.fromarray(pixels)), Convert("jpeg", background=f"rgb{ground}"))

    assert np.abs(np.asarray(result.pixels.frames[0].image) - mixed).max() <= 1


def test_colours_are_converted_before_they_are_laid_on_a_background_and_alpha_is_left_alone():
    pixels = np.random.default_rng(4).integers(0, 256, (40, 40, 4), dtype=np.uint8)
    pixels[:, :, 3][:8] = 0  # also what is hidden
    data = encoded("PNG", Image.fromarray(pixels), icc_profile=P3_ICC)
    opaque = encoded("PNG", Image.fromarray(np.ascontiguousarray(pixels[:, :, :3])), icc_profile=P3_ICC)

    kept = np.asarray(through(data).pixels.frames[0].image)
    laid = np.asarray(through(data, Convert("jpeg", background="#102030")).pixels.frames[0].image)

    alone = np.asarray(through(opaque).pixels.frames[0].image)
    assert (kept[:, :, 3] == pixels[:, :, 3]).all()
    assert (kept[:, :, :3] == alone).all()
    alpha = pixels[:, :, 3:].astype(float) / 255
    assert np.abs(laid - (alone * alpha + np.array([0x10, 0x20, 0x30]) * (1 - alpha))).max() <= 1


def test_a_background_makes_jpegs_of_transparent_pictures_that_must_change_and_of_no_others():
    tiff = encoded("TIFF", photo((300, 200), "RGBA"))
    png = encoded("PNG", photo((300, 200), "RGBA"))

    assert through(tiff, Convert(background="white")).facts.format == "jpeg"
    assert through(png, Convert(background="white")).data is png


def test_an_alpha_channel_that_hides_nothing_is_dropped():
    image = photo((300, 200)).convert("RGBA")
    asset = Asset("x.heic", "1", pixels=Pixels((Frame(image),)), facts=Facts("heic", 300, 200, has_alpha=True))

    result = Convert()(asset)

    assert result.facts.format == "jpeg" and not result.facts.has_alpha
    assert result.pixels.frames[0].image.mode == "RGB"
    assert "dropped an alpha channel that hides nothing" in result.notes
    assert "HEIC to JPEG" in result.notes


def test_keep_keeps_the_type_where_the_store_takes_it():
    turned = in_container("webp", 6)

    assert through(turned, Convert("keep")).facts.format == "webp"
    assert through(encoded("TIFF", photo((300, 200))), Convert("keep")).facts.format == "jpeg"


def test_what_stands_beside_the_pixels_survives():
    data = in_jpeg(encoded("JPEG", photo((160, 120)), quality=83, subsampling=2),
                   segment(0xE1, b"Exif\0\0" + exif(3)))

    result = through(data)

    assert result.data is None and result.fingerprint is not None
    assert abs(result.pixels.quality - 83) <= 1 and result.pixels.subsampling == "4:2:0"


def test_chroma_halved_across_is_not_halved_again_when_turned():
    data = in_jpeg(encoded("JPEG", photo((160, 120)), quality=95, subsampling=1),
                   segment(0xE1, b"Exif\0\0" + exif(6)))

    assert through(data).pixels.subsampling == "4:4:4"


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp"])
@pytest.mark.parametrize("orientation", [1, 3, 6])
@pytest.mark.parametrize("profile", [None, P3_ICC])
def test_convert_and_strip_may_stand_in_either_order(kind, orientation, profile):
    data = in_container(kind, orientation)
    if profile:
        image = Image.open(io.BytesIO(data), formats=[kind.upper()])
        data = encoded(kind.upper(), image, icc_profile=profile, exif=image.info.get("exif", b""), **(
            {"lossless": True} if kind == "webp" else {"quality": 95} if kind == "jpeg" else {}))

    one = through(data, Convert(), Strip(), Fit())
    other = through(data, Strip(), Convert(), Fit())

    assert one.data is not None and other.data is not None
    assert (seen(one.data) == seen(other.data)).all()
    assert_upright(seen(one.data), 255 if profile else 12)
    assert (one.facts, one.lossless) == (other.facts, other.lossless)


def test_it_works_alone_without_decode():
    assert_upright(np.asarray(Convert()(Asset("x", "1", data=in_container("jpeg", 8))).pixels.frames[0].image)
                   .astype(int), 12)
    plain = encoded("JPEG")
    assert Convert()(Asset("x", "1", data=plain)).data is plain
    bare = Convert()(Asset("x", "1", pixels=Pixels((Frame(photo((300, 200))),))))
    assert bare.facts.format == "jpeg"
    with pytest.raises(ConfigurationError):
        Convert()(Asset("x", "1"))


def test_a_large_jpeg_is_decoded_no_larger_than_wanted():
    data = encoded("JPEG", photo((1600, 1200)), icc_profile=P3_ICC)
    asset = Asset("x", "1", data=data, facts=Facts("jpeg", 1600, 1200, is_srgb=False))

    result = Convert(max_edge=200)(asset)

    assert 300 <= max(result.pixels.size) < 800
    assert (result.facts.width, result.facts.height) == result.pixels.size
    assert not result.lossless


def test_damage_is_said_with_our_own_error():
    whole = encoded("JPEG", photo((160, 120)), icc_profile=P3_ICC)

    with pytest.raises(Corrupt):
        Convert()(Asset("x", "1", data=whole[:len(whole) // 2], facts=Facts("jpeg", 160, 120, is_srgb=False)))


@pytest.mark.parametrize("options", [
    {"format": "tiff"}, {"format": "JPEG"}, {"color": "p3"}, {"background": "not a colour"}, {"background": "#12"},
    {"max_edge": 0}, {"cmyk_profile": "/nowhere/press.icc"},
])
def test_settings_that_cannot_work_are_refused_at_once(options):
    with pytest.raises(ConfigurationError) as caught:
        Convert(**options)
    assert str(next(iter(options.values()))) in str(caught.value)


def test_a_profile_that_is_not_for_inks_is_refused_at_once(tmp_path):
    path = tmp_path / "p3.icc"
    path.write_bytes(P3_ICC)

    with pytest.raises(ConfigurationError, match="CMYK"):
        Convert(cmyk_profile=str(path))


def test_it_pickles_compares_and_shows_its_settings():
    stage = Convert("jpeg", background="#fff", max_edge=800)

    assert pickle.loads(pickle.dumps(stage)) == stage
    assert "background='#fff'" in repr(stage)


def test_a_frame_that_is_not_converted_is_the_same_object():
    image = photo((300, 200))
    asset = Asset("x.heic", "1", pixels=Pixels((Frame(image),), color=Color(cicp=(1, 13, 6, 1))),
                  facts=Facts("heic", 300, 200))

    result = Convert()(asset)

    assert result.pixels.frames[0].image is image
    assert result.pixels.color == Color()
