"""Fit: within every limit, at the best quality that fits, and untouched where nothing is to be done."""

from __future__ import annotations

import itertools
import os
import pickle
from typing import Any

import pytest
import pyvips
from pictures import animation, encoded, photo
from PIL import Image

from imagepipe import codecs
from imagepipe.asset import Asset, Facts, Frame, Pixels, Received
from imagepipe.codecs.decode import decode
from imagepipe.codecs.encode import encode
from imagepipe.errors import CannotFit, ConfigurationError
from imagepipe.fitting import ways, within
from imagepipe.fitting.curve import ENCODES, Curve, search
from imagepipe.stages import Decode, Fit


def noise(size: tuple[int, int]) -> Image.Image:
    return Image.frombytes("RGB", size, os.urandom(3 * size[0] * size[1]))


def textured(size: tuple[int, int], strength: float = 40) -> Image.Image:
    grain = Image.effect_noise(size, strength)
    return Image.blend(photo(size), Image.merge("RGB", (grain, grain, grain)), 0.4)


def unevenly(size: tuple[int, int]) -> Image.Image:
    """Quiet, but for a corner of noise."""
    image = photo(size)
    image.paste(noise((size[0] // 3, size[1] // 3)), (size[0] // 2, size[1] // 2))
    return image


PICTURES = {"noise": noise((700, 500)), "texture": textured((1000, 750)), "smooth": photo((900, 700)),
            "uneven": unevenly((900, 640)), "grey": textured((600, 600)).convert("L")}


def pixels_as(format: str, image: Image.Image, **settings: Any) -> Asset:
    return Asset("x", pixels=Pixels((Frame(image),), **settings),
                 facts=Facts(format, *image.size, has_alpha=image.mode == "RGBA"))


def gif(count: int = 8, size: tuple[int, int] = (240, 160), loop: int = 2) -> bytes:
    frames = tuple(Frame(frame, 70) for frame in animation(count, size))
    return encode(Pixels(frames, loop=loop), "gif")


def check(asset: Asset, budget: int = 8_000_000) -> bytes:
    """What leaves is within the budget, legal, minimal, and what the facts say."""
    assert asset.data is not None and asset.facts is not None and asset.pixels is None
    data, facts = asset.data, asset.facts
    assert len(data) <= budget
    pyvips.Image.new_from_buffer(data, "", fail_on="warning").avg()
    header = codecs.read_header(data, facts.format)
    assert (header.width, header.height, header.frames) == (facts.width, facts.height, facts.frames)
    assert header.has_alpha or not facts.has_alpha  # a container may allow for holes that no pixel has
    assert (header.bit_depth, facts.orientation) == (facts.bit_depth, 1)
    assert codecs.rebuild(data, facts.format) == data
    return data


def quality_said(asset: Asset) -> float:
    return float(next(note for note in asset.notes if " at quality " in note).rpartition(" ")[2])


# -- what is fine is not touched ---------------------------------------------------------------


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "GIF", "BMP"])
def test_data_within_the_limits_is_returned_as_it_is(format: str) -> None:
    data = encoded(format, photo((1300, 40)))
    asset = Asset("x", data=data, facts=Facts(format.lower(), 1300, 40))

    assert Fit(len(data), max_edge=1300)(asset) is asset


def test_a_small_picture_is_returned_with_a_warning() -> None:
    data = encoded("JPEG", photo((200, 100)))

    fitted = Fit()(Asset("x", data=data))

    assert fitted.data is data
    assert fitted.warnings == ("too_small_for_zoom",)
    assert fitted.lossless


def test_an_asset_without_anything_is_refused() -> None:
    with pytest.raises(ConfigurationError):
        Fit()(Asset("x"))


@pytest.mark.parametrize("settings", [{"max_bytes": 0}, {"quality": 101}, {"min_quality": 0}, {"max_edge": 0}])
def test_settings_that_cannot_be_are_refused(settings: dict[str, int]) -> None:
    with pytest.raises(ConfigurationError):
        Fit(**settings)


def test_the_stage_pickles_and_compares() -> None:
    assert pickle.loads(pickle.dumps(Fit(5, max_edge=7))) == Fit(5, max_edge=7)


# -- a budget is a guarantee -------------------------------------------------------------------


@pytest.mark.parametrize("name", PICTURES)
@pytest.mark.parametrize("quality", [72.3, 81, 88.8, 93])
def test_a_jpeg_is_within_its_budget_and_the_next_quality_is_not(
        name: str, quality: float, monkeypatch: pytest.MonkeyPatch) -> None:
    encodes = []
    original = ways.fit_quality

    def counted(*args: Any) -> Any:
        fitted = original(*args)
        encodes.append(fitted.encodes)
        return fitted

    monkeypatch.setattr(ways, "fit_quality", counted)
    image = PICTURES[name]
    budget = len(encode(Pixels((Frame(image),), subsampling="4:2:0"), "jpeg", quality=quality)) + 50

    fitted = Fit(budget, quality=97)(pixels_as("jpeg", image, subsampling="4:2:0"))

    data = check(fitted, budget)
    following = int(quality_said(fitted) + 1e-6) + 1
    sizes = [len(encode(Pixels((Frame(image),), subsampling="4:2:0"), "jpeg",
                        quality=following, coding=coding)) for coding in ("progressive", "optimised")]
    assert min(sizes) > budget
    assert len(data) > budget * 0.9
    assert sum(encodes) <= ENCODES
    assert fitted.facts is not None and (fitted.facts.width, fitted.facts.height) == image.size


@pytest.mark.parametrize("divisor", [1.01, 2, 5, 30, 400])
@pytest.mark.parametrize("format", ["jpeg", "png", "webp"])
@pytest.mark.parametrize("may_change_type", [True, False])
def test_noise_comes_to_an_end_within_any_budget(format: str, divisor: float, may_change_type: bool) -> None:
    data = encode(Pixels((Frame(noise((300, 200))),)), format, quality=100, lossless=True)
    budget = int(len(data) / divisor)

    fitted = Fit(budget, may_change_type=may_change_type)(Asset("x", data=data))

    check(fitted, budget)
    assert not fitted.lossless or divisor < 1.1


def test_the_best_quality_is_never_below_the_least_allowed() -> None:
    image = PICTURES["texture"]
    least = len(encode(Pixels((Frame(image),), subsampling="4:2:0"), "jpeg", quality=70))

    fitted = Fit(least // 2, min_quality=70)(pixels_as("jpeg", image))

    check(fitted, least // 2)
    assert fitted.facts is not None and fitted.facts.width < image.width
    assert quality_said(fitted) >= 70
    assert abs(fitted.facts.width / fitted.facts.height - image.width / image.height) < 0.01


def test_nothing_fits_into_nothing() -> None:
    with pytest.raises(CannotFit) as caught:
        Fit(30)(Asset("x", data=encoded("JPEG", photo((300, 200)))))

    assert caught.value.limit == 30
    assert pickle.loads(pickle.dumps(caught.value)).limit == 30


def test_a_search_never_takes_more_encodes_than_it_may_whatever_the_sample_says() -> None:
    for wrongness, slope in itertools.product((0.2, 0.7, 1, 1.5, 6), (0.0, 0.01, 0.06)):
        calls = []

        def full(quality: float, calls: list[float] = calls) -> bytes:
            calls.append(quality)
            return bytes(int(10_000 * 1.03 ** (quality - 50)))

        curve = Curve(lambda quality, w=wrongness, s=slope: int(1_000 * w * (1 + s) ** (quality - 50)), 10.0)
        found = search(full, curve, 20_000, 20, 95)

        assert len(calls) == found.encodes <= ENCODES
        assert found.data is None or len(found.data) <= 20_000


def test_a_search_knows_that_the_next_quality_is_too_large() -> None:
    sizes = {quality / 10: int(10_000 * 1.03 ** (quality / 10 - 50)) for quality in range(200, 1000)}
    for tenth in range(200, 210):
        budget = tenth * 100
        curve = Curve(lambda quality: int(101 * 1.0301 ** (quality - 50)), 100.0)

        found = search(lambda quality: bytes(sizes[round(quality, 1)]), curve, budget, 20, 95)

        assert found.data is not None
        assert sizes[float(int(found.quality + 1e-6) + 1)] > budget


# -- types -------------------------------------------------------------------------------------


def test_a_photograph_as_png_becomes_a_jpeg_only_if_it_may() -> None:
    data = encoded("PNG", textured((500, 400)))

    changed = Fit(len(data) // 3)(Asset("x", data=data))
    kept = Fit(len(data) // 3, may_change_type=False)(Asset("x", data=data))

    check(changed, len(data) // 3)
    check(kept, len(data) // 3)
    assert changed.facts is not None and (changed.facts.format, changed.facts.width) == ("jpeg", 500)
    assert kept.facts is not None and (kept.facts.format, kept.facts.width < 500) == ("png", True)
    assert "PNG to JPEG" in changed.notes
    assert not changed.lossless


def test_a_transparent_png_becomes_lossless_webp_before_lossy() -> None:
    image = textured((500, 400))
    image.putalpha(photo((500, 400)).convert("L"))
    exact = len(encode(Pixels((Frame(image),)), "webp", lossless=True))
    data = encoded("PNG", image)
    assert exact < len(encode(Pixels((Frame(image),)), "png"))

    first = Fit(exact)(Asset("x", data=data))
    second = Fit(exact // 2)(Asset("x", data=data))

    assert first.facts is not None and first.facts.format == "webp" and first.lossless
    assert decode(check(first, exact), "webp").frames[0].image.tobytes() == image.tobytes()
    assert second.facts is not None and second.facts.format == "webp" and not second.lossless
    assert second.facts.has_alpha and second.facts.width == 500
    check(second, exact // 2)


def test_a_drawing_over_budget_stays_exact() -> None:
    image = textured((400, 300)).quantize(16).convert("RGB")
    data = encoded("PNG", image)
    budget = len(encode(Pixels((Frame(image),)), "png")) - 1

    fitted = Fit(budget)(Asset("x", data=data))

    assert fitted.lossless
    assert decode(check(fitted, budget), "webp").frames[0].image.convert("RGB").tobytes() == image.tobytes()


@pytest.mark.parametrize("format", ["jpeg", "png", "webp", "gif"])
@pytest.mark.parametrize("size", [(1, 1), (1, 65_500), (65_500, 1), (1, 70_000), (3, 20_000)])
def test_long_and_tiny_pictures_stay_within_what_the_type_can_hold(format: str, size: tuple[int, int]) -> None:
    fitted = Fit()(pixels_as(format, Image.new("RGB", size, (10, 20, 30))))

    check(fitted)
    assert fitted.facts is not None
    longest = {"jpeg": 65_500, "png": 10**6, "webp": 16_383, "gif": 5_120}[format]
    assert max(fitted.facts.width, fitted.facts.height) == min(max(size), longest)
    assert min(fitted.facts.width, fitted.facts.height) >= 1


# -- sizes -------------------------------------------------------------------------------------


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "GIF"])
def test_max_edge_reduces_exactly_and_never_enlarges(format: str) -> None:
    data = encoded(format, photo((1500, 1000)))

    fitted = Fit(max_edge=400)(Asset("x", data=data))

    check(fitted)
    assert fitted.facts is not None and (fitted.facts.width, fitted.facts.height) == (400, 267)
    assert "reduced from 1500 x 1000 to 400 x 267" in fitted.notes
    assert not fitted.lossless
    assert Fit(max_edge=1500)(Asset("x", data=data)).data is data


def test_a_sideways_jpeg_is_reduced_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded("JPEG", photo((900, 600)), exif=exif)

    fitted = Fit(max_edge=300)(Asset("x", data=data))

    check(fitted)
    assert fitted.facts is not None and (fitted.facts.width, fitted.facts.height) == (200, 300)


def test_no_dark_fringe_where_transparency_hides_another_colour() -> None:
    image = Image.new("RGBA", (400, 400), (0, 0, 0, 0))
    image.paste((255, 255, 255, 255), (101, 101, 301, 301))

    fitted = Fit(max_edge=133)(Asset("x", data=encoded("PNG", image)))

    pixels = decode(check(fitted), "png").frames[0].image.convert("RGBA")
    edge = [value for _, value in pixels.getcolors(10_000) or [] if value[3] > 8]
    assert min(min(value[:3]) for value in edge) > 240


def test_a_jpeg_that_was_only_turned_does_not_grow() -> None:
    data = encoded("JPEG", textured((600, 400)), quality=60, optimize=True, progressive=True)
    pixels = decode(data, "jpeg")
    asset = Asset("x", pixels=pixels, facts=Facts("jpeg", 600, 400), received=Received("0" * 64, len(data)))

    fitted = Fit()(asset)

    assert len(check(fitted)) <= len(data)
    assert quality_said(fitted) >= 58


def test_a_lossy_webp_that_was_only_decoded_does_not_grow() -> None:
    image = textured((600, 400))
    data = encode(Pixels((Frame(image),)), "webp", quality=86, lossless=False)
    asset = Decode()(Asset("x.webp", data=data)).evolve(data=None, pixels=decode(data, "webp"))

    fitted = Fit()(asset)

    assert len(check(fitted)) <= len(data)
    assert fitted.facts is not None and fitted.facts.format == "webp"
    assert quality_said(fitted) >= 75


def test_a_lossless_webp_that_was_only_decoded_stays_exact() -> None:
    image = textured((300, 200))
    data = encode(Pixels((Frame(image),)), "webp", lossless=True)
    asset = Decode()(Asset("x.webp", data=data)).evolve(data=None, pixels=decode(data, "webp"))

    fitted = Fit()(asset)

    assert fitted.lossless
    assert decode(check(fitted), "webp").frames[0].image.convert("RGB").tobytes() == image.tobytes()


def test_a_png_that_would_grow_becomes_a_lossless_webp_if_it_may() -> None:
    image = textured((300, 200)).quantize(200).convert("RGB")
    received = Received("0" * 64, len(encode(Pixels((Frame(image),)), "png")) - 1, format="png")

    changed = Fit()(pixels_as("png", image).evolve(received=received))
    kept = Fit(may_change_type=False)(pixels_as("png", image).evolve(received=received))

    assert len(check(changed)) <= received.size
    assert changed.lossless and changed.facts is not None and changed.facts.format == "webp"
    assert kept.lossless and kept.facts is not None and kept.facts.format == "png"
    assert any(note.startswith("grew from ") for note in kept.notes)


@pytest.mark.parametrize("format", ["jpeg", "png", "webp"])
@pytest.mark.parametrize("divisor", [1.05, 1.6, 3, 9])
@pytest.mark.parametrize("may_change_type", [True, False])
@pytest.mark.parametrize("name", ["texture", "uneven"])
def test_a_picture_is_encoded_at_most_four_times_over_all_that_is_tried(
        format: str, divisor: float, may_change_type: bool, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    image = PICTURES[name]
    data = encode(Pixels((Frame(image),)), format, quality=95, lossless=format == "webp")
    whole: list[tuple[int, int]] = []
    jpeg, other = within.write_jpeg, within.encode

    def counted_jpeg(image: Image.Image, *args: Any, **settings: Any) -> bytes:
        whole.append(image.size)
        return jpeg(image, *args, **settings)

    def counted(pixels: Pixels, *args: Any, **settings: Any) -> bytes:
        whole.append(pixels.size)
        return other(pixels, *args, **settings)

    monkeypatch.setattr(within, "write_jpeg", counted_jpeg)
    monkeypatch.setattr(within, "encode", counted)
    fitted = Fit(int(len(data) / divisor), may_change_type=may_change_type)(Asset("x", data=data))

    assert len(fitted.data or b"") <= len(data) / divisor
    assert fitted.facts is not None
    ratio = image.width / image.height
    encodes = [size for size in whole if abs(size[0] / size[1] - ratio) < 0.02 * ratio
               and size[0] * size[1] >= fitted.facts.width * fitted.facts.height * 0.8]
    assert 1 <= len(encodes) <= ENCODES


@pytest.mark.parametrize(("size", "budget", "said"), [
    (40_000_000, 8_000_000, "saved at quality 90"), (1_000, 8_000_000, "grew from 1.0 kB to "),
    (40_000_000, 60_000, "reduced from 40.0 MB to ")])
def test_what_is_said_of_the_size_depends_on_why_it_changed(size: int, budget: int, said: str) -> None:
    asset = pixels_as("jpeg", textured((600, 400))).evolve(received=Received("0" * 64, size, format="heic"))
    budget = max(budget, size) if said.startswith("saved") else budget

    fitted = Fit(budget)(asset)

    assert len(fitted.notes) == 1 and fitted.notes[0].startswith(said)


def test_nothing_is_said_where_a_lossless_type_was_written_and_is_smaller() -> None:
    asset = pixels_as("png", photo((300, 200))).evolve(received=Received("0" * 64, 1_000_000, format="bmp"))

    assert Fit()(asset).notes == ()


def test_growth_is_said() -> None:
    asset = pixels_as("jpeg", textured((600, 400)))

    fitted = Fit()(asset.evolve(received=Received("0" * 64, 1_000)))

    assert any(note.startswith("grew from 1.0 kB to ") for note in fitted.notes)


# -- animations --------------------------------------------------------------------------------


@pytest.mark.parametrize("may_change_type", [True, False])
@pytest.mark.parametrize("divisor", [1.2, 3, 12])
def test_an_animation_over_budget_keeps_its_times_and_loop(divisor: float, may_change_type: bool) -> None:
    data = gif()
    budget = int(len(data) / divisor)

    fitted = Fit(budget, may_change_type=may_change_type)(Asset("x", data=data))

    assert fitted.facts is not None and fitted.facts.format in (("gif", "webp") if may_change_type else ("gif",))
    again = decode(check(fitted, budget), fitted.facts.format)
    assert [frame.duration for frame in again.frames] == [70] * 8
    assert again.loop == 2


def test_a_gif_beyond_the_largest_edge_is_reduced_and_stays_animated() -> None:
    fitted = Fit(max_gif_edge=100)(Asset("x", data=gif()))

    check(fitted)
    assert fitted.facts is not None
    assert (fitted.facts.format, fitted.facts.width, fitted.facts.frames) == ("gif", 100, 8)


def test_a_gif_of_too_many_frames_becomes_a_webp_or_is_thinned() -> None:
    data = gif(12, (60, 40))

    changed = Fit(max_gif_frames=10)(Asset("x", data=data))
    thinned = Fit(max_gif_frames=5, may_change_type=False)(Asset("x", data=data))

    assert changed.facts is not None and (changed.facts.format, changed.facts.frames) == ("webp", 12)
    assert thinned.facts is not None and (thinned.facts.format, thinned.facts.frames) == ("gif", 5)
    again = decode(check(thinned), "gif")
    assert sum(frame.duration for frame in again.frames) == 12 * 70
    assert not thinned.lossless


def test_an_animated_png_within_its_budget_is_exact() -> None:
    frames = tuple(Frame(frame, 80) for frame in animation(4, (60, 40)))
    asset = Asset("x", pixels=Pixels(frames, loop=0), facts=Facts("png", 60, 40, frames=4))

    fitted = Fit()(asset)

    assert fitted.lossless
    again = decode(check(fitted), "png")
    assert [frame.image.convert("RGB").tobytes() for frame in again.frames] == [f.image.tobytes() for f in frames]
