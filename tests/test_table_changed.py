"""The table, continued: types that have to change, BMP to JPEG 2000, and what becomes of them."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import pyvips
import table_pictures as make
from other_decoders import Exiftool, by_vips, magick
from pictures import CANARY, exif, in_png, srgb_profile, xmp
from PIL import Image
from profiles import ADOBE, cmyk_profile, rgb_profile
from table_cells import Cell, converted, exact, fitted, look, refused, untouched
from table_pictures import BLACK_OR_WHITE, GREY, HOLES, INDICES, PALETTE, SCENE, SIZE, SOFT, deep, turned
from test_table import by_magick, exiftool, iccp, over  # noqa: F401 - a fixture

WIDE = rgb_profile(ADOBE, 2.2)
INKS = np.dstack([255 - SCENE, GREY // 4])
BILEVEL = BLACK_OR_WHITE * np.uint8(255)
FEW = PALETTE[INDICES]
MASKS = (0xFF0000, 0xFF00, 0xFF, 0xFF000000)


def bitmaps() -> Iterator[Cell]:
    """BMP, WBMP and XBM become PNG without loss."""
    for bits in (1, 4, 8, 24, 32):
        colours = make.bmp_colours(bits)
        yield exact(f"BMP of {bits} bits", lambda bits=bits: make.bmp(bits), "png", colours)
        yield exact(f"BMP of {bits} bits, top-down, something behind its end",
                    lambda bits=bits: make.bmp(bits, top_down=True) + CANARY, "png", colours)
        if bits <= 8:
            yield exact(f"BMP of {bits} bits, OS/2", lambda bits=bits: make.bmp(bits, head=12), "png", colours)
    yield exact("BMP of 8 bits, runs", lambda: make.bmp(8, coded=1), "png", make.bmp_colours(8))
    yield exact("BMP of 4 bits, runs", lambda: make.bmp(4, coded=2), "png", make.bmp_colours(4))
    yield exact("BMP of 16 bits", lambda: make.bmp(16), "png", SCENE, near=8)
    yield exact("BMP of 16 bits, 5-6-5", lambda: make.bmp(16, masks=(0xF800, 0x7E0, 0x1F)), "png", SCENE, near=8)
    for head, version in ((108, "V4"), (124, "V5")):
        yield exact(f"BMP {version} of 32 bits, alpha", lambda head=head: make.bmp(32, head=head, masks=MASKS), "png",
                    HOLES)
        yield exact(f"BMP {version} of 24 bits", lambda head=head: make.bmp(24, head=head), "png", SCENE)
    yield converted("BMP over the edge", lambda: make.bmp(24), "png", SCENE, settings={"max_edge": 30})
    yield fitted("BMP over budget", lambda: make.bmp(24), "webp|jpeg", truth=lambda _: SCENE,
                 settings={"max_bytes": 900})
    yield converted("BMP to JPEG", lambda: make.bmp(24), "jpeg", SCENE, settings={"format": "jpeg"})
    yield exact("BMP by ImageMagick", by_magick(SCENE, "bmp3:-"), "png", SCENE)
    yield exact("WBMP", make.wbmp, "png", BILEVEL, suffix=".wbmp")
    yield exact("XBM", make.xbm, "png", BILEVEL)
    yield refused("BMP, cut", lambda: make.bmp(24)[:-100], "corrupt")
    yield refused("WBMP, cut", lambda: make.wbmp()[:-3], "corrupt", suffix=".wbmp")


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
    yield converted("TIFF of 16 bits, alpha", lambda: make.tiff(deep(SOFT), bits=16, order=">"), "png", SOFT)
    yield converted("TIFF grey", lambda: make.tiff(GREY, photometric=1), "jpeg", GREY)
    yield converted("TIFF grey, white is zero", lambda: make.tiff(255 - GREY, photometric=0), "jpeg", GREY)
    yield exact("TIFF black and white", lambda: make.tiff(BLACK_OR_WHITE, photometric=1, bits=1), "png", BILEVEL)
    inks = cmyk_profile()
    profile = {34675: (7, len(inks), inks)}
    yield converted("TIFF of inks", lambda: make.tiff(INKS, photometric=5), "jpeg", inks_by_vips(None), near=40)
    yield converted("TIFF of inks, with their profile", lambda: make.tiff(INKS, photometric=5, extra=profile), "jpeg",
                    inks_by_vips(inks))
    wide = {34675: (7, len(WIDE), WIDE)}
    yield converted("TIFF, Adobe RGB", lambda: make.tiff(extra=wide), "jpeg")
    yield converted("TIFF, Adobe RGB, alpha, sideways",
                    lambda: make.tiff(turned(SOFT, 6), orientation=6, extra=wide), "png")
    yield converted("TIFF Lab", lab, "jpeg", SCENE)
    yield converted("TIFF over the edge", make.tiff, "jpeg", SCENE, settings={"max_edge": 31})
    yield fitted("TIFF over budget", make.tiff, "jpeg", truth=lambda _: SCENE, settings={"max_bytes": 700})
    yield exact("TIFF to WebP", make.tiff, "webp", SCENE, settings={"format": "webp"})
    yield exact("TIFF to PNG", make.tiff, "png", SCENE, settings={"format": "png"})
    yield exact("TIFF, CCITT group 3", by_magick(BILEVEL, "-compress", "Fax", "tiff:-"), "png", BILEVEL)
    yield converted("TIFF by ImageMagick, zip", by_magick(SCENE, "-set", "comment", CANARY.decode(), "-compress", "Zip",
                                                          "tiff:-"), "jpeg", SCENE)
    yield refused("TIFF BigTIFF, big-endian", lambda: make.tiff(big=True, order=">"), "format_not_allowed")
    floats = (SCENE / 255).astype(np.float32)
    yield refused("TIFF of floating point, RGB", lambda: make.saved("tif", floats, interpretation="scrgb"),
                  "format_not_allowed")
    yield refused("TIFF, cut", lambda: make.saved("tif", compression="deflate")[:900], "corrupt")


def tiffs_by_libvips() -> Iterator[Cell]:
    for compression in ("none", "lzw", "deflate", "packbits"):
        for predictor in ("none", "horizontal"):
            if predictor == "none" or compression in ("lzw", "deflate"):
                yield converted(f"TIFF {compression}, predictor {predictor}",
                                lambda compression=compression, predictor=predictor: make.saved(
                                    "tif", compression=compression, predictor=predictor), "jpeg", SCENE)
    yield converted("TIFF of JPEG", lambda: make.saved("tif", compression="jpeg", Q=95), "jpeg", SCENE)
    yield converted("TIFF of tiles", lambda: make.saved("tif", tile=True, tile_width=16, tile_height=16), "jpeg", SCENE)
    yield converted("TIFF of tiles of JPEG, BigTIFF",
                    lambda: make.saved("tif", tile=True, tile_width=32, tile_height=32, bigtiff=True,
                                       compression="jpeg", Q=95), "jpeg", SCENE)
    yield converted("TIFF of smaller and smaller pages",
                    lambda: make.saved("tif", tile=True, tile_width=16, tile_height=16, pyramid=True), "jpeg", SCENE)
    yield converted("TIFF of 16 bits, deflate, tiles",
                    lambda: make.saved("tif", deep(SCENE), tile=True, tile_width=16, tile_height=16,
                                       compression="deflate"), "jpeg", SCENE)
    yield exact("TIFF, CCITT group 4", lambda: make.saved("tif", BILEVEL, compression="ccittfax4", bitdepth=1), "png",
                BILEVEL)
    yield exact("TIFF, alpha, LZW", lambda: make.saved("tif", SOFT, compression="lzw"), "png", SOFT)
    floats = (GREY / 255).astype(np.float32)
    yield converted("TIFF of floating point, grey", lambda: make.saved("tif", floats, interpretation="b-w"), "png|jpeg",
                    GREY)


def lab() -> bytes:
    """CIE Lab of 8 bits, as Photoshop writes it: a and b with a sign."""
    image = make.to_vips(SCENE)
    image.set_type(pyvips.GValue.blob_type, "icc-profile-data", srgb_profile())
    image = image.icc_import(pcs="lab", intent="relative", embedded=True)  # under D50, as profiles and TIFF have it
    array = np.frombuffer(image.write_to_memory(), np.float32).reshape(SIZE[1], SIZE[0], 3)
    lightness = np.rint(array[..., :1] * 2.55).astype(np.uint8)
    return make.tiff(np.dstack([lightness, np.rint(array[..., 1:]).astype(np.int8).view(np.uint8)]), photometric=8)


def inks_by_vips(profile: bytes | None) -> Callable[[bytes], np.ndarray]:
    """The inks through a profile, or libvips' own for inks without one."""
    def seen(_: bytes) -> np.ndarray:
        fields = {"icc-profile-data": profile} if profile else {}
        data = make.saved("tif", INKS, interpretation="cmyk", fields=fields)
        return by_vips(data, to_srgb=True, fail_on="none").pixels

    return seen


def heif() -> Iterator[Cell]:
    """HEIC and AVIF."""
    yield converted("HEIC", lambda: heic(SCENE), "jpeg", SCENE)
    upright = xmp().replace(b'tiff:Orientation="6"', b"")  # which the encoder would turn it by
    yield converted("HEIC, private", lambda: heic(SCENE, exif=exif(1), xmp=upright), "jpeg", SCENE)
    yield exact("HEIC, alpha", lambda: heic(HOLES), "png", HOLES, near=12)
    yield converted("HEIC grey", lambda: heic(GREY), "jpeg", GREY)
    for orientation in range(2, 9):
        yield converted(f"HEIC, orientation {orientation}",
                        lambda orientation=orientation: heic(turned(SCENE, orientation), exif=exif(orientation)),
                        "jpeg", SCENE)
    yield converted("HEIC of 10 bits", lambda: heic(deep(SCENE)), "jpeg", SCENE)
    yield converted("HEIC of two pictures, the second is the primary", heic_of_two, "jpeg", SCENE)
    yield converted("HEIC over the edge", lambda: heic(SCENE), "jpeg", SCENE, settings={"max_edge": 30})
    yield fitted("HEIC over budget", lambda: heic(SCENE), "jpeg", truth=lambda _: SCENE, settings={"max_bytes": 700})
    yield refused("HEIC, cut", lambda: heic(SCENE)[:-300], "corrupt")
    for bits in (8, 10, 12):
        array = SCENE if bits == 8 else deep(SCENE)
        yield converted(f"AVIF of {bits} bits", lambda array=array, bits=bits: avif(array, bitdepth=bits), "jpeg",
                        SCENE)
        yield converted(f"AVIF of {bits} bits, private, sideways",
                        lambda array=array, bits=bits: avif(turned(array, 6), bitdepth=bits, exif=exif(6)), "jpeg",
                        SCENE)
    yield exact("AVIF, alpha", lambda: avif(HOLES), "png", HOLES, near=12)
    yield exact("AVIF in motion", avif_in_motion, "webp",
                np.concatenate([PALETTE[frame] for frame in make.moving()]), frames=3, near=11)
    yield converted("AVIF over the edge", lambda: avif(SCENE), "jpeg", SCENE, settings={"max_edge": 30})
    yield refused("AVIF, cut", lambda: avif(SCENE)[:-200], "corrupt")


def heic(array: np.ndarray, **options: object) -> bytes:
    pillow_heif = pytest.importorskip("pillow_heif")
    height, width, bands = array.shape
    mode = {1: "L", 3: "RGB", 4: "RGBA"}[bands] + (";16" if array.dtype == np.uint16 else "")
    file = io.BytesIO()
    picture = pillow_heif.from_bytes(mode, (width, height), np.ascontiguousarray(array).tobytes())
    picture.save(file, quality=95, chroma=444, **options)
    return file.getvalue()


def heic_of_two() -> bytes:
    pillow_heif = pytest.importorskip("pillow_heif")
    file = pillow_heif.from_pillow(Image.fromarray(255 - SCENE))
    file.add_from_pillow(Image.fromarray(SCENE))
    out = io.BytesIO()
    file.save(out, quality=95, chroma=444, primary_index=1)
    return out.getvalue()


def avif(array: np.ndarray, *, exif: bytes = b"", **options: object) -> bytes:
    """By libvips; EXIF goes in as it stands."""
    fields = {"exif-data": b"Exif\0\0" + exif, "orientation": 6} if exif else {}
    return make.saved("avif", array, fields=fields, compression="av1", Q=95, subsample_mode="off", effort=1, **options)


def avif_in_motion() -> bytes:
    first, *others = (Image.fromarray(PALETTE[frame]) for frame in make.moving())
    out = io.BytesIO()
    first.save(out, "AVIF", save_all=True, append_images=others, duration=70, quality=95, subsampling="4:4:4")
    return out.getvalue()


def others() -> Iterator[Cell]:
    """JPEG 2000, PSD, TGA, ICO and the family of PPM."""
    yield converted("JPEG 2000", by_magick(SCENE, "-quality", "100", "jp2:-"), "jpeg", SCENE)
    yield converted("JPEG 2000, a bare stream", by_magick(SCENE, "-quality", "100", "j2k:-"), "jpeg", SCENE)
    yield converted("JPEG 2000 by Pillow, private", lambda: jpeg_2000(SCENE) + xmp_box(), "jpeg", SCENE)
    yield exact("JPEG 2000, alpha", lambda: jpeg_2000(SOFT), "png", SOFT)
    yield refused("JPEG 2000, cut", lambda: jpeg_2000(SCENE)[:600], "corrupt")
    yield converted("PSD", make.psd, "jpeg", SCENE)
    yield converted("PSD, runs", lambda: make.psd(runs=True), "jpeg", SCENE)
    yield converted("PSD of 16 bits", lambda: make.psd(deep(SCENE), depth=16), "jpeg", SCENE)
    yield converted("PSD grey", lambda: make.psd(GREY, mode=1), "jpeg", GREY)
    yield converted("PSD of inks", lambda: make.psd(255 - INKS, mode=4), "jpeg", inks_by_vips(None), near=40)
    yield converted("PSD by ImageMagick", by_magick(SCENE, "psd:-"), "jpeg", SCENE)
    yield refused("PSD, cut", lambda: make.psd()[:-500], "corrupt")
    for name, options in {"": {}, ", top-down": {"top_down": True}, ", runs": {"runs": True},
                          ", runs, top-down": {"runs": True, "top_down": True}}.items():
        yield converted(f"TGA{name}", lambda options=options: make.tga(**options), "jpeg", SCENE, suffix=".tga")
        yield exact(f"TGA of 32 bits{name}", lambda options=options: make.tga(SOFT, bits=32, **options), "png", SOFT,
                    suffix=".tga")
        yield exact(f"TGA of a palette{name}",
                    lambda options=options: make.tga(INDICES[..., None], bits=8, palette=PALETTE, **options), "png",
                    FEW, suffix=".tga")
    yield converted("TGA of 16 bits", lambda: make.tga(bits=16), "jpeg", SCENE, suffix=".tga")
    yield converted("TGA grey", lambda: make.tga(GREY, bits=8), "jpeg", GREY, suffix=".tga")
    small, large = SOFT[:16, :16], SOFT[:32, :32]
    yield exact("ICO of a bitmap and a PNG, which is larger",
                lambda: make.ico((16, make.icon_bitmap(small)), (32, private_icon(large))), "png", large)
    yield exact("ICO of a PNG and a bitmap, which is larger",
                lambda: make.ico((16, private_icon(small)), (32, make.icon_bitmap(large))), "png", large)
    truths = {"P1": BILEVEL, "P2": GREY, "P3": SCENE, "P4": BILEVEL, "P5": GREY, "P6": SCENE, "P7": SOFT, "Pf": GREY,
              "PF": SCENE}
    for kind, truth in truths.items():
        lossless = kind in ("P1", "P4", "P7")
        yield (exact if lossless else converted)(f"PPM {kind}", lambda kind=kind: make.ppm(kind),
                                                 "png" if lossless else "jpeg", truth)
    yield exact("PPM to PNG", lambda: make.ppm("P6"), "png", SCENE, settings={"format": "png"})
    yield converted("PPM of 16 bits", deep_ppm, "jpeg", SCENE)
    yield refused("PPM, cut", lambda: make.ppm("P6")[:-9], "corrupt")


def jpeg_2000(array: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(array).save(out, "JPEG2000", irreversible=False)
    return out.getvalue()


def xmp_box() -> bytes:
    body = bytes.fromhex("be7acfcb97a942e89c71999491e3afac") + xmp()
    return (len(body) + 8).to_bytes(4, "big") + b"uuid" + body


def private_icon(array: np.ndarray) -> bytes:
    return make.private_png(make.png(array)).partition(b"IEND")[0] + b"IEND\xaeB`\x82"


def deep_ppm() -> bytes:
    return b"P6\n%d %d\n65535\n" % SIZE + deep(SCENE).astype(">u2").tobytes()


def asked_for() -> Iterator[Cell]:
    """What other settings do to what would have passed."""
    yield untouched("sRGB PNG, any type asked to be kept", lambda: in_png(make.png(SOFT), iccp(srgb_profile())), "png",
                    settings={"format": "keep"})
    yield converted("TIFF with alpha on a colour", lambda: make.tiff(SOFT), "jpeg", over((255, 255, 255)),
                    settings={"background": "white"})
    yield refused("TIFF that no budget holds", make.tiff, "cannot_fit", settings={"max_bytes": 60})
    yield refused("BMP, too many bytes", lambda: make.bmp(24), "too_large", settings={"max_source_bytes": 1000})


@pytest.mark.parametrize("cell", [*bitmaps(), *tiffs(), *heif(), *others(), *asked_for()], ids=lambda cell: cell.name)
def test_what_becomes_of(cell: Cell, exiftool: Exiftool | None) -> None:  # noqa: F811 - the fixture
    if " by ImageMagick" in cell.name and magick() is None:
        pytest.skip("ImageMagick is not installed")
    look(cell, exiftool)
