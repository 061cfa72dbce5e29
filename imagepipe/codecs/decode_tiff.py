"""TIFF: the picture of a file in 8 bits, upright; what cannot be decoded is named for what it is.

Samples that are compressed without loss are read as numbers (`tiff_data`, `tiff_pixels`,
`tiff_ycbcr`); fax and JPEG are left to Pillow's libtiff, which is given the one picture in a
container of its own; strips of WebP are each a WebP.
"""

from __future__ import annotations

import io
from functools import cache

from PIL import Image, UnidentifiedImageError

from imagepipe.asset import Color
from imagepipe.codecs import tiff
from imagepipe.codecs.decode_guard import corrupt, shielded
from imagepipe.codecs.decode_modes import FINE, opaque, plain
from imagepipe.codecs.header import Header
from imagepipe.codecs.linear import as_light
from imagepipe.codecs.tiff import CCITT, JPEG, OLD_JPEG, WEBP, Page
from imagepipe.codecs.tiff_data import BYTEWISE, readable
from imagepipe.codecs.tiff_jpeg import check
from imagepipe.codecs.tiff_pixels import COLORS, layout, paint
from imagepipe.codecs.tiff_ycbcr import YCBCR, is_ours, paint_ycbcr
from imagepipe.errors import Corrupt, FormatNotAllowed

__all__ = ["decode_tiff", "peek_tiff"]

_NAME = "this TIFF"
_CHANNELS = {"L": "gray", "RGB": "rgb", "P": "palette", "CMYK": "cmyk", "LAB": "lab"}
#: Compressions that nothing here undoes (the registered ones, and those in use), in words.
_COMPRESSIONS = {
    2: "CCITT fax", 3: "fax (CCITT Group 3)", 4: "fax (CCITT Group 4)", 5: "LZW", 6: "JPEG of the old kind", 7: "JPEG",
    8: "Zip", 9: "JBIG", 10: "JBIG", 32766: "NeXT", 32771: "CCITT fax", 32773: "PackBits", 32809: "ThunderScan",
    32895: "IT8", 32896: "IT8", 32897: "IT8", 32898: "IT8", 32908: "Pixar", 32909: "Pixar", 32946: "Zip",
    33003: "JPEG 2000", 33004: "JPEG 2000", 33005: "JPEG 2000", 34661: "JBIG", 34676: "SGI LogLuv",
    34677: "SGI LogLuv", 34712: "JPEG 2000", 34887: "LERC", 34892: "lossy DNG", 34925: "LZMA", 34933: "PNG",
    34934: "JPEG XR", 50000: "Zstandard", 50001: "WebP", 50002: "JPEG XL", 52546: "JPEG XL"}
#: Meanings of the samples that are not shown, in words.
_MEANINGS = {4: "a mask of transparency", 10: "ITU Lab colours", 32803: "the sensor data of a camera",
             34892: "the sensor data of a camera", 32844: "LogL values", 32845: "LogLuv values",
             51177: "a map of depth", 52527: "a semantic mask"}
_PLAIN = "save it as PNG or JPEG, or as TIFF with LZW or Zip compression"
_TURNS = {2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
          5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
          8: Image.Transpose.ROTATE_90}


def peek_tiff(data: bytes) -> Header:
    """Return what a TIFF says of its picture. Raises `Corrupt`, `FormatNotAllowed` for kinds without a decoder."""
    found = tiff.read(data)
    page = found.page
    refuse(page)
    size = (page.width, page.height) if page.orientation < 5 else (page.height, page.width)
    mode = COLORS.get(page.photometric, ("RGB", 3))[0]
    beside = layout(page) if page.photometric in COLORS else None
    pages = ("it has several pages, the first is taken",) if found.pictures > 1 else ()
    return Header(
        "tiff", *size, has_alpha=beside is not None and beside.alpha is not None and mode not in ("CMYK", "LAB"),
        bit_depth=page.bits, channels="bilevel" if mode == "L" and page.bits == 1 else _CHANNELS[mode],
        color=Color(icc=page.icc), notes=pages)


def refuse(page: Page) -> None:
    """Raise `FormatNotAllowed` for what has no decoder, and say what it is."""
    if page.photometric in _MEANINGS:
        raise FormatNotAllowed(f"this TIFF holds {_MEANINGS[page.photometric]}, which cannot be shown here; "
                               "develop or export it as PNG or JPEG")
    if page.photometric not in COLORS and page.photometric != YCBCR:
        raise FormatNotAllowed(f"a TIFF of an unknown kind of colour (photometric {page.photometric}) cannot be "
                               f"decoded here; {_PLAIN}")
    if page.photometric == 5 and page.inks != 1:
        raise FormatNotAllowed("a TIFF of other inks than cyan, magenta, yellow and black cannot be decoded here; "
                               "save it as PNG or JPEG")
    if page.compression in BYTEWISE and not _can(page.compression):
        raise _compressed(page)
    if page.compression not in BYTEWISE and page.compression not in CCITT | {OLD_JPEG, JPEG, WEBP}:
        raise _compressed(page)
    if _by_numbers(page) and page.photometric in (8, 9) and (page.bits, page.numbers) not in ((8, 1), (16, 1), (32, 3)):
        raise _odd(page)
    if page.compression == WEBP and (page.photometric != 2 or page.samples not in (3, 4) or page.separate):
        raise _odd(page)
    fits = page.numbers == 1 and page.bits == (1 if page.compression in CCITT else 8)
    if not _by_numbers(page) and not is_ours(page) and (not fits or page.compression in BYTEWISE):
        raise _odd(page)


def _compressed(page: Page) -> FormatNotAllowed:
    name = _COMPRESSIONS.get(page.compression, f"an unknown (number {page.compression})")
    return FormatNotAllowed(f"a TIFF with {name} compression inside cannot be decoded here; {_PLAIN}")


def _odd(page: Page) -> FormatNotAllowed:
    inside = f" with {_COMPRESSIONS[page.compression]} compression" if page.compression in _COMPRESSIONS else ""
    return FormatNotAllowed(f"a TIFF of {page.depth} (photometric {page.photometric}){inside} cannot be decoded here; "
                            "save it with 8 or 16 bits a channel, or as PNG or JPEG")


def _by_numbers(page: Page) -> bool:
    return page.photometric in COLORS and readable(page)


@cache
def _can(compression: int) -> bool:
    """Say whether Pillow's libtiff was built with a compression: not all are, of those that distributions build."""
    name = BYTEWISE[compression]
    try:
        if name:
            Image.new("L", (1, 1)).save(io.BytesIO(), "TIFF", compression=name)
    except (OSError, ValueError):
        return False
    return True


def decode_tiff(data: bytes, *, accept_damaged: bool = False) -> tuple[Image.Image, tuple[str, ...], bool, Color]:
    """Return the picture, what there is to say, whether it is damaged, and what its numbers mean.

    Raises `Corrupt`, `FormatNotAllowed`, `NeedsMemory`.
    """
    page = tiff.read(data).page
    color, damage = Color(icc=page.icc), ""
    notes: tuple[str, ...] = ()
    if _by_numbers(page):
        icc = as_light(page.icc) if page.icc is not None and page.bits > 8 and page.photometric in (0, 1, 2) else None
        image, notes, damage = paint(data, page, light=icc is not None, accept_damaged=accept_damaged)
        color = Color(icc=icc or page.icc)
    elif is_ours(page):
        image, damage = paint_ycbcr(data, page, accept_damaged=accept_damaged)
    elif page.compression == WEBP:
        image = _of_webps(data, page)
    else:
        image, damage = _by_libtiff(data, page, accept_damaged)
    if image.mode in ("RGBA", "LA") and opaque(image):
        image = image.convert(image.mode[:-1])
    if page.orientation != 1 and page.compression != OLD_JPEG:
        fine = image.info.get(FINE)
        image = image.transpose(_TURNS[page.orientation])
        if fine is not None:
            image.info[FINE] = fine.transpose(_TURNS[page.orientation])
    return image, (*notes, *((f"damaged: {damage}",) if damage else ())), bool(damage), color


def _by_libtiff(data: bytes, page: Page, accept_damaged: bool) -> tuple[Image.Image, str]:
    """Return a picture that libtiff decodes, as stored, but the old kind of JPEG upright; and what is damaged."""
    if page.compression == JPEG and not accept_damaged:
        check(data, page)
    file = _alone(data, page, accept_damaged) if page.compression != OLD_JPEG else page.first(data)
    damage = ""
    try:
        opened = Image.open(io.BytesIO(file), formats=["TIFF"])
    except UnidentifiedImageError:
        raise _odd(page) from None
    with opened as image:
        try:
            with shielded(_NAME, page.width * page.height):
                image.load()
        except Corrupt as error:
            if not accept_damaged or getattr(image, "_im", None) is None:
                raise
            image.tile = []  # what was decoded before the fault stands, and nothing more is tried
            damage = str(error)
        return plain(image), damage


def _alone(data: bytes, page: Page, accept_damaged: bool) -> bytes:
    """Return a TIFF of one picture and nothing that does not show it."""
    wide, high = page.block
    where = {322: ("I", (wide,)), 323: ("I", (high,))} if page.tiled else {278: ("I", (high,))}
    tags: dict[int, tuple[str, tuple[int, ...]]] = {
        256: ("I", (page.width,)), 257: ("I", (page.height,)), 258: ("H", (page.bits,) * page.samples),
        259: ("H", (page.compression,)), 262: ("H", (page.photometric,)), 266: ("H", (2 if page.bits_reversed else 1,)),
        277: ("H", (page.samples,)), 284: ("H", (2 if page.separate else 1,)), 317: ("H", (page.predictor,)), **where}
    if page.extra:
        tags[338] = ("H", page.extra)
    letters = {292: "I", 293: "I", 347: "B", 530: "H", 531: "H"}
    tags |= {tag: (letters[tag], values) for tag, values in page.tags.items() if tag in letters and values}
    blocks = page.parts(data, range(len(page.offsets)))
    cut = any(len(block) < count for block, count in zip(blocks, page.counts, strict=False))
    if not all(blocks) or (cut and not accept_damaged):  # which libtiff would pass over in fax and JPEG
        raise corrupt(_NAME, "a part of its picture is not in the file")
    return tiff.build(page.order, tags, blocks)


def _of_webps(data: bytes, page: Page) -> Image.Image:
    """Return the picture of strips or tiles that are WebPs."""
    across = -(-page.width // page.block[0])
    mode = "RGBA" if page.samples == 4 else "RGB"
    result = Image.new(mode, (page.width, page.height))
    down = -(-page.height // page.block[1])
    for number in range(across * down):
        at = (number % across * page.block[0], number // across * page.block[1])
        with shielded(_NAME), Image.open(io.BytesIO(page.part(data, number)), formats=["WEBP"]) as block:
            seen = (min(page.block[0], page.width - at[0]), min(page.block[1], page.height - at[1]))
            if not (seen[0] <= block.width <= page.block[0] and seen[1] <= block.height <= page.block[1]):
                raise corrupt(_NAME, "a part of its picture is larger or smaller than it says")
            result.paste(block.convert(mode), at)
    return result
