"""What the encoders write: only what `Pixels` names, exactly where that is claimed, readable elsewhere."""

from __future__ import annotations

import io
import os
from typing import Any

import pytest
import pyvips
from pictures import CANARY, animation, photo, wide_profile
from PIL import Image
from profiles import gray_profile

from imagepipe import codecs
from imagepipe.asset import Color, Frame, Pixels
from imagepipe.codecs.encode import encode
from imagepipe.codecs.encode_jpeg import jpeg_tables
from imagepipe.errors import FormatNotAllowed

TYPES = ("jpeg", "png", "webp", "gif")


def still(image: Image.Image, **settings: Any) -> Pixels:
    return Pixels((Frame(image),), **settings)


def moving(images: list[Image.Image], durations: list[int] | None = None, loop: int | None = 0) -> Pixels:
    times = durations or [70] * len(images)
    return Pixels(tuple(Frame(image, time) for image, time in zip(images, times, strict=True)), loop=loop)


def seen(data: bytes, mode: str = "RGBA") -> list[Image.Image]:
    """Every frame, as libvips sees it."""
    fits = {} if data[:2] == b"\xff\xd8" else {"n": -1} if data[:4] in (b"GIF8", b"RIFF") else {}
    whole = pyvips.Image.new_from_buffer(data, "", fail_on="warning", **fits)
    height = whole.get("page-height") if "page-height" in whole.get_fields() else whole.height
    if whole.interpretation in ("b-w", "grey16"):
        whole = whole.colourspace("srgb")
    if whole.bands == 3:
        whole = whole.bandjoin(255)
    frames = []
    for top in range(0, whole.height, height):
        part = whole.crop(0, top, whole.width, height)
        frames.append(Image.frombytes("RGBA", (part.width, part.height), part.write_to_memory()).convert(mode))
    return frames


@pytest.mark.parametrize("format", TYPES)
@pytest.mark.parametrize("mode", ["1", "L", "LA", "RGB", "RGBA"])
def test_every_mode_becomes_every_type_and_there_is_nothing_to_strip_from_it(format: str, mode: str) -> None:
    image = photo((90, 70), "RGBA").convert("LA" if mode == "LA" else "RGBA").convert(mode)

    data = encode(still(image), format, quality=85)

    assert codecs.rebuild(data, format) == data
    assert seen(data)[0].size == (90, 70)


@pytest.mark.parametrize("format", TYPES)
def test_what_pillow_would_write_from_info_is_not_written(format: str) -> None:
    image = photo((60, 60))
    image.info = {"comment": CANARY, "exif": b"Exif\0\0" + CANARY, "xmp": CANARY, "icc_profile": CANARY, "dpi": (3, 3)}

    data = encode(still(image), format)

    assert CANARY not in data
    assert codecs.rebuild(data, format) == data
    assert image.info["comment"] == CANARY  # and the picture that was handed over is as it was


@pytest.mark.parametrize("format", ["jpeg", "png", "webp"])
def test_a_profile_and_metadata_are_written_where_pixels_name_them(format: str) -> None:
    icc = wide_profile()
    pixels = still(photo((60, 60)), color=Color(icc=icc), metadata={"copyright": "© Ann".encode()})

    data = encode(pixels, format)

    assert codecs.read_header(data, format).color.icc == icc
    assert codecs.metadata(data, format)["copyright"] == "© Ann".encode()
    assert b"copyright" not in codecs.metadata(encode(still(photo((60, 60))), format), format)


STEPS = Image.linear_gradient("L").point([value // 32 * 32 for value in range(256)])
BILEVEL = STEPS.convert("1", dither=Image.Dither.NONE)


@pytest.mark.parametrize(("image", "profile", "kinds"), [
    pytest.param(STEPS, gray_profile(1.8), {0}, id="greys that a palette would hold"),
    pytest.param(BILEVEL.convert("L"), gray_profile(1.8), {0}, id="black and white"),
    pytest.param(STEPS.convert("RGB"), wide_profile(), {2, 3}, id="RGB that is grey"),
    pytest.param(BILEVEL.convert("RGB"), wide_profile(), {2, 3}, id="RGB that is black and white"),
    pytest.param(photo((60, 60), "RGBA"), wide_profile(), {6}, id="RGBA"),
    pytest.param(STEPS, wide_profile(), None, id="greys with a profile of colours"),
    pytest.param(photo((60, 60)), gray_profile(1.8), None, id="colours with a profile of greys"),
])
def test_a_png_is_of_a_kind_that_its_profile_is_for(image: Image.Image, profile: bytes, kinds: set[int] | None) -> None:
    data = encode(still(image, color=Color(icc=profile)), "png")

    written = pyvips.Image.new_from_buffer(data, "", fail_on="warning")  # libpng warns of others, and passes over them
    assert Image.open(io.BytesIO(data)).convert(image.mode).tobytes() == image.tobytes()
    if kinds is None:
        assert "icc-profile-data" not in written.get_fields()
    else:
        assert data[25] in kinds  # the colour type
        assert written.get("icc-profile-data") == profile


@pytest.mark.parametrize("quality", [1, 10, 49, 50, 75, 87, 95, 100])
def test_whole_qualities_are_those_of_libjpeg(quality: int) -> None:
    data = encode(still(photo((64, 64))), "jpeg", quality=quality)

    assert codecs.read_header(data, "jpeg").quality == quality


def test_qualities_in_between_lie_in_between() -> None:
    sums = [sum(map(sum, jpeg_tables(80 + step / 10))) for step in range(11)]

    assert sums == sorted(sums, reverse=True)
    assert len(set(sums)) > 5


@pytest.mark.parametrize(("quality", "source", "expected"), [
    (90, None, "4:4:4"), (90, "4:4:4", "4:4:4"), (90, "4:2:2", "4:2:2"), (90, "4:2:0", "4:2:0"),
    (70, "4:4:4", "4:2:0")])
def test_chroma_follows_source_and_quality(quality: int, source: str | None, expected: str) -> None:
    data = encode(still(photo((64, 64)), subsampling=source), "jpeg", quality=quality)

    assert codecs.read_header(data, "jpeg").subsampling == expected


def test_noise_in_full_chroma_at_the_best_quality_can_be_written(capfd: pytest.CaptureFixture[str]) -> None:
    noise = Image.frombytes("RGB", (400, 400), os.urandom(480_000))  # more bytes than Pillow's buffer for libjpeg

    data = encode(still(noise), "jpeg", quality=100, subsampling="4:4:4")

    assert len(seen(data)) == 1
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("mode", ["1", "L", "LA", "RGB", "RGBA"])
@pytest.mark.parametrize("few", [False, True], ids=["many colours", "few colours"])
def test_png_is_exact_in_every_form(mode: str, few: bool) -> None:
    image = photo((90, 70), "RGBA")
    if few:
        image = image.quantize(12, Image.Quantize.FASTOCTREE).convert("RGBA")
    image = image.convert("LA" if mode == "LA" else "RGBA").convert(mode)

    (received,) = seen(encode(still(image), "png"))

    assert received.tobytes() == image.convert("RGBA").tobytes()


def test_png_takes_the_smallest_form() -> None:
    grey = photo((200, 150)).convert("L").convert("RGB")
    drawing = Image.new("RGB", (200, 150), "white")
    drawing.paste("red", (20, 20, 90, 90))
    opaque = photo((200, 150)).convert("RGBA")

    kinds = [codecs.read_header(encode(still(image), "png"), "png") for image in (grey, drawing, opaque)]

    assert [(kind.channels, kind.has_alpha) for kind in kinds] == [("gray", False), ("palette", False), ("rgb", False)]
    assert kinds[1].bit_depth <= 8


def test_lossless_webp_is_exact_also_where_nothing_is_seen() -> None:
    image = photo((90, 70), "RGBA")

    (received,) = seen(encode(still(image), "webp", lossless=True))

    assert received.tobytes() == image.tobytes()


@pytest.mark.parametrize("format", ["gif", "webp", "png"])
def test_an_animation_keeps_frames_times_and_loop(format: str) -> None:
    pixels = moving(animation(5, (80, 60)), [50, 120, 70, 30, 400], loop=3)

    data = encode(pixels, format, lossless=True)

    from imagepipe.codecs.decode import decode

    again = decode(data, format)
    assert [frame.duration for frame in again.frames] == [50, 120, 70, 30, 400]
    assert again.loop == 3
    assert codecs.rebuild(data, format) == data


def test_a_gif_of_few_colours_is_exact_in_every_frame() -> None:
    frames = [frame.quantize(40).convert("RGB") for frame in animation(5, (80, 60))]

    received = seen(encode(moving(frames), "gif"), "RGB")

    assert [frame.tobytes() for frame in received] == [frame.tobytes() for frame in frames]


def test_a_gif_whose_holes_move_is_exact() -> None:
    frames = []
    for number in range(4):
        frame = Image.new("RGBA", (60, 40))
        frame.paste((200, 10 * number, 30, 255), (number * 10, 5, number * 10 + 20, 30))
        frames.append(frame)

    received = seen(encode(moving(frames), "gif"))

    assert [frame.tobytes() for frame in received] == [frame.tobytes() for frame in frames]


def test_a_gif_frame_that_repeats_stays_a_frame() -> None:
    frame = photo((40, 30)).quantize(30).convert("RGB")

    data = encode(moving([frame, frame, frame], [100, 200, 300]), "gif")

    assert codecs.read_header(data, "gif").frames == 3


def test_gif_times_do_not_drift() -> None:
    frames = [Image.new("RGB", (20, 20), (number * 20, 0, 0)) for number in range(9)]

    data = encode(moving(frames, [33] * 9), "gif")

    from imagepipe.codecs.decode import decode

    assert abs(sum(frame.duration for frame in decode(data, "gif").frames) - 9 * 33) <= 10


def test_a_smooth_gradient_in_a_gif_is_near_the_original() -> None:
    from PIL import ImageChops, ImageFilter, ImageStat

    image = photo((200, 150))

    (received,) = seen(encode(still(image), "gif"), "RGB")

    blurred = [picture.filter(ImageFilter.GaussianBlur(2)) for picture in (image, received)]
    assert max(ImageStat.Stat(ImageChops.difference(*blurred)).mean) < 2.5


def test_orientation_is_baked_in() -> None:
    image = photo((60, 40))

    (received,) = seen(encode(still(image, orientation=6), "png"), "RGB")

    assert received.tobytes() == image.transpose(Image.Transpose.ROTATE_270).tobytes()


@pytest.mark.parametrize("format", ["heic", "bmp", ""])
def test_other_types_are_refused(format: str) -> None:
    with pytest.raises(FormatNotAllowed):
        encode(still(photo()), format)


def test_a_side_that_the_type_cannot_have_is_refused() -> None:
    with pytest.raises(FormatNotAllowed, match="16,383"):
        encode(still(Image.new("L", (1, 16_384))), "webp")
