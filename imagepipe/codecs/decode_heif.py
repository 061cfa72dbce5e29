"""HEIC and HEIF: through pillow-heif, or pi-heif where that is what is installed.

Their functions are called directly, so nothing is registered with Pillow. libheif applies the
boxes that turn and mirror a picture while it decodes, and the orientation in EXIF repeats them:
it is not applied again. Pictures of 10 and 12 bits are brought to 8 here.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from PIL import Image

from imagepipe.asset import Color
from imagepipe.codecs.decode_boxes import item_kinds, largest_size
from imagepipe.codecs.decode_modes import FINE, left_over
from imagepipe.codecs.decode_pillow import DECODER_LIMIT, beyond_decoder
from imagepipe.codecs.header import Header
from imagepipe.errors import FormatNotAllowed

#: Codings that a HEIF may have besides HEVC; the packaged libheif decodes none of them.
_OTHERS = {b"jpeg": "JPEG", b"av01": "AV1", b"avc1": "H.264", b"vvc1": "VVC", b"evc1": "EVC", b"j2k1": "JPEG 2000",
           b"unci": "uncompressed data"}

__all__ = ["decode_heif", "metadata", "open_heif", "peek_heif"]


def open_heif(data: bytes) -> Any:
    """Read the boxes of a HEIF; nothing is decoded yet. Raises whatever the library raises."""
    library = _library()
    try:
        file = library.open_heif(data, convert_hdr_to_8bit=True)
        file[file.primary_index]  # of a file without one that it knows, libheif says nothing before
    except Exception:
        _name_others(data)
        raise
    return file


def _name_others(data: bytes) -> None:
    """Raise `FormatNotAllowed` where a HEIF is coded in a way that the library may have no decoder for."""
    kinds = item_kinds(data)
    names = [name for kind, name in _OTHERS.items() if kind in kinds]
    if names and b"hvc1" not in kinds:
        raise FormatNotAllowed(f"a HEIF with {names[0]} inside cannot be decoded here; export it as JPEG or PNG")


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
        raise beyond_decoder(width, height)
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
    file = _library().open_heif(data, convert_hdr_to_8bit=False)
    picture = file[file.primary_index]
    premultiplied = bool(picture.premultiplied_alpha)
    bits = int(picture.info.get("bit_depth", 8))
    if bits > 8:
        return _rounded(picture, bits, premultiplied)
    try:
        decoded: Image.Image = picture.to_pillow()
    except Exception:
        _name_others(data)
        raise
    decoded.info = {}
    if premultiplied:
        decoded = decoded.convert("RGBA")
    return decoded


def _rounded(picture: Any, bits: int, premultiplied: bool) -> Image.Image:
    """Return a picture of more than 8 bits in 8, rounded: libheif would cut."""
    import numpy as np

    from imagepipe.color import is_srgb

    values: Any = np.asarray(picture)  # of 16 bits, the lowest of them 0
    values = values.reshape(*values.shape[:2], -1)
    colors = 3 if values.shape[2] > 2 else 1
    exact = not premultiplied and not is_srgb(_color(picture.info), "rgb" if colors == 3 else "gray")
    result = np.empty(values.shape, np.uint8)
    fine = np.empty((*values.shape[:2], colors if exact else 0), np.uint8)
    for top in range(0, len(values), 64):
        band = values[top:top + 64]
        band = band | band >> bits  # of which the highest is 65,535
        shown = ((band.astype(np.uint32) + 128) // 257).astype(np.uint8)
        result[top:top + 64] = shown
        if exact:
            fine[top:top + 64] = left_over(band[..., :colors], shown[..., :colors])
    decoded = _image(result)
    if premultiplied and decoded.mode == "RGBA":
        decoded = Image.frombytes("RGBa", decoded.size, decoded.tobytes()).convert("RGBA")
    if exact:
        decoded.info[FINE] = _image(fine)
    return decoded


def _image(array: Any) -> Image.Image:
    """Return an array of bytes as a picture."""
    return Image.fromarray(array[..., 0] if array.shape[2] == 1 else array)


def metadata(data: bytes) -> dict[str, bytes]:
    """Return the EXIF and XMP of the primary picture. Raises whatever the library raises."""
    info = open_heif(data).info
    found = {"exif": info.get("exif"), "xmp": info.get("xmp")}
    return {name: value for name, value in found.items() if isinstance(value, bytes) and value}
