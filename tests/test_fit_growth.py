"""Fit: never larger than what came in where that can be helped, and what is lost first where bytes are few."""

from __future__ import annotations

import io
import itertools
from typing import Any

import numpy as np
import pytest
import pyvips
from pictures import animation, encoded, photo, wide_profile
from PIL import Image, ImageDraw

from imagepipe import codecs, prepare
from imagepipe.asset import Asset, Facts, Frame, Pixels
from imagepipe.codecs.decode import decode
from imagepipe.codecs.encode import encode
from imagepipe.codecs.encode_squeeze import squeezed
from imagepipe.errors import CannotFit
from imagepipe.fitting import colors, within
from imagepipe.fitting.curve import ENCODES
from imagepipe.stages import Convert, Decode, Fit

RANDOM = np.random.default_rng(7)


def textured(size: tuple[int, int]) -> Image.Image:
    noise = RANDOM.normal(0, 14, (size[1], size[0], 1))
    return Image.fromarray(np.clip(np.asarray(photo(size)) + noise, 0, 255).astype(np.uint8))


def drawing(size: tuple[int, int]) -> Image.Image:
    """Lines and letters in four colours, without soft edges."""
    image = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(image)
    draw.fontmode = "1"
    for number in range(12):
        color = ("black", "red", "blue")[number % 3]
        draw.line((number * size[0] // 12, 0, size[0] - number * 9, size[1]), color, 2)
        draw.text((number * size[0] // 13, number * size[1] // 13), "Merino, size M", fill=color)
    return image


def moving(kind: str, count: int = 5, size: tuple[int, int] = (90, 60)) -> list[Image.Image]:
    if kind == "photograph":
        return [frame.crop((0, 0, *size)) for frame in animation(count, (size[0] + 9, size[1]))]
    if kind == "drawing":
        frames = []
        for number in range(count):
            frame = drawing(size)
            frame.paste((0, 160, 80), (number * 8, 20, number * 8 + 12, 32))
            frames.append(frame)
        return frames
    frames = []
    for number in range(count):  # a disc that moves over nothing
        frame = Image.new("RGBA", size)
        ImageDraw.Draw(frame).ellipse((number * 6, 10, number * 6 + 34, 44), (200, 90, 30, 255))
        frames.append(frame)
    return frames


def gif(frames: list[Image.Image], **settings: Any) -> bytes:
    options = {"duration": [40 + 10 * number for number in range(len(frames))], "loop": 3, "optimize": True} | settings
    if frames[0].mode == "RGBA":
        options["disposal"] = 2
    return encoded("GIF", frames[0], save_all=True, append_images=frames[1:], **options)


def size_of(asset: Asset) -> tuple[int, int]:
    assert asset.facts is not None
    return asset.facts.width, asset.facts.height


def sent(asset: Asset) -> bytes:
    """The bytes, once another decoder has read them all."""
    assert asset.data is not None and asset.facts is not None
    pyvips.Image.new_from_buffer(asset.data, "", fail_on="warning").avg()
    assert codecs.rebuild(asset.data, asset.facts.format) == asset.data
    return asset.data


def colors_of(data: bytes) -> int:
    """How many colours all frames of a GIF show, as libvips sees them."""
    image = pyvips.Image.new_from_buffer(data, "", n=-1)
    pixels = np.frombuffer(image.write_to_memory(), np.uint8).reshape(-1, image.bands)
    return len(np.unique(pixels, axis=0))


STILL = {
    "strong jpeg": encoded("JPEG", textured((240, 160)), quality=30, optimize=True, progressive=True),
    "good jpeg": encoded("JPEG", textured((240, 160)), quality=90, optimize=True),
    "drawing as jpeg": encoded("JPEG", drawing((240, 160)), quality=60, optimize=True),
    "drawing in a palette": encoded("PNG", drawing((240, 160)).quantize(4), optimize=True),
    "photograph as png": encoded("PNG", textured((120, 80)), optimize=True),
    "drawing as gif": encoded("GIF", drawing((240, 160)).quantize(4), optimize=True),
    "photograph as gif": encoded("GIF", photo((120, 80))),
    "strong webp": encoded("WEBP", textured((240, 160)), quality=30, method=6),
    "good webp": encoded("WEBP", textured((240, 160)), quality=85, method=6),
    "lossless webp": encoded("WEBP", textured((60, 40)), lossless=True, quality=100, method=6),
}
MOVING = {f"moving {kind} as {format}": data for kind in ("photograph", "drawing", "disc")
          for format, data in (("gif", gif(moving(kind))),
                               ("webp", encode(Pixels(tuple(Frame(frame, 70) for frame in moving(kind)), loop=3),
                                               "webp", quality=60, lossless=False)),
                               ("png", encode(Pixels(tuple(Frame(frame, 70) for frame in moving(kind)), loop=3),
                                              "png")))}


# -- never larger than what came in ------------------------------------------------------------


#: Hard edges become soft when a picture is reduced, which has its price: only half the size nearly makes up for it.
HARD = {"drawing in a palette", "drawing as gif", "moving drawing as gif", "moving drawing as png",
        "moving disc as gif"}
#: And partial transparency, where there was none, or frames that nearly stand still, are not to be had for as little.
HARDEST = {"moving disc as png", "moving disc as webp", "moving photograph as png"}


@pytest.mark.parametrize("part", [0.5, 0.8])
@pytest.mark.parametrize("name", [name for name in [*STILL, *MOVING] if name not in HARDEST])
def test_a_reduced_picture_is_no_larger_than_it_came(name: str, part: float) -> None:
    data = (STILL | MOVING)[name]
    received = Decode()(Asset(name, data=data))
    assert received.facts is not None
    edge = round(max(received.facts.width, received.facts.height) * part)

    fitted = Fit(max_edge=edge)(received)

    assert max(size_of(fitted)) == edge
    if name in HARD:
        assert len(sent(fitted)) <= (2.3 if part > 0.5 else 1.15) * len(data)
    else:
        assert len(sent(fitted)) <= len(data)
        assert not any("grew" in note for note in fitted.notes)


@pytest.mark.parametrize("name", [*STILL, *MOVING])
@pytest.mark.parametrize("may_change_type", [True, False])
def test_a_picture_reduced_by_one_pixel_grows_only_with_a_note(name: str, may_change_type: bool) -> None:
    data = (STILL | MOVING)[name]
    received = Decode()(Asset(name, data=data))
    assert received.facts is not None
    edge = max(received.facts.width, received.facts.height) - 1

    fitted = Fit(max_edge=edge, may_change_type=may_change_type)(received)

    assert fitted.facts is not None and max(size_of(fitted)) == edge
    assert (len(sent(fitted)) > len(data)) == any(note.startswith("grew from ") for note in fitted.notes)
    if name not in HARD | HARDEST:
        assert len(sent(fitted)) <= 1.2 * len(data)
    if not may_change_type:
        assert fitted.facts.format == received.facts.format


@pytest.mark.parametrize("name", [name for name in STILL if "gif" not in name])
def test_a_picture_whose_colours_are_converted_is_no_larger_than_it_came(name: str) -> None:
    format = name.rpartition(" ")[2] if "palette" not in name else "png"
    out = io.BytesIO()
    image = Image.open(io.BytesIO(STILL[name]))
    image.save(out, format, icc_profile=wide_profile(), lossless="lossless" in name, method=6,
               **({"quality": 100 if "lossless" in name else 60} if format != "png" else {"optimize": True}))
    data = out.getvalue()

    fitted = Fit()(Convert()(Decode()(Asset(name, data=data))))

    assert len(sent(fitted)) <= len(data)
    assert fitted.data != data


@pytest.mark.parametrize("name", MOVING)
def test_a_reduced_animation_keeps_frames_times_loop_and_type(name: str) -> None:
    data = MOVING[name]
    format = name.rpartition(" ")[2]
    before = decode(data, format)

    fitted = Fit(max_edge=60)(Asset(name, data=data))

    assert fitted.facts is not None and fitted.facts.format == format
    after = decode(sent(fitted), format)
    assert [frame.duration for frame in after.frames] == [frame.duration for frame in before.frames]
    assert after.loop == before.loop is not None
    assert size_of(fitted) == (60, 40)


def test_a_reduced_drawing_looks_as_it_would_in_all_its_colours() -> None:
    image = drawing((240, 160))
    data = encoded("PNG", image.quantize(4), optimize=True)

    fitted = Fit(max_edge=180)(Asset("x.png", data=data))

    exact = np.asarray(decode(data, "png").frames[0].image.convert("RGB").resize(
        (180, 120), Image.Resampling.LANCZOS)).astype(int)
    shown = np.asarray(decode(sent(fitted), "png").frames[0].image.convert("RGB")).astype(int)
    apart = np.abs(exact - shown).max(axis=2)
    assert fitted.facts is not None and codecs.read_header(sent(fitted), "png").channels == "palette"
    assert any(note.startswith("reduced to ") and note.endswith(" colours") for note in fitted.notes)
    assert apart.mean() < 4 and np.percentile(apart, 98) <= 40
    white = (exact == 255).all(axis=2)
    assert white.mean() > 0.4 and (shown[white] == 255).all()


def test_a_photograph_as_png_is_never_put_into_a_palette() -> None:
    image = textured((120, 80))
    data = encoded("PNG", image, optimize=True)

    fitted = Fit(max_edge=119, may_change_type=False)(Asset("x.png", data=data))

    assert codecs.read_header(sent(fitted), "png").channels == "rgb"
    assert not any("colours" in note for note in fitted.notes)


# -- effort ------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["1", "L", "LA", "RGB", "RGBA", "P"])
@pytest.mark.parametrize("size", [(1, 1), (2, 3), (150, 90)])
def test_a_squeezed_png_shows_the_same_and_is_no_larger(mode: str, size: tuple[int, int]) -> None:
    image = drawing((200, 120)).crop((0, 0, *size))
    if mode in ("LA", "RGBA"):
        image.putalpha(photo(size).convert("L"))
    data = encode(Pixels((Frame(image.quantize(4) if mode == "P" else image.convert(mode)),)), "png")

    smaller = squeezed(data)

    assert len(smaller) <= len(data)
    first, second = (pyvips.Image.new_from_buffer(one, "", fail_on="warning") for one in (data, smaller))
    assert first.write_to_memory() == second.write_to_memory()
    assert codecs.rebuild(smaller, "png") == smaller


def test_squeezing_helps_drawings_with_many_colours() -> None:
    image = drawing((300, 200)).resize((280, 187), Image.Resampling.BICUBIC)
    image.paste(photo((40, 40)), (200, 100))
    data = encode(Pixels((Frame(image),)), "png")

    assert len(squeezed(data)) < 0.97 * len(data)


# -- a GIF loses colours before it loses pixels -------------------------------------------------


@pytest.mark.parametrize("frames", [[photo((160, 120))], animation(6, (120, 90))], ids=["still", "moving"])
def test_a_gif_over_its_budget_loses_colours_before_pixels(frames: list[Image.Image]) -> None:
    data = encode(Pixels(tuple(Frame(frame, 60) for frame in frames), loop=0), "gif")
    few = len(encode(Pixels(tuple(Frame(frame, 60) for frame in frames), loop=0), "gif", colors=48, together=True))
    assert few < 0.9 * len(data)

    fitted = Fit(few, may_change_type=False)(Asset("x.gif", data=data))

    assert len(sent(fitted)) <= few
    assert size_of(fitted) == frames[0].size
    said = next(note for note in fitted.notes if note.endswith(" colours"))
    assert 32 <= colors_of(sent(fitted)) <= int(said.split()[2])
    assert not fitted.lossless


def test_a_gif_has_as_many_colours_as_its_budget_allows() -> None:
    pixels = Pixels((Frame(textured((160, 120))),))
    data = encode(pixels, "gif")
    wanted = (64, 120, 200)
    budgets = [len(encode(pixels, "gif", colors=colors, together=True)) for colors in wanted]

    fitted = [sent(Fit(budget, may_change_type=False)(Asset("x.gif", data=data))) for budget in budgets]

    kept = [colors_of(one) for one in fitted]
    assert 40 < kept[0] < kept[1] < kept[2]
    assert all(0.9 * budget < len(one) <= budget for one, budget in zip(fitted, budgets, strict=True))


def test_a_gif_that_no_palette_gets_into_its_budget_loses_pixels_too_and_says_both() -> None:
    data = encode(Pixels((Frame(textured((200, 150))),)), "gif")

    fitted = Fit(len(data) // 6, may_change_type=False)(Asset("x.gif", data=data))

    assert len(data) // 6 * 0.9 <= len(sent(fitted)) <= len(data) // 6
    assert max(size_of(fitted)) < 200
    assert [note.split()[0] for note in fitted.notes] == ["reduced", "reduced", "reduced"]
    assert "reduced to 64 colours" in fitted.notes


@pytest.mark.parametrize("together", [True, False])
def test_white_around_a_photograph_stays_white_in_a_gif(together: bool) -> None:
    image = Image.new("RGB", (160, 120), "white")
    image.paste(textured((100, 70)), (30, 25))

    data = encode(Pixels((Frame(image),)), "gif", together=together)

    shown = np.asarray(decode(data, "gif").frames[0].image.convert("RGB"))
    assert (shown[:20] == 255).all() and (shown[:, :25] == 255).all()


def test_what_stands_still_does_not_flicker_when_colours_go() -> None:
    frames = animation(5, (120, 90))

    data = encode(Pixels(tuple(Frame(frame, 60) for frame in frames), loop=0), "gif", colors=24, together=True)

    shown = [np.asarray(frame.image.convert("RGB")) for frame in decode(data, "gif").frames]
    for (first, second), (was, now) in zip(itertools.pairwise(frames), itertools.pairwise(shown), strict=True):
        same = (np.asarray(first) == np.asarray(second)).all(axis=2)
        assert (was[same] == now[same]).all()


# -- pixels: as many as the budget allows ------------------------------------------------------


@pytest.mark.parametrize("name", ["texture", "smooth", "drawing", "grey", "transparent"])
@pytest.mark.parametrize("divisor", [1.3, 3, 9])
def test_a_png_that_loses_pixels_uses_its_budget_in_four_encodes(
        name: str, divisor: float, monkeypatch: pytest.MonkeyPatch) -> None:
    image = {"texture": textured, "smooth": photo, "drawing": drawing, "grey": textured,
             "transparent": textured}[name]((400, 300))
    if name == "grey":
        image = image.convert("L")
    if name == "transparent":
        image.putalpha(photo((400, 300)).convert("L"))
    data = encode(Pixels((Frame(image),)), "png")
    budget = int(len(data) / divisor)
    whole = []
    original = within.encode

    def counted(pixels: Pixels, *args: Any, **settings: Any) -> bytes:
        whole.append(pixels.size)
        return original(pixels, *args, **settings)

    monkeypatch.setattr(within, "encode", counted)
    fitted = Fit(budget, may_change_type=False)(Asset("x.png", data=data))

    share = len(sent(fitted)) / budget
    assert share <= 1 and (share > 0.9 or (name == "drawing" and share > 0.75))
    encodes = [size for size in whole if abs(size[0] / size[1] - 4 / 3) < 0.03]
    assert 1 <= len(encodes) <= ENCODES


@pytest.mark.parametrize("divisor", [1.2, 2, 5])
def test_a_gif_is_encoded_at_most_four_times(divisor: float, monkeypatch: pytest.MonkeyPatch) -> None:
    data = encode(Pixels(tuple(Frame(frame, 60) for frame in animation(9, (120, 90))), loop=0), "gif")
    whole = []
    for module in (within, colors):
        def counted(pixels: Pixels, *args: Any, original: Any = module.encode, **settings: Any) -> bytes:
            whole.append(len(pixels.frames))
            return bytes(original(pixels, *args, **settings))

        monkeypatch.setattr(module, "encode", counted)
    fitted = Fit(int(len(data) / divisor), may_change_type=False)(Asset("x.gif", data=data))

    assert len(sent(fitted)) <= len(data) / divisor
    assert 1 <= whole.count(9) <= ENCODES


# -- limits ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*STILL, *MOVING])
def test_a_budget_of_the_size_changes_nothing_and_one_byte_less_is_kept(name: str) -> None:
    data = (STILL | MOVING)[name]

    untouched = Fit(len(data))(Asset(name, data=data))
    fitted = Fit(len(data) - 1)(Asset(name, data=data))

    assert untouched.data is data
    assert len(sent(fitted)) < len(data)
    if name not in ("strong webp", "moving photograph as webp"):  # of a quality below the least
        assert size_of(fitted) == size_of(untouched)


@pytest.mark.parametrize("budget", [1, 20])
@pytest.mark.parametrize("name", ["good jpeg", "photograph as png", "photograph as gif", "good webp",
                                  "moving disc as gif"])
def test_a_budget_below_any_file_is_refused_with_the_smallest_there_is(name: str, budget: int) -> None:
    with pytest.raises(CannotFit) as caught:
        Fit(budget)(Asset(name, data=(STILL | MOVING)[name]))

    assert caught.value.limit == budget < caught.value.smallest < 2_000


@pytest.mark.parametrize("may_change_type", [True, False])
@pytest.mark.parametrize("name", [*STILL, *MOVING])
def test_a_budget_of_a_kilobyte_is_met(name: str, may_change_type: bool) -> None:
    fitted = Fit(1_000, may_change_type=may_change_type)(Asset(name, data=(STILL | MOVING)[name]))

    assert len(sent(fitted)) <= 1_000


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:0"])
def test_a_jpeg_keeps_the_chroma_that_it_came_with_at_a_high_quality(subsampling: str) -> None:
    data = encoded("JPEG", textured((300, 200)), quality=95, subsampling=subsampling, progressive=True)

    fitted = Fit(int(len(data) * 0.9))(Asset("x.jpg", data=data))

    assert codecs.read_header(sent(fitted), "jpeg").subsampling == subsampling


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_a_grey_or_cmyk_jpeg_over_its_budget_stays_grey_or_cmyk(mode: str) -> None:
    image = textured((300, 200)).convert(mode)
    data = encoded("JPEG", image, quality=95)

    fitted = Fit(len(data) // 2)(Asset("x.jpg", data=data))

    assert codecs.read_header(sent(fitted), "jpeg").channels == {"L": "gray", "CMYK": "cmyk"}[mode]


def test_a_transparent_picture_asked_for_as_jpeg_is_laid_on_white() -> None:
    image = textured((200, 150))
    image.putalpha(Image.new("L", image.size, 0))
    asset = Asset("x", pixels=Pixels((Frame(image),)), facts=Facts("jpeg", 200, 150))

    fitted = Fit(4_000)(asset)

    assert pyvips.Image.new_from_buffer(sent(fitted), "").min() == 255


def test_a_gif_of_151_frames_and_one_of_5121_pixels_are_brought_within_what_the_store_takes() -> None:
    flicker = [Image.new("RGB", (8, 6), (number, 90, 40)) for number in range(151)]
    many = encode(Pixels(tuple(Frame(frame, 30) for frame in flicker), loop=0), "gif")
    wide = encode(Pixels((Frame(drawing((5121, 12))),)), "gif")
    assert codecs.read_header(many, "gif").frames == 151

    changed, thinned = (Fit(may_change_type=may)(Asset("x.gif", data=many)) for may in (True, False))
    reduced = Fit()(Asset("x.gif", data=wide))

    assert changed.facts is not None and (changed.facts.format, changed.facts.frames) == ("webp", 151)
    assert thinned.facts is not None and (thinned.facts.format, thinned.facts.frames) == ("gif", 150)
    assert sum(frame.duration for frame in decode(sent(thinned), "gif").frames) == 151 * 30
    assert size_of(reduced) == (5120, 12)


@pytest.mark.parametrize("quality", [50, 75, 92])
@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:0"])
def test_a_turned_jpeg_keeps_the_chroma_that_it_came_with_at_any_quality(quality: int, subsampling: str) -> None:
    turned = Image.Exif()
    turned[0x0112] = 6
    data = encoded("JPEG", textured((300, 200)), quality=quality, subsampling=subsampling, exif=turned.tobytes())

    ready = prepare(data)

    assert codecs.read_header(sent(ready), "jpeg").subsampling == subsampling
    assert ready.facts is not None
    assert (ready.facts.width, ready.facts.height) == (200, 300)
