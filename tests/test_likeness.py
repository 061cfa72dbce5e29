"""Which pictures look alike: the same picture in another guise does, another colour of the same product does not."""

import io
import itertools
import random

import pytest
from PIL import Image, ImageChops, ImageDraw, ImageEnhance, ImageFilter, ImageOps

from imagepipe.likeness import alike, likeness, nearly_blank, upright_glance

SIDE = 240
COLORS = {"red": (190, 30, 40), "blue": (40, 70, 170), "black": (35, 35, 38), "navy": (28, 36, 72),
          "white": (240, 240, 238), "beige": (215, 195, 165)}
SHAPES = {
    "shirt": [(-.4, -.9), (-.15, -.8), (.15, -.8), (.4, -.9), (.95, -.5), (.75, -.2), (.5, -.4), (.5, .9), (-.5, .9),
              (-.5, -.4), (-.75, -.2), (-.95, -.5)],
    "shoe": [(-.9, .2), (-.7, -.3), (-.3, -.2), (.2, .1), (.9, .2), (.95, .5), (-.9, .5)],
    "bottle": [(-.3, -.3), (-.1, -.4), (-.1, -.9), (.1, -.9), (.1, -.4), (.3, -.3), (.3, .95), (-.3, .95)],
    "table": [(-.9, -.5), (.9, -.5), (.9, .3), (.8, .95), (.7, .3), (-.7, .3), (-.8, .95), (-.9, .3)],
}


def grain(seed: int) -> Image.Image:
    quarter = SIDE // 4
    noise = Image.frombytes("L", (quarter, quarter), random.Random(seed).randbytes(quarter * quarter))
    return noise.resize((SIDE, SIDE), Image.Resampling.BICUBIC)


def product(shape: str, color: str) -> Image.Image:
    """A product before a light ground, with folds, light, a shadow and grain."""
    seed = sorted(SHAPES).index(shape)
    ground = Image.new("RGB", (SIDE, SIDE), [(255, 255, 255), (238, 238, 238)][seed % 2])
    mask = Image.new("L", ground.size, 0)
    half = SIDE / 2
    ImageDraw.Draw(mask).polygon([(half + x * half * .85, half + y * half * .85) for x, y in SHAPES[shape]], fill=255)
    mask = mask.filter(ImageFilter.GaussianBlur(1))
    folds = grain(seed).filter(ImageFilter.GaussianBlur(5)).point(lambda value: int(255 - abs(value - 128) * .9))
    light = Image.radial_gradient("L").resize(ground.size).point(lambda value: 255 - value // 3)
    body = Image.new("RGB", ground.size, COLORS[color])
    for shade in (folds, light):
        body = ImageChops.multiply(body, Image.merge("RGB", [shade] * 3))
    ground.paste((120, 120, 125), (6, 8), mask.filter(ImageFilter.GaussianBlur(8)).point(lambda value: value // 4))
    ground.paste(body, (0, 0), mask)
    noise = grain(seed + 50).point(lambda value: 124 + value // 32)
    return ImageChops.add(ground, Image.merge("RGB", [noise] * 3), 1, -128)


def through(image: Image.Image, format: str, **options) -> Image.Image:
    file = io.BytesIO()
    image.save(file, format, **options)
    return Image.open(file)


EDITS = {
    "JPEG at quality 40": lambda image: through(image, "JPEG", quality=40),
    "JPEG at quality 20": lambda image: through(image, "JPEG", quality=20),
    "WebP": lambda image: through(image, "WEBP", quality=60),
    "64 colours": lambda image: through(image.quantize(64), "GIF"),
    "half size": lambda image: image.resize((SIDE // 2, SIDE // 2), Image.Resampling.LANCZOS),
    "80 pixels": lambda image: through(image.resize((80, 80), Image.Resampling.BICUBIC), "JPEG", quality=80),
    "enlarged": lambda image: image.resize((SIDE * 2, SIDE * 2), Image.Resampling.BICUBIC),
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.05),
    "more contrast": lambda image: ImageEnhance.Contrast(image).enhance(1.06),
    "sharpened": lambda image: ImageEnhance.Sharpness(image).enhance(2),
    "with alpha": lambda image: image.convert("RGBA"),
}


@pytest.fixture(scope="module")
def pictures():
    return {(shape, color): product(shape, color) for shape in SHAPES for color in COLORS}


@pytest.fixture(scope="module")
def likenesses(pictures):
    return {key: likeness(picture) for key, picture in pictures.items()}


@pytest.mark.parametrize("edit", EDITS)
def test_the_same_picture_in_another_guise_is_alike(pictures, likenesses, edit):
    missed = [(shape, color) for (shape, color), picture in pictures.items() if color in ("red", "black", "white")
              and not alike(likenesses[shape, color], likeness(EDITS[edit](picture)))]

    assert missed == []


def test_no_two_colours_of_one_product_are_alike(likenesses):
    merged = [(shape, one, other) for shape in SHAPES for one, other in itertools.combinations(COLORS, 2)
              if alike(likenesses[shape, one], likenesses[shape, other])]

    assert merged == []


def test_different_products_of_one_colour_are_not_alike(likenesses):
    merged = [(one, other, color) for color in COLORS for one, other in itertools.combinations(SHAPES, 2)
              if alike(likenesses[one, color], likenesses[other, color])]

    assert merged == []


@pytest.mark.parametrize("orientation", range(1, 9))
def test_likeness_is_that_of_the_upright_picture(orientation):
    upright = product("shoe", "blue").resize((240, 160))
    exif = Image.Exif()
    exif[0x0112] = orientation
    back = {1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 8, 7: 7, 8: 6}[orientation]
    undo = Image.Exif()
    undo[0x0112] = back
    stored = through(upright, "PNG", exif=undo)
    stored.getexif()
    stored = ImageOps.exif_transpose(stored)

    glance = upright_glance(stored, orientation)

    assert glance.size == upright.size
    assert alike(likeness(glance), likeness(upright))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "LAB"])
@pytest.mark.parametrize("size", [(1, 1), (1, 900), (900, 1), (31, 33)])
def test_every_mode_and_size_has_a_likeness(mode, size):
    found = likeness(Image.new(mode, size))

    assert 0 <= found.luma < 1 << 64
    assert 0 <= found.color < 1 << 64


def blank(kind: str) -> Image.Image:
    if kind == "scan":  # paper with the grain of a scanner
        grains = random.Random(1).randbytes(480_000)
        return Image.frombytes("L", (800, 600), bytes(235 + value % 16 for value in grains))
    if kind == "transparent":
        return Image.new("RGBA", (400, 300), (200, 0, 0, 0))
    return Image.new("RGB", (4000, 3000), kind)


@pytest.mark.parametrize("kind", ["white", "black", "red", "scan", "transparent"])
def test_a_picture_with_nothing_on_it_is_nearly_blank(kind):
    assert nearly_blank(blank(kind))


def test_a_small_product_is_not_blank():
    picture = blank("white")
    ImageDraw.Draw(picture).ellipse((1900, 1400, 2030, 1530), fill=(150, 140, 120))  # an ear stud: a thousandth

    assert not nearly_blank(picture)


def test_a_white_product_before_white_is_not_blank():
    assert not nearly_blank(product("bottle", "white"))
