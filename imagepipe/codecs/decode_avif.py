"""What libavif leaves undone: the part to be shown is cut out, and blue of BT.2020 in studio range is put right.

Where libavif converts through libyuv, some machines have no number above 127 for the share of the
colour difference in blue, which in studio range would be 137: blues come out by 7 % too weak
(https://chromium.googlesource.com/libyuv/libyuv, `kYuvV2020Constants`). Whether this machine is one
of those is seen from a colour that is encoded once.
"""

from __future__ import annotations

import io
import struct
from functools import cache

from PIL import Image

from imagepipe.codecs.decode_boxes import clean_aperture, nclx

__all__ = ["finished"]

_BT2020 = 9  # of matrices (ITU-T H.273)
_RED, _GREEN, _BLUE = 0.2627, 0.678, 0.0593  # shares of brightness of the same
_CLOSE = 0.02


def finished(image: Image.Image, data: bytes, frames: int) -> Image.Image:
    """Return a decoded frame of an AVIF as it is to be shown, not yet turned upright."""
    part = clean_aperture(data, image.size) if frames <= 1 else None
    if part is not None:
        image = image.crop(part)
    said = nclx(data)
    if said is not None and said[2] == _BT2020 and not said[3] and image.mode in ("RGB", "RGBA"):
        share = _share_of_blue()
        if abs(share - 1) > _CLOSE:
            image = _with_blue(image, share)
    return image


@cache
def _share_of_blue() -> float:
    """Return how much of the difference between blue and brightness comes out; 1 where that cannot be found out."""
    red, green, blue = 70, 70, 150
    out = io.BytesIO()
    try:
        Image.new("RGB", (16, 16), (red, green, blue)).save(out, "AVIF", quality=100, subsampling="4:4:4",
                                                            range="limited")
        made = out.getvalue()
        at = made.index(b"colrnclx") + 8
        made = made[:at] + struct.pack(">HHHB", _BT2020, 13, _BT2020, 0) + made[at + 7:]
        with Image.open(io.BytesIO(made), formats=["AVIF"]) as image:
            decoded = image.convert("RGB").getpixel((8, 8))
    except (OSError, ValueError, KeyError):
        return 1.0
    bright = 0.299 * red + 0.587 * green + 0.114 * blue  # as the encoder counts it: by BT.601
    difference = (blue - bright) / 1.772 * 2 * (1 - _BLUE)
    return (decoded[2] - bright) / difference if isinstance(decoded, tuple) else 1.0


def _with_blue(image: Image.Image, share: float) -> Image.Image:
    """Return a picture of whose blue only a share of what it has above brightness is there, with all of it."""
    lost = 1 - 1 / share
    whole = 1 - _BLUE * lost
    matrix = (1, 0, 0, 0, 0, 1, 0, 0, lost * _RED / whole, lost * _GREEN / whole, 1 / share / whole, 0)
    colors = image.convert("RGB").convert("RGB", matrix)
    if image.mode == "RGBA":
        colors.putalpha(image.getchannel("A"))
    return colors
