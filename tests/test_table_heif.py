"""The table: HEIC and AVIF."""

from __future__ import annotations

import io
from collections.abc import Iterator

import numpy as np
import pytest
from other_decoders import Exiftool, exiftool  # noqa: F401 - a fixture
from pictures import exif, xmp
from PIL import Image
from profiles import ADOBE, rgb_profile
from table_cells import FLAT, SCALED_LOSSY, Cell, Near, converted, exact, fitted, look, refused
from table_pictures import GREY, HOLES, PATCHES, RAMP, SCENE, deep, film, moving, saved, through, turned

WIDE = rgb_profile(ADOBE, 2.2)
WELL = Near(1, 5, 9)  #: What is coded once, at a quality of 95.


def heif() -> Iterator[Cell]:
    """HEIC and AVIF."""
    yield converted("HEIC", lambda: heic(SCENE), "jpeg", SCENE)
    upright = xmp().replace(b'tiff:Orientation="6"', b"")  # which the encoder would turn it by
    yield converted("HEIC, private", lambda: heic(SCENE, exif=exif(1), xmp=upright), "jpeg", SCENE)
    yield exact("HEIC, alpha", lambda: heic(HOLES), "png", HOLES, near=WELL)
    yield converted("HEIC grey", lambda: heic(GREY), "jpeg", GREY)
    for orientation in range(2, 9):
        yield converted(f"HEIC, orientation {orientation}",
                        lambda orientation=orientation: heic(turned(SCENE, orientation), exif=exif(orientation)),
                        "jpeg", SCENE)
    yield converted("HEIC of 10 bits", lambda: heic(deep(SCENE)), "jpeg", SCENE)
    yield converted("HEIC of 10 bits to PNG", lambda: heic(deep(SCENE)), "png", SCENE, near=WELL,
                    settings={"format": "png"})
    yield converted("HEIC of 12 bits", lambda: heic_of_12_bits(SCENE), "jpeg", SCENE)
    yield converted("HEIC of 12 bits to PNG", lambda: heic_of_12_bits(SCENE), "png", SCENE, near=WELL,
                    settings={"format": "png"})
    yield converted("HEIC of 12 bits, alpha", lambda: heic_of_12_bits(HOLES), "png", HOLES, near=WELL)
    yield converted("HEIC with a film", lambda: motion(heic(SCENE)), "jpeg", SCENE)
    yield converted("HEIC, Adobe RGB", lambda: heic(PATCHES, icc_profile=WIDE), "jpeg", through(WIDE, PATCHES),
                    near=FLAT)
    yield converted("HEIC of two pictures, the second is the primary", heic_of_two, "jpeg", SCENE)
    yield converted("HEIC over the edge", lambda: heic(SCENE), "jpeg", SCENE, settings={"max_edge": 30},
                    near=SCALED_LOSSY)
    yield fitted("HEIC over budget", lambda: heic(SCENE), "jpeg", truth=SCENE, settings={"max_bytes": 900})
    yield refused("HEIC, cut", lambda: heic(SCENE)[:-300], "corrupt")
    yield converted("AVIF, Adobe RGB", lambda: avif(PATCHES, profile=WIDE), "jpeg", through(WIDE, PATCHES), near=FLAT)
    yield exact("AVIF to PNG", lambda: avif(SCENE), "png", SCENE, near=WELL, settings={"format": "png"})
    for bits in (8, 10, 12):
        array = SCENE if bits == 8 else deep(SCENE)
        yield converted(f"AVIF of {bits} bits", lambda array=array, bits=bits: avif(array, bitdepth=bits), "jpeg",
                        SCENE)
        yield converted(f"AVIF of {bits} bits, private, sideways",
                        lambda array=array, bits=bits: avif(turned(array, 6), bitdepth=bits, exif=exif(6)), "jpeg",
                        SCENE)
    yield exact("AVIF, alpha", lambda: avif(HOLES), "png", HOLES, near=WELL)
    yield exact("AVIF in motion", avif_in_motion, "webp",
                np.concatenate([RAMP[frame] for frame in moving()]), frames=3, near=WELL)
    yield converted("AVIF over the edge", lambda: avif(SCENE), "jpeg", SCENE, settings={"max_edge": 30},
                    near=SCALED_LOSSY)
    yield refused("AVIF, cut", lambda: avif(SCENE)[:-200], "corrupt")


def heic(array: np.ndarray, **options: object) -> bytes:
    pillow_heif = pytest.importorskip("pillow_heif")
    height, width, bands = array.shape
    mode = {1: "L", 3: "RGB", 4: "RGBA"}[bands] + (";16" if array.dtype == np.uint16 else "")
    file = io.BytesIO()
    picture = pillow_heif.from_bytes(mode, (width, height), np.ascontiguousarray(array).tobytes())
    picture.save(file, quality=95, chroma=444, **options)
    return file.getvalue()


def heic_of_12_bits(array: np.ndarray) -> bytes:
    pillow_heif = pytest.importorskip("pillow_heif")
    pillow_heif.options.SAVE_HDR_TO_12_BIT = True
    try:
        return heic(deep(array))
    finally:
        pillow_heif.options.SAVE_HDR_TO_12_BIT = False


def motion(data: bytes) -> bytes:
    """A HEIC with a film in a box of its own, as Android's camera writes it."""
    return data + (8 + len(film())).to_bytes(4, "big") + b"mpvd" + film()


def heic_of_two() -> bytes:
    pillow_heif = pytest.importorskip("pillow_heif")
    file = pillow_heif.from_pillow(Image.fromarray(255 - SCENE))
    file.add_from_pillow(Image.fromarray(SCENE))
    out = io.BytesIO()
    file.save(out, quality=95, chroma=444, primary_index=1)
    return out.getvalue()


def avif(array: np.ndarray, *, exif: bytes = b"", profile: bytes = b"", **options: object) -> bytes:
    """By libvips; EXIF goes in as it stands."""
    fields: dict[str, object] = {"exif-data": b"Exif\0\0" + exif, "orientation": 6} if exif else {}
    if profile:
        fields["icc-profile-data"] = profile
    return saved("avif", array, fields=fields, compression="av1", Q=95, subsample_mode="off", effort=1, **options)


def avif_in_motion() -> bytes:
    first, *others = (Image.fromarray(RAMP[frame]) for frame in moving())
    out = io.BytesIO()
    first.save(out, "AVIF", save_all=True, append_images=others, duration=70, quality=95, subsampling="4:4:4")
    return out.getvalue()


@pytest.mark.parametrize("cell", [*heif()], ids=lambda cell: cell.name)
def test_what_becomes_of(cell: Cell, exiftool: Exiftool | None) -> None:  # noqa: F811 - the fixture
    look(cell, exiftool)
