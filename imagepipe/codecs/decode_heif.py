"""HEIC and HEIF: through pillow-heif, or pi-heif where that is what is installed.

Their functions are called directly, so nothing is registered with Pillow. libheif applies the
boxes that turn and mirror a picture while it decodes, and the orientation in EXIF repeats them:
it is not applied again. Pictures of 10 and 12 bits are brought to 8 by libheif.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from PIL import Image

from imagepipe.asset import Color
from imagepipe.codecs.decode_boxes import largest_size
from imagepipe.codecs.decode_pillow import DECODER_LIMIT, too_many_pixels
from imagepipe.codecs.header import Header
from imagepipe.errors import FormatNotAllowed

__all__ = ["decode_heif", "metadata", "open_heif", "peek_heif"]


def open_heif(data: bytes) -> Any:
    """Read the boxes of a HEIF; nothing is decoded yet. Raises whatever the library raises."""
    return _library().open_heif(data, convert_hdr_to_8bit=True)


def _library() -> Any:
    """Return pillow-heif, or pi-heif, which is the same without encoders."""
    for name in ("pillow_heif", "pi_heif"):
        try:
            return import_module(name)
        except ModuleNotFoundError:
            continue
    raise FormatNotAllowed("this is a HEIC, which needs another package: pip install pillow-heif (or pi-heif), "
                           "or export it as JPEG")


def peek_heif(data: bytes) -> Header:
    """Return what the boxes say of the primary picture. Raises whatever the library raises."""
    width, height = largest_size(data)
    if width * height > DECODER_LIMIT:
        raise too_many_pixels(width, height, 1, DECODER_LIMIT)
    file = open_heif(data)
    picture = file[file.primary_index]
    width, height = picture.size
    notes = (f"it has {len(file)} pictures, the primary one is taken",) if len(file) > 1 else ()
    return Header("heic", width, height, has_alpha=picture.has_alpha, bit_depth=int(picture.info.get("bit_depth", 8)),
                  channels="gray" if picture.mode.startswith("L") else "rgb", color=_color(picture.info), notes=notes)


def _color(info: dict[str, Any]) -> Color:
    """Return what a picture says of its colour: its profile, else its nclx box."""
    icc = info.get("icc_profile")
    if isinstance(icc, bytes) and len(icc) >= 128:
        return Color(icc=icc)
    box = info.get("nclx_profile")
    if isinstance(box, dict):
        names = ("color_primaries", "transfer_characteristics", "matrix_coefficients", "full_range_flag")
        primaries, transfer, matrix, full = (int(box.get(name, 2)) for name in names)
        if (primaries, transfer) != (2, 2):  # 2 is "unspecified" (ITU-T H.273)
            return Color(cicp=(primaries, transfer, matrix, full))
    return Color()


def decode_heif(data: bytes) -> Image.Image:
    """Return the primary picture, upright. Raises whatever the library raises."""
    file = open_heif(data)
    picture = file[file.primary_index]
    premultiplied = bool(picture.premultiplied_alpha)
    decoded: Image.Image = picture.to_pillow()
    decoded.info = {}
    if premultiplied:
        decoded = decoded.convert("RGBA")
    return decoded


def metadata(data: bytes) -> dict[str, bytes]:
    """Return the EXIF and XMP of the primary picture. Raises whatever the library raises."""
    info = open_heif(data).info
    found = {"exif": info.get("exif"), "xmp": info.get("xmp")}
    return {name: value for name, value in found.items() if isinstance(value, bytes) and value}
