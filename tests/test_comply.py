"""Pictures that are handed over by their address: taken as they are, or refused with the reasons."""

from __future__ import annotations

import pickle

import pytest
from pictures import animated, chunk, encoded, exif, in_gif, in_jpeg, in_png, photo, segment, srgb_profile, xmp
from profiles import P3, rgb_profile, srgb_curve

from imagepipe import codecs
from imagepipe.asset import Asset
from imagepipe.errors import ConfigurationError, DoesNotComply, ImageError, Retry
from imagepipe.pipeline import Pipeline, attempt
from imagepipe.stages import Comply, Convert, Decode, Fit, Strip
from imagepipe.stages.comply import _HARMLESS

P3_ICC = rgb_profile(P3, srgb_curve, "Display P3")


def comply(data: bytes, max_bytes: int = 8_000_000, **options: int) -> Asset:
    shaping = Pipeline((Convert(), Strip(), Fit(max_bytes, **options)))
    return Pipeline((Decode(), Comply(shaping)))(Asset("https://example.com/x", "1", data=data))


@pytest.mark.parametrize("data", [
    pytest.param(encoded("JPEG"), id="JPEG"),
    pytest.param(encoded("PNG", photo(mode="RGBA")), id="PNG"),
    pytest.param(encoded("WEBP"), id="WebP"),
    pytest.param(animated("GIF"), id="animated GIF"),
    pytest.param(encoded("JPEG", icc_profile=srgb_profile()), id="a profile that is sRGB harms nobody"),
    pytest.param(encoded("PNG", icc_profile=srgb_profile()), id="the same in a PNG"),
    pytest.param(in_jpeg(encoded("JPEG"), b"\xff\xff\xff"), id="padding before a marker"),
])
def test_what_complies_is_returned_as_it_was(data):
    result = comply(data)

    assert result.data is data
    assert result.notes[-1] == "complies as it is"
    assert result.facts is not None and result.facts.is_srgb


@pytest.mark.parametrize(("data", "reason"), [
    pytest.param(in_jpeg(encoded("JPEG"), segment(0xE1, b"Exif\0\0" + exif(6))), "turned upright", id="sideways"),
    pytest.param(in_jpeg(encoded("JPEG"), segment(0xE1, b"Exif\0\0" + exif(1))), "EXIF", id="EXIF with a position"),
    pytest.param(in_jpeg(encoded("JPEG"), segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + xmp())), "XMP", id="XMP"),
    pytest.param(encoded("JPEG", comment=b"for internal use"), "comment", id="a comment"),
    pytest.param(in_png(encoded("PNG"), chunk(b"tEXt", b"Author\0somebody")), "text", id="a text in a PNG"),
    pytest.param(in_gif(encoded("GIF"), b"\x21\xfe\x04abcd\0"), "comment", id="a comment in a GIF"),
    pytest.param(encoded("JPEG") + b"a film", "", id="something after the end"),
    pytest.param(encoded("JPEG", icc_profile=P3_ICC), "converted from Display P3 to sRGB", id="Display P3"),
    pytest.param(encoded("JPEG", photo(mode="CMYK")), "converted from CMYK", id="inks"),
    pytest.param(encoded("TIFF"), "TIFF to", id="TIFF"),
    pytest.param(encoded("BMP"), "BMP to PNG", id="BMP"),
])
def test_what_would_be_changed_is_refused_with_the_reason(data, reason):
    with pytest.raises(DoesNotComply) as caught:
        comply(data)

    assert any(reason in said for said in caught.value.reasons)
    assert all(said in str(caught.value) for said in caught.value.reasons)
    assert "--by-url" in str(caught.value)


def test_what_would_be_shrunk_is_refused():
    with pytest.raises(DoesNotComply):
        comply(encoded("JPEG", photo((800, 600)), quality=95), max_bytes=8_000)
    with pytest.raises(DoesNotComply):
        comply(encoded("JPEG", photo((800, 600))), max_edge=400)


def test_all_reasons_are_named():
    data = in_jpeg(encoded("JPEG", icc_profile=P3_ICC), segment(0xE1, b"Exif\0\0" + exif(6)))

    with pytest.raises(DoesNotComply) as caught:
        comply(data)

    assert "turned upright (EXIF orientation 6)" in caught.value.reasons
    assert "converted from Display P3 to sRGB" in caught.value.reasons


def test_warnings_reach_the_report():
    assert "too_small_for_zoom" in comply(encoded("JPEG")).warnings


def test_a_refusal_is_an_outcome_that_wants_another_picture():
    outcome = attempt((Decode(), Comply(Pipeline((Convert(), Strip(), Fit())))),
                      Asset("https://example.com/x", "1", data=encoded("BMP")))

    assert (outcome.code, outcome.retry, outcome.stage) == ("does_not_comply", Retry.NEW_PICTURE, "Comply")


def test_it_pickles_and_shows_the_stages_inside():
    stage = Comply(Pipeline((Convert(format="keep"), Strip(), Fit(1_000_000))))

    assert pickle.loads(pickle.dumps(stage)) == stage
    assert "format='keep'" in repr(stage) and "1000000" in repr(stage)


def test_the_error_pickles():
    error = pickle.loads(pickle.dumps(DoesNotComply(("turned upright", "removed EXIF"))))

    assert error.reasons == ("turned upright", "removed EXIF")
    assert isinstance(error, ImageError)


def test_it_needs_a_picture():
    with pytest.raises(ConfigurationError):
        Comply(Pipeline(()))(Asset("x", "1"))


def test_what_does_no_harm_is_called_what_the_containers_call_it():
    found: set[str] = set()
    for kind in ("JPEG", "PNG", "WEBP"):
        for icc in (srgb_profile(), b"broken" * 100):
            found.update(codecs.clean(encoded(kind, icc_profile=icc), kind.lower()).removed)
    stated_twice = in_png(encoded("PNG"), chunk(b"gAMA", b"\0\0\xb1\x8f"), chunk(b"sRGB", b"\0"))
    found.update(codecs.clean(stated_twice, "png").removed)

    assert found == _HARMLESS
