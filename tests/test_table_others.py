"""The table: JPEG 2000, PSD, TGA, ICO and the family of PPM."""

from __future__ import annotations

import io
from collections.abc import Iterator

import numpy as np
import pytest
import table_others as make
from other_decoders import Exiftool, exiftool  # noqa: F401 - a fixture
from pictures import xmp
from PIL import Image
from table_cells import COLOUR, ROUNDED, Cell, Near, converted, exact, look, refused
from table_pictures import (
    BLACK_OR_WHITE,
    GREY,
    INDICES,
    PALETTE,
    PATCHES,
    SCENE,
    SOFT,
    by_magick,
    deep,
    grey,
    inks_by_vips,
)
from table_png import png, private_png

BILEVEL = BLACK_OR_WHITE * np.uint8(255)
FIVE_BITS = Near(0.5, 1, 1)  #: Programs round what they make of them differently.
FEW = PALETTE[INDICES]


def others() -> Iterator[Cell]:
    yield converted("JPEG 2000", by_magick(SCENE, "-quality", "100", "jp2:-"), "jpeg", SCENE)
    yield converted("JPEG 2000, a bare stream", by_magick(SCENE, "-quality", "100", "j2k:-"), "jpeg", SCENE)
    yield converted("JPEG 2000 by Pillow, private", lambda: jpeg_2000(SCENE) + xmp_box(), "jpeg", SCENE)
    yield exact("JPEG 2000, alpha", lambda: jpeg_2000(SOFT), "png", SOFT)
    yield exact("JPEG 2000 to PNG", lambda: jpeg_2000(SCENE), "png", SCENE, settings={"format": "png"})
    yield refused("JPEG 2000, cut", lambda: jpeg_2000(SCENE)[:600], "corrupt")
    yield converted("PSD", make.psd, "jpeg", SCENE)
    yield converted("PSD, runs", lambda: make.psd(runs=True), "jpeg", SCENE)
    yield converted("PSD of 16 bits", lambda: make.psd(deep(SCENE), depth=16), "jpeg", SCENE)
    yield exact("PSD to PNG", lambda: make.psd(runs=True), "png", SCENE, settings={"format": "png"})
    yield converted("PSD grey", lambda: make.psd(GREY, mode=1), "jpeg", GREY)
    inks = np.dstack([255 - PATCHES, grey(PATCHES) // 4])
    yield converted("PSD of inks", lambda: make.psd(255 - inks, mode=4), "png", inks_by_vips(inks, None), near=COLOUR)
    yield converted("PSD by ImageMagick", by_magick(SCENE, "psd:-"), "jpeg", SCENE)
    yield refused("PSD, cut", lambda: make.psd()[:-500], "corrupt")
    yield from targas()
    yield from icons()
    yield from ppms()


def targas() -> Iterator[Cell]:
    ways = {"": {}, ", top-down": {"top_down": True}, ", runs": {"runs": True},
            ", runs, top-down": {"runs": True, "top_down": True}, ", leftwards": {"leftwards": True}}
    for name, options in ways.items():
        yield converted(f"TGA{name}", lambda options=options: make.tga(**options), "jpeg", SCENE, suffix=".tga")
        yield exact(f"TGA to PNG{name}", lambda options=options: make.tga(**options), "png", SCENE, suffix=".tga",
                    settings={"format": "png"})
        yield exact(f"TGA of 32 bits{name}", lambda options=options: make.tga(SOFT, bits=32, **options), "png", SOFT,
                    suffix=".tga")
        yield exact(f"TGA of 16 bits{name}", lambda options=options: make.tga(bits=16, **options), "png",
                    make.spread(SCENE), suffix=".tga", settings={"format": "png"}, near=FIVE_BITS)
        yield exact(f"TGA grey{name}", lambda options=options: make.tga(GREY, bits=8, **options), "png", GREY,
                    suffix=".tga", settings={"format": "png"})
        yield exact(f"TGA of a palette{name}",
                    lambda options=options: make.tga(INDICES[..., None], bits=8, palette=PALETTE, **options), "png",
                    FEW, suffix=".tga")
    yield exact("TGA of a palette that starts at 50", lambda: make.tga(
        INDICES[..., None], bits=8, palette=PALETTE, first=50), "png", FEW, suffix=".tga")
    yield exact("TGA of a palette of 16 bits", lambda: make.tga(
        INDICES[..., None], bits=8, palette=PALETTE, entry=16), "png", make.spread(PALETTE)[INDICES], suffix=".tga",
                near=FIVE_BITS)
    yield converted("TGA grey to JPEG", lambda: make.tga(GREY, bits=8), "jpeg", GREY, suffix=".tga")


def icons() -> Iterator[Cell]:
    small, large = SOFT[:16, :16], SOFT[:32, :32]
    yield exact("ICO of a bitmap and a PNG, which is larger",
                lambda: make.ico((16, make.icon_bitmap(small)), (32, private_icon(large))), "png", large)
    yield exact("ICO of a PNG and a bitmap, which is larger",
                lambda: make.ico((16, private_icon(small)), (32, make.icon_bitmap(large))), "png", large)
    clear = np.add.outer(np.arange(32), np.arange(32)) < 20
    alpha = np.where(clear, 0, 255).astype(np.uint8)
    indices = INDICES[:32, :32]
    yield exact("ICO of 24 bits, with a mask", lambda: make.ico(
        (32, make.icon_bitmap(SCENE[:32, :32], bits=24, clear=clear))), "png", np.dstack([SCENE[:32, :32], alpha]))
    yield exact("ICO of 32 bits, alpha not filled in, with a mask", lambda: make.ico((32, make.icon_bitmap(
        np.dstack([SCENE[:32, :32], alpha * 0]), clear=clear))), "png", np.dstack([SCENE[:32, :32], alpha]))
    for bits in (1, 4, 8):
        palette, shown = PALETTE[::64 >> bits or 1][:2 ** bits], indices >> max(0, 6 - bits)
        yield exact(f"ICO of {bits} bits, with a mask", lambda bits=bits, palette=palette, shown=shown: make.ico(
            (32, make.icon_bitmap(shown, bits=bits, palette=palette, clear=clear))), "png",
            np.dstack([palette[shown], alpha]))
    yield exact("ICO of 24 bits, with a mask of nothing", lambda: make.ico(
        (32, make.icon_bitmap(SCENE[:32, :32], bits=24))), "png", SCENE[:32, :32], settings={"format": "png"})


def ppms() -> Iterator[Cell]:
    truths = {"P1": BILEVEL, "P2": GREY, "P3": SCENE, "P4": BILEVEL, "P5": GREY, "P6": SCENE, "Pf": GREY}
    for kind, truth in truths.items():
        lossless = kind in ("P1", "P4")
        yield (exact if lossless else converted)(f"PPM {kind}", lambda kind=kind: make.ppm(kind),
                                                 "png" if lossless else "jpeg", truth)
        if kind not in ("P1", "P4", "Pf"):
            yield exact(f"PPM {kind} to PNG", lambda kind=kind: make.ppm(kind), "png", truth,
                        settings={"format": "png"})
            for most in (100, 31, 1023, 65535):
                scaled = np.rint(np.rint(truth.astype(float) * most / 255) * 255 / most).astype(np.uint8)
                yield (exact if most < 256 else converted)(
                    f"PPM {kind} to PNG, of values up to {most}", lambda kind=kind, most=most: make.ppm(kind, most),
                    "png", scaled, near=ROUNDED, settings={"format": "png"})
    for name, array in {"GRAYSCALE": GREY, "RGB": SCENE, "GRAYSCALE_ALPHA": np.dstack([GREY, SOFT[..., 3]]),
                        "RGB_ALPHA": SOFT, "BLACKANDWHITE": BILEVEL}.items():
        yield exact(f"PAM {name}", lambda array=array, name=name: make.pam(
            array, name, 1 if name == "BLACKANDWHITE" else 255), "png", array, settings={"format": "png"})
    yield converted("PAM of 16 bits, alpha", lambda: make.pam(SOFT, "RGB_ALPHA", 65535), "png", SOFT, near=ROUNDED)
    for order in "<>":
        yield converted(f"PFM {order}", lambda order=order: make.pfm(order=order), "jpeg", SCENE)
        yield converted(f"PFM {order} to PNG", lambda order=order: make.pfm(order=order), "png", SCENE, near=ROUNDED,
                        settings={"format": "png"})
    yield refused("PPM, cut", lambda: make.ppm("P6")[:-9], "corrupt")


def jpeg_2000(array: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(array).save(out, "JPEG2000", irreversible=False)
    return out.getvalue()


def xmp_box() -> bytes:
    body = bytes.fromhex("be7acfcb97a942e89c71999491e3afac") + xmp()
    return (len(body) + 8).to_bytes(4, "big") + b"uuid" + body


def private_icon(array: np.ndarray) -> bytes:
    return private_png(png(array)).partition(b"IEND")[0] + b"IEND\xaeB`\x82"


@pytest.mark.parametrize("cell", [*others()], ids=lambda cell: cell.name)
def test_what_becomes_of(cell: Cell, exiftool: Exiftool | None) -> None:  # noqa: F811 - the fixture
    look(cell, exiftool)
