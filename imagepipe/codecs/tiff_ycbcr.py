"""TIFFs of brightness and two differences of colour (YCbCr), not compressed as JPEG (TIFF 6.0, sections 20 and 21)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from PIL import Image

from imagepipe import budget
from imagepipe.codecs.tiff import Page
from imagepipe.codecs.tiff_data import BYTEWISE, Bands, block_bytes

__all__ = ["YCBCR", "is_ours", "paint_ycbcr"]

YCBCR = 6
_SUBSAMPLING, _COEFFICIENTS, _REFERENCE = 530, 529, 532
_ROOM = 12  # bytes a pixel: the result, and what is made of it later
_FIXED = 32_000_000  # bytes: the numbers of a few rows, and what is made of them


def is_ours(page: Page) -> bool:
    """Say whether a picture is one of these, with samples that are stored together."""
    across, down = _subsampling(page)
    return (page.photometric == YCBCR and page.compression in BYTEWISE and (page.bits, page.samples) == (8, 3)
            and page.numbers == 1 and not page.separate and page.predictor == 1 and {across, down} <= {1, 2, 4}
            and (page.block[1] % down == 0 or page.block[1] == page.height)  # other strips have no whole blocks
            and (not page.tiled or page.block[0] % across == page.block[1] % down == 0))


def _subsampling(page: Page) -> tuple[int, int]:
    """Return how many pixels beside and below each other share a colour."""
    stated = page.tags.get(_SUBSAMPLING, ())
    return (stated[0], stated[1]) if len(stated) == 2 else (2, 2)


def paint_ycbcr(data: bytes, page: Page, *, accept_damaged: bool = False) -> tuple[Image.Image, str]:
    """Return the picture as RGB, as stored, and what is damaged about it.

    What is stored are blocks of pixels: the brightness of each, then the two differences that they share.
    """
    across, down = _subsampling(page)
    blocks = replace(page, width=-(-page.width // across), height=-(-page.height // down), samples=across * down + 2,
                     block=(-(-page.block[0] // across), -(-page.block[1] // down)))
    budget.reserve(len(data) * 2 + 3 * block_bytes(blocks) + _ROOM * page.width * page.height + _FIXED)
    bands = Bands(data, blocks, across * down + 2, accept_damaged)
    red, green, blue = _ratios(page, _COEFFICIENTS, (0.299, 0.587, 0.114))
    low_y, high_y, low_b, high_b, low_r, high_r = _ratios(page, _REFERENCE, (0, 255, 128, 255, 128, 255))
    result = np.empty((page.height, page.width, 3), dtype=np.uint8)
    for first, band in bands:
        rows, columns = band.shape[0] * down, band.shape[1] * across
        stored = band[..., :-2].reshape(band.shape[0], band.shape[1], down, across).swapaxes(1, 2)
        bright = (stored.reshape(rows, columns).astype(np.float32) - low_y) * (255 / ((high_y - low_y) or 255))
        shared = band[..., -2:].repeat(down, axis=0).repeat(across, axis=1).astype(np.float32)
        to_blue = (shared[..., 0] - low_b) * (127 / ((high_b - low_b) or 127))
        to_red = (shared[..., 1] - low_r) * (127 / ((high_r - low_r) or 127))
        r = bright + to_red * (2 - 2 * red)
        b = bright + to_blue * (2 - 2 * blue)
        g = (bright - red * r - blue * b) / (green or 1)
        top = first * down
        part = result[top:top + rows]
        part[:] = np.clip(np.rint(np.stack((r, g, b), axis=2)), 0, 255)[:len(part), :page.width]
    return Image.fromarray(result), bands.damage


def _ratios(page: Page, tag: int, default: tuple[float, ...]) -> tuple[float, ...]:
    """Return the values of a tag of fractions, or what holds where it is absent or makes no sense."""
    pairs = page.tags.get(tag, ())
    if len(pairs) != 2 * len(default) or not all(pairs[1::2]):
        return default
    return tuple(above / below for above, below in zip(pairs[::2], pairs[1::2], strict=True))
