"""Types that need another package: camera raw files (rawpy) and JPEG XL (pylibjxl).

Each is imported where it is used. Where it is missing, the error names the extra to install.
"""

from __future__ import annotations

import io
from typing import Any

from PIL import Image

from imagepipe.asset import Color
from imagepipe.codecs.decode_modes import opaque
from imagepipe.codecs.header import Header
from imagepipe.errors import FormatNotAllowed

__all__ = ["FORMATS", "decode_extra", "peek_extra"]

#: The types of this module.
FORMATS = ("raw", "jxl")


def peek_extra(data: bytes, format: str) -> Header:
    """Return the size and kind of a picture. Raises `FormatNotAllowed`, or whatever the package raises."""
    if format == "jxl":
        info = _jxl().probe(data)
        return Header("jxl", int(info["width"]), int(info["height"]), has_alpha=bool(info["has_alpha"]),
                      bit_depth=int(info["bits_per_sample"]),
                      channels="gray" if info["color_channels"] == 1 else "rgb")
    with _raw(data) as raw:
        return Header("raw", int(raw.sizes.iwidth), int(raw.sizes.iheight), bit_depth=16)


def decode_extra(data: bytes, format: str) -> tuple[Image.Image, Color]:
    """Return the picture, upright, 8 bits a channel, and what its colours mean.

    Of a raw file: as the camera balanced them, in sRGB. Of an animation, the first frame.
    """
    if format == "jxl":
        array, meta = _jxl().decode(data, metadata=True)
        icc = meta.get("icc")
        image = Image.fromarray(array)
        if image.mode.endswith("A") and opaque(image):
            image = image.convert(image.mode[:-1])
        return image, Color(icc=icc if isinstance(icc, bytes) and len(icc) >= 128 else None)
    with _raw(data) as raw:
        array = raw.postprocess(use_camera_wb=True, output_bps=8)
    return Image.fromarray(array), Color()


def _raw(data: bytes) -> Any:
    """Open a camera raw file; LibRaw turns it upright itself."""
    try:
        import rawpy
    except ImportError as error:
        raise FormatNotAllowed("this is a camera raw file, which needs another package: "
                               "pip install 'imagepipe-upload[raw]', or export it as JPEG") from error
    return rawpy.imread(io.BytesIO(data))


def _jxl() -> Any:
    """Return the package that decodes JPEG XL."""
    try:
        import pylibjxl
    except ImportError as error:
        raise FormatNotAllowed("this is a JPEG XL, which needs another package: "
                               "pip install 'imagepipe-upload[jxl]', or export it as JPEG") from error
    return pylibjxl
