"""The table: TIFF."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import pyvips
import table_tiff as make
from other_decoders import Exiftool, exiftool  # noqa: F401 - a fixture
from pictures import CANARY, srgb_profile
from profiles import ADOBE, cmyk_profile, rgb_profile
from table_cells import COLOUR, ROUNDED, SCALED_LOSSY, Cell, converted, exact, fitted, look, refused
from table_pictures import (
    BLACK_OR_WHITE,
    GREY,
    HOLES,
    PATCHES,
    SCENE,
    SIZE,
    SOFT,
    by_magick,
    deep,
    grey,
    inks_by_vips,
    over,
    saved,
    shallow,
    through,
    to_vips,
    turned,
)

WIDE = rgb_profile(ADOBE, 2.2)
INKS = np.dstack([255 - PATCHES, grey(PATCHES) // 4])
BILEVEL = BLACK_OR_WHITE * np.uint8(255)


def tiffs() -> Iterator[Cell]:
    yield from tiffs_by_libvips()
    for name, options in {"little-endian": {}, "big-endian": {"order": ">"}, "planar": {"planar": True},
                          "BigTIFF": {"big": True}, "two pages": {"pages": 2}}.items():
        yield converted(f"TIFF {name}", lambda options=options: make.tiff(**options), "jpeg", SCENE)
    for orientation in range(1, 9):
        yield exact(f"TIFF, orientation {orientation}",
                    lambda orientation=orientation: make.tiff(turned(HOLES, orientation), orientation=orientation),
                    "png", HOLES)
    yield converted("TIFF of 16 bits", lambda: make.tiff(deep(SCENE), bits=16), "jpeg", SCENE)
    yield converted("TIFF of 16 bits to PNG", lambda: make.tiff(deep(SCENE), bits=16), "png", shallow(deep(SCENE)),
                    settings={"format": "png"}, near=ROUNDED)
    yield converted("TIFF of 16 bits, alpha", lambda: make.tiff(deep(SOFT), bits=16, order=">"), "png",
                    shallow(deep(SOFT)), near=ROUNDED)
    yield converted("TIFF grey", lambda: make.tiff(GREY, photometric=1), "jpeg", GREY)
    yield converted("TIFF grey, white is zero", lambda: make.tiff(255 - GREY, photometric=0), "jpeg", GREY)
    yield exact("TIFF black and white", lambda: make.tiff(BLACK_OR_WHITE, photometric=1, bits=1), "png", BILEVEL)
    inks = cmyk_profile()
    profile = {34675: (7, len(inks), inks)}
    yield converted("TIFF of inks", lambda: make.tiff(INKS, photometric=5), "png",
                    inks_by_vips(INKS, None), near=COLOUR)
    yield converted("TIFF of inks, with their profile", lambda: make.tiff(INKS, photometric=5, extra=profile), "png",
                    inks_by_vips(INKS, inks), near=COLOUR)
    wide = {34675: (7, len(WIDE), WIDE)}
    yield converted("TIFF, Adobe RGB", lambda: make.tiff(PATCHES, extra=wide), "png", through(WIDE, PATCHES),
                    near=COLOUR)
    yield converted("TIFF, Adobe RGB, to PNG", lambda: make.tiff(extra=wide), "png", through(WIDE), near=COLOUR,
                    settings={"format": "png"})
    yield converted("TIFF, Adobe RGB, alpha, sideways",
                    lambda: make.tiff(turned(SOFT, 6), orientation=6, extra=wide), "png", near=COLOUR)
    yield converted("TIFF Lab", lab, "jpeg", SCENE)
    yield converted("TIFF over the edge", make.tiff, "jpeg", SCENE, settings={"max_edge": 31},
                    near=SCALED_LOSSY)
    yield fitted("TIFF over budget", make.tiff, "jpeg", truth=SCENE, settings={"max_bytes": 900})
    yield exact("TIFF to WebP", make.tiff, "webp", SCENE, settings={"format": "webp"})
    yield exact("TIFF to PNG", make.tiff, "png", SCENE, settings={"format": "png"})
    yield exact("TIFF, CCITT group 3", by_magick(BILEVEL, "-compress", "Fax", "tiff:-"), "png", BILEVEL)
    yield converted("TIFF by ImageMagick, zip", by_magick(SCENE, "-set", "comment", CANARY.decode(), "-compress", "Zip",
                                                          "tiff:-"), "jpeg", SCENE)
    yield converted("TIFF BigTIFF, big-endian", lambda: make.tiff(big=True, order=">"), "jpeg", SCENE)
    floats = (SCENE / 255).astype(np.float32)
    yield converted("TIFF of floating point, RGB", lambda: saved("tif", floats, interpretation="scrgb"), "jpeg", SCENE)
    yield converted("TIFF with alpha on a colour", lambda: make.tiff(SOFT), "jpeg", over((255, 255, 255)),
                    settings={"background": "white"})
    yield refused("TIFF that no budget holds", make.tiff, "cannot_fit", settings={"max_bytes": 60})
    yield refused("TIFF, cut", lambda: saved("tif", compression="deflate")[:900], "corrupt")


def tiffs_by_libvips() -> Iterator[Cell]:
    for compression in ("none", "lzw", "deflate", "packbits"):
        for predictor in ("none", "horizontal"):
            if predictor == "none" or compression in ("lzw", "deflate"):
                yield converted(f"TIFF {compression}, predictor {predictor}",
                                lambda compression=compression, predictor=predictor: saved(
                                    "tif", compression=compression, predictor=predictor), "jpeg", SCENE)
    yield converted("TIFF of JPEG", lambda: saved("tif", compression="jpeg", Q=95), "jpeg", SCENE)
    yield converted("TIFF of tiles", lambda: saved("tif", tile=True, tile_width=16, tile_height=16), "jpeg", SCENE)
    yield converted("TIFF of tiles of JPEG, BigTIFF",
                    lambda: saved("tif", tile=True, tile_width=32, tile_height=32, bigtiff=True,
                                       compression="jpeg", Q=95), "jpeg", SCENE)
    yield converted("TIFF of smaller and smaller pages",
                    lambda: saved("tif", tile=True, tile_width=16, tile_height=16, pyramid=True), "jpeg", SCENE)
    yield converted("TIFF of 16 bits, deflate, tiles",
                    lambda: saved("tif", deep(SCENE), tile=True, tile_width=16, tile_height=16,
                                       compression="deflate"), "jpeg", SCENE)
    yield exact("TIFF, CCITT group 4", lambda: saved("tif", BILEVEL, compression="ccittfax4", bitdepth=1), "png",
                BILEVEL)
    yield exact("TIFF, alpha, LZW", lambda: saved("tif", SOFT, compression="lzw"), "png", SOFT)
    floats = (GREY / 255).astype(np.float32)
    yield converted("TIFF of floating point, grey", lambda: saved("tif", floats, interpretation="b-w"), "png|jpeg",
                    GREY)


def lab() -> bytes:
    """CIE Lab of 8 bits, as Photoshop writes it: a and b with a sign."""
    image = to_vips(SCENE)
    image.set_type(pyvips.GValue.blob_type, "icc-profile-data", srgb_profile())
    image = image.icc_import(pcs="lab", intent="relative", embedded=True)  # under D50, as profiles and TIFF have it
    array = np.frombuffer(image.write_to_memory(), np.float32).reshape(SIZE[1], SIZE[0], 3)
    lightness = np.rint(array[..., :1] * 2.55).astype(np.uint8)
    return make.tiff(np.dstack([lightness, np.rint(array[..., 1:]).astype(np.int8).view(np.uint8)]), photometric=8)


@pytest.mark.parametrize("cell", [*tiffs()], ids=lambda cell: cell.name)
def test_what_becomes_of(cell: Cell, exiftool: Exiftool | None) -> None:  # noqa: F811 - the fixture
    look(cell, exiftool)
