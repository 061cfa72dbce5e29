"""JPEG: written by libjpeg-turbo at any quality, whole or in between, in the smaller of two scan orders.

Measured on 12 MP photographs: optimised Huffman tables save 2 to 9 % of the bytes and cost twice
the time of a plain encode (70 ms for 30); progressive scans save another 4 to 6 % on detailed
pictures, cost twice that again, and lose 1 to 2 % on smooth ones. So tables are always optimised,
and the order of scans is chosen by trying both on a sample of the picture.
"""

from __future__ import annotations

import io
import math
from functools import lru_cache
from typing import Literal

from PIL import Image
from PIL.ImageFile import MAXBLOCK

from imagepipe.asset import Pixels
from imagepipe.codecs.sampling import strips

__all__ = ["FINE_CHROMA", "MAX_SIDE", "PILLOW_ROOM", "Coding", "choose_coding", "default_subsampling", "fine_chroma",
           "jpeg_tables", "tidy_for_jpeg", "write_jpeg"]

#: Of a side, in pixels: libjpeg takes no more (jmorecfg.h, JPEG_MAX_DIMENSION).
MAX_SIDE = 65_500

# The example tables of ITU-T T.81, annex K.1, row by row: what libjpeg scales by its quality.
_LUMA = (16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29,
         51, 87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92, 49, 64, 78, 87, 103, 121,
         120, 101, 72, 92, 95, 98, 112, 100, 103, 99)
_CHROMA = (17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99, 24, 26, 56, *[99] * 5, 47, 66, *[99] * 38)

#: From this quality on, halved chroma is the most visible loss: at the same bytes full chroma scores higher, by 2.4
#: (ssimulacra2, 10 pictures, from -1.4 to 19); below it, finer tables for halved chroma do.
FINE_CHROMA = 85
#: How the coefficients are coded: `plain` is with the tables of the standard.
Coding = Literal["progressive", "optimised", "plain"]

_OPTIMISED: tuple[Coding, ...] = ("progressive", "optimised")

# Pillow gives libjpeg a buffer of 2 bytes a pixel, and at least MAXBLOCK, which has to hold the whole file if it is
# optimised: noise in full chroma needs up to 4 bytes, fails, and makes libjpeg complain on standard error.
PILLOW_ROOM = 1.8


@lru_cache(maxsize=256)
def jpeg_tables(quality: float) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the tables for luma and chroma, row by row: libjpeg's at whole qualities, and their like in between."""
    scale = 5000 / quality if quality < 50 else 200 - 2 * quality
    if quality == int(quality):
        scale = int(scale)  # as libjpeg does

    def scaled(table: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(min(255, max(1, int((value * scale + 50) // 100))) for value in table)

    return scaled(_LUMA), scaled(_CHROMA)


def default_subsampling(quality: float, pixels: Pixels) -> str:
    """Return the chroma subsampling for `quality`: finer than 4:2:0 where the source's was."""
    return (pixels.subsampling or "4:4:4") if quality >= fine_chroma(pixels) else "4:2:0"


def fine_chroma(pixels: Pixels) -> float:
    """Return the least quality at which chroma finer than 4:2:0 is kept; `math.inf`: the picture never had it.

    A JPEG that had it at a lower quality keeps it there too: its colours would else be visibly worse.
    """
    if pixels.subsampling is None:
        return FINE_CHROMA
    return min(FINE_CHROMA, pixels.quality or FINE_CHROMA) if pixels.subsampling in ("4:4:4", "4:2:2") else math.inf


def tidy_for_jpeg(image: Image.Image) -> Image.Image:
    """Return the picture in a mode that a JPEG holds; transparent ones are laid on white."""
    if image.mode in ("L", "RGB", "CMYK"):
        return image
    if image.mode in ("LA", "RGBA", "PA") or (image.mode == "P" and image.has_transparency_data):
        whole = image.convert("RGBA")
        ground = Image.new("RGBA", whole.size, "white")
        ground.alpha_composite(whole)
        return ground.convert("L" if image.mode == "LA" else "RGB")
    return image.convert("L" if image.mode == "1" else "RGB")


def choose_coding(image: Image.Image, quality: float, subsampling: str) -> Coding:
    """Return the coding that makes this picture smallest, by trying a sample of it."""
    sample = strips(image, 1 << 18)
    plain = len(write_jpeg(sample, quality, subsampling, "plain"))
    if plain > MAXBLOCK and plain > PILLOW_ROOM * sample.width * sample.height:
        return "plain"
    sizes = {coding: len(write_jpeg(sample, quality, subsampling, coding)) for coding in _OPTIMISED}
    return min(_OPTIMISED, key=sizes.__getitem__)


def write_jpeg(image: Image.Image, quality: float, subsampling: str, coding: Coding, *, icc: bytes | None = None,
               exif: bytes = b"", xmp: bytes = b"") -> bytes:
    """Return `image`, of mode `L`, `RGB` or `CMYK`, as a JPEG with nothing but what is named here.

    `quality` is from 1 to 100, not necessarily whole.
    """
    luma, chroma = jpeg_tables(quality)
    out = io.BytesIO()
    image.save(out, "JPEG", qtables=[luma, chroma] if image.mode == "RGB" else [luma], subsampling=subsampling,
               optimize=coding == "optimised", progressive=coding == "progressive", icc_profile=icc or None,
               exif=b"Exif\0\0" + exif if exif else b"", xmp=xmp, comment=b"")
    return out.getvalue()
