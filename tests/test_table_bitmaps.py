"""The table: BMP, WBMP and XBM, which become PNG without loss."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import table_bmp as make
from other_decoders import Exiftool, exiftool  # noqa: F401 - a fixture
from pictures import CANARY, srgb_profile
from profiles import ADOBE, rgb_profile
from table_cells import COLOUR, ROUNDED, SAME, SCALED, Cell, converted, exact, fitted, look, refused
from table_pictures import BLACK_OR_WHITE, HOLES, SCENE, by_magick, through

WIDE = rgb_profile(ADOBE, 2.2)
BILEVEL = BLACK_OR_WHITE * np.uint8(255)


def bitmaps() -> Iterator[Cell]:
    for bits in (1, 2, 4, 8, 24, 32):
        colours = make.bmp_colours(bits)
        yield exact(f"BMP of {bits} bits", lambda bits=bits: make.bmp(bits), "png", colours)
        yield exact(f"BMP of {bits} bits, top-down, something behind its end",
                    lambda bits=bits: make.bmp(bits, top_down=True) + CANARY, "png", colours)
        if bits <= 8 or bits == 24:
            for head in (12, 16, 64):
                yield exact(f"BMP of {bits} bits, OS/2, header of {head} bytes",
                            lambda bits=bits, head=head: make.bmp(bits, head=head), "png", colours)
    for bits, coded in ((8, 1), (4, 2)):
        yield exact(f"BMP of {bits} bits, runs", lambda bits=bits, coded=coded: make.bmp(bits, coded=coded), "png",
                    make.bmp_colours(bits))
        yield exact(f"BMP of {bits} bits, runs, as they stand, and jumps",
                    lambda bits=bits, coded=coded: make.bmp(bits, coded=coded, mixed=True), "png",
                    make.bmp_palette(bits)[make.with_gap(make.bmp_indices(bits))])
    yield from bitmaps_of_masks()
    yield exact("BMP V5 with an sRGB profile", lambda: make.bmp(24, head=124, profile=srgb_profile()), "png", SCENE)
    yield converted("BMP V5, Adobe RGB", lambda: make.bmp(24, head=124, profile=WIDE), "png", through(WIDE),
                    near=COLOUR)
    yield exact("BMP V5 with a profile that is none", lambda: make.bmp(24, head=124, profile=CANARY * 40), "png", SCENE)
    yield converted("BMP over the edge", lambda: make.bmp(24), "png", SCENE, settings={"max_edge": 30}, near=SCALED)
    yield fitted("BMP over budget", lambda: make.bmp(24), "webp|jpeg", truth=SCENE, settings={"max_bytes": 900})
    yield converted("BMP to JPEG", lambda: make.bmp(24), "jpeg", SCENE, settings={"format": "jpeg"})
    yield exact("BMP to WebP", lambda: make.bmp(32, head=124, masks=make.ARGB), "webp", HOLES,
                settings={"format": "webp"})
    yield exact("BMP by ImageMagick", by_magick(SCENE, "bmp3:-"), "png", SCENE)
    yield exact("BMP by ImageMagick, its own version", by_magick(HOLES, "bmp:-"), "png", HOLES)
    yield exact("WBMP", make.wbmp, "png", BILEVEL, suffix=".wbmp")
    yield exact("WBMP, something behind its end", lambda: make.wbmp() + CANARY, "png", BILEVEL, suffix=".wbmp")
    yield exact("XBM", make.xbm, "png", BILEVEL)
    yield exact("XBM of X10", lambda: make.xbm(x10=True), "png", BILEVEL)
    yield exact("XBM with a hot spot", lambda: make.xbm(hot=True), "png", BILEVEL)
    yield exact("XBM to WebP", make.xbm, "webp", BILEVEL, settings={"format": "webp"})
    yield refused("BMP, cut", lambda: make.bmp(24)[:-100], "corrupt")
    yield refused("BMP of runs, cut", lambda: make.bmp(8, coded=1)[:-100], "corrupt")
    yield refused("WBMP, cut", lambda: make.wbmp()[:-3], "corrupt", suffix=".wbmp")
    yield refused("XBM, cut", lambda: make.xbm()[:-30], "corrupt")
    yield refused("BMP, too many bytes", lambda: make.bmp(24), "too_large", settings={"max_source_bytes": 1000})


def bitmaps_of_masks() -> Iterator[Cell]:
    """Channels of other than 8 bits, at other places, with alpha."""
    yield exact("BMP of 16 bits", lambda: make.bmp(16), "png", make.masked(make.RGB555))
    for name, bits, masks in (("5-6-5", 16, make.RGB565), ("5-5-5", 16, make.RGB555), ("8-8-8", 32, make.ARGB[:3]),
                              ("8-8-8, red lowest", 32, make.ABGR[:3]), ("10-10-10", 32, make.DEEP)):
        for head in (40, 108, 124):
            yield (converted if masks == make.DEEP else exact)(
                f"BMP of {bits} bits, {name}, header of {head} bytes",
                lambda bits=bits, masks=masks, head=head: make.bmp(bits, masks=masks, head=head), "png",
                make.masked(masks), near=ROUNDED if masks == make.DEEP else SAME)
    for name, bits, masks in (("8-8-8-8", 32, make.ARGB), ("8-8-8-8, red lowest", 32, make.ABGR),
                              ("4-4-4-4", 16, make.ARGB4444)):
        for head in (56, 108, 124):
            for top_down in (False, True):
                yield exact(f"BMP of {bits} bits, {name}, header of {head} bytes{', top-down' if top_down else ''}",
                            lambda bits=bits, masks=masks, head=head, top_down=top_down: make.bmp(
                                bits, masks=masks, head=head, top_down=top_down), "png", make.masked(masks))


@pytest.mark.parametrize("cell", [*bitmaps()], ids=lambda cell: cell.name)
def test_what_becomes_of(cell: Cell, exiftool: Exiftool | None) -> None:  # noqa: F811 - the fixture
    look(cell, exiftool)
