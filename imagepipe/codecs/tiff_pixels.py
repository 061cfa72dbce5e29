"""The samples of a TIFF as a picture of 8 bits: grey, palette, RGB, CMYK and Lab, and what stands beside them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from imagepipe import budget
from imagepipe.codecs.decode_guard import corrupt
from imagepipe.codecs.decode_modes import FINE, left_over
from imagepipe.codecs.deep import Scale, coded, scale_of_floats, scale_of_integers, to_bytes
from imagepipe.codecs.tiff import Page
from imagepipe.codecs.tiff_data import Bands, block_bytes
from imagepipe.color import is_srgb_profile

__all__ = ["COLORS", "Layout", "layout", "paint"]

#: Photometric interpretation -> the picture's mode without alpha, and the samples of its colours.
COLORS = {0: ("L", 1), 1: ("L", 1), 2: ("RGB", 3), 3: ("P", 1), 5: ("CMYK", 4), 8: ("LAB", 3), 9: ("LAB", 3)}
_PALETTE, _CIE_LAB, _ICC_LAB = 3, 8, 9
_MULTIPLIED, _ALPHA = 1, 2  # of ExtraSamples
_ROOM = 16  # bytes a pixel: the result, what rounding left over, and what is made of it later
_FIXED = 32_000_000  # bytes: the numbers of a few rows, and what is made of them


@dataclass(frozen=True, slots=True)
class Layout:
    """What the samples of a pixel are."""

    mode: str  #: Of the picture, without alpha.
    colors: int  #: So many samples are its colour.
    alpha: int | None  #: Which sample is transparency.
    multiplied: bool  #: The colours are multiplied with it.
    notes: tuple[str, ...]  #: What is left out.


def layout(page: Page) -> Layout:
    """Say what the samples of a picture are, whose photometric interpretation is one of `COLORS`. Raises `Corrupt`."""
    mode, colors = COLORS[page.photometric]
    if page.samples < colors:
        raise corrupt("this TIFF", f"it has {page.samples} samples a pixel where {mode} has {colors}")
    beside = page.samples - colors
    kinds = page.extra[-beside:] if beside else ()
    kinds = (*kinds, *(0,) * (beside - len(kinds)))
    alphas = [place for place, kind in enumerate(kinds) if kind in (_MULTIPLIED, _ALPHA)]
    if not alphas and beside == 1 and not page.extra:  # not stated, against the rules: all programs take it as alpha
        alphas = [0]
    alpha = colors + alphas[0] if alphas else None
    left = beside - (alpha is not None)
    notes = (f"{left} more channel{'s' if left > 1 else ''} (masks, spot colours) left out",) if left else ()
    return Layout("RGB" if mode == "P" else mode, colors, alpha,
                  bool(alphas) and kinds[alphas[0]] == _MULTIPLIED, notes)


def paint(data: bytes, page: Page, *, light: bool = False,
          accept_damaged: bool = False) -> tuple[Image.Image, tuple[str, ...], str]:
    """Return the picture, as stored, what there is to say, and what is damaged about it.

    `light` says that its numbers are amounts of light, which are coded as in sRGB.
    """
    made = layout(page)
    pixels = page.width * page.height
    budget.reserve(len(data) * 2 + 3 * block_bytes(page) + _ROOM * pixels + _FIXED)
    wanted = max(made.colors, 0 if made.alpha is None else made.alpha + 1)
    bands = Bands(data, page, wanted, accept_damaged)
    scale = _scale(page, (band[..., :made.colors] for _, band in bands)) if _is_open(page) else _of_bits(page.bits)
    over = made.alpha is not None and made.mode in ("CMYK", "LAB")  # which have no mode with alpha
    channels = made.colors if page.photometric != _PALETTE else 3
    result = np.empty((page.height, page.width, channels + (made.alpha is not None and not over)), dtype=np.uint8)
    palette = _palette(page) if page.photometric == _PALETTE else None
    exact = (page.bits == 16 and page.numbers == 1 and page.photometric in (1, 2) and not made.multiplied
             and page.icc is not None and not is_srgb_profile(page.icc, "rgb" if page.photometric == 2 else "gray"))
    fine = np.empty((page.height, page.width, channels if exact else 0), dtype=np.uint8)
    codes = np.rint(coded(np.arange(65536) / 65535) * 65535).astype(np.uint16) if exact and light else None
    for top, band in bands:
        rows = slice(top, top + len(band))
        colors = band[..., :made.colors]
        if palette is not None:
            shown = palette[np.minimum(colors[..., 0], len(palette) - 1)]
        elif made.mode == "LAB":
            shown = _lab(colors, page)
        else:
            shown = to_bytes(colors, scale, inverted=page.photometric == 0, light=light)
        if made.alpha is not None:
            alpha = to_bytes(band[..., made.alpha:made.alpha + 1], scale)
            if made.multiplied:
                shown = _divided(colors, band[..., made.alpha:made.alpha + 1], shown, scale, page, light)
            if over:
                shown = _on_paper(shown, alpha, made.mode, made.multiplied)
            else:
                result[rows, :, channels:] = alpha
        result[rows, :, :channels] = shown
        if exact:
            fine[rows] = left_over(colors if codes is None else codes[colors], shown)
    notes = (*made.notes, *scale.notes, *(("laid on white: it has alpha, which is not kept beside "
                                           f"{'inks' if made.mode == 'CMYK' else 'Lab'}",) if over else ()))
    image = _image(result, made.mode)
    if exact:
        image.info[FINE] = _image(fine, made.mode)
    return image, notes, bands.damage


def _image(array: Any, mode: str) -> Image.Image:
    """Return an array of bytes as a picture."""
    if mode in ("CMYK", "LAB"):
        if mode == "LAB":
            array[..., 1:] ^= 128  # Pillow's bytes have a and b signed
        return Image.frombytes(mode, (array.shape[1], array.shape[0]), array.data)
    return Image.fromarray(array[..., 0] if array.shape[2] == 1 else array)


def _is_open(page: Page) -> bool:
    """Say whether it has to be found out which numbers are black and white."""
    if page.photometric in (_PALETTE, _CIE_LAB, _ICC_LAB):
        return False
    return page.numbers == 3 or page.bits > 16 or (page.numbers == 2 and page.bits > 8)


def _scale(page: Page, parts: Iterable[Any]) -> Scale:
    if page.numbers == 3:
        return scale_of_floats(parts)
    return scale_of_integers(parts, page.bits, signed=page.numbers == 2)


def _of_bits(bits: int) -> Scale:
    return Scale(0, (1 << bits) - 1) if bits < 32 else Scale(0, 1)  # of 32 bits there is only Lab that is not whole


def _palette(page: Page) -> Any:
    """Return the colours of a palette, in bytes: rows of red, green, blue. Raises `Corrupt`."""
    size = 1 << page.bits
    if page.bits > 16 or page.numbers != 1 or len(page.colors) < 3 * size:
        raise corrupt("this TIFF", f"its palette has {len(page.colors) // 3} of {size} colours")
    colors = np.array(page.colors[:3 * size], dtype=np.uint32).reshape(3, size).T
    # 16 bits each by the rule; some old programs wrote 8
    return (colors >> 8 if colors.max() > 255 else colors).astype(np.uint8)


def _lab(values: Any, page: Page) -> Any:
    """Return Lab as bytes: L of 0 to 100 as 0 to 255, a and b with 128 for 0.

    TIFF 6.0, section 23, and Adobe's note on it: in CIELab a and b are signed, in ICCLab 16-bit
    numbers are those of ICC profiles of version 2, where L of 100 is 65280. Floating-point numbers, as libvips
    writes them, are L, a and b themselves. The white of all is D50, as the note says and littleCMS agrees to
    within 1; ImageMagick takes D65 and does not adapt it, so its colours are up to 11 of 255 apart.
    """
    if page.numbers == 3:
        exact = np.nan_to_num(values.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
        exact = exact * (2.55, 1, 1) + (0, 128, 128)
    elif page.photometric == _ICC_LAB:
        exact = values / (1 << page.bits - 8)
    else:
        whole, half = 1 << page.bits, 1 << page.bits - 1
        signed = (values.astype(np.int64) ^ (0, half, half)) * (255 / (whole - 1), 256 / whole, 256 / whole)
        exact = signed
    return np.clip(np.rint(exact), 0, 255).astype(np.uint8)


def _divided(colors: Any, alpha: Any, shown: Any, scale: Scale, page: Page, light: bool) -> Any:
    """Return colours that were multiplied with alpha as they were before; CMYK and Lab are left as they are."""
    if shown.shape[-1] not in (1, 3) or page.photometric in (_PALETTE, _CIE_LAB, _ICC_LAB):
        return shown
    with np.errstate(all="ignore"):
        share = (alpha.astype(np.float64) - scale.black) / (scale.white - scale.black)
        before = (colors.astype(np.float64) - scale.black) / (scale.white - scale.black) / share
    before[~np.isfinite(before)] = 0
    return to_bytes(before, Scale(0.0, 1.0), inverted=page.photometric == 0, light=light)


def _on_paper(shown: Any, alpha: Any, mode: str, multiplied: bool) -> Any:
    """Return inks or Lab on white paper: no ink, or the L of 100."""
    share = alpha.astype(np.float64) / 255
    paper = np.array((0, 0, 0, 0) if mode == "CMYK" else (255, 128, 128))
    part = shown if multiplied and mode == "CMYK" else shown * share
    return np.rint(part + paper * (1 - share)).astype(np.uint8)
