"""Is it a picture that the store takes? Written apart from imagepipe's codecs, so that the two can disagree."""

from __future__ import annotations

import io
import re
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imagepipe.sandbox.answers import Refusal

if TYPE_CHECKING:
    from PIL import ImageFile

MOST_PIXELS = 180_000_000  #: Over this the sandbox does not decode; the store's own limit is unknown.
GIF_FRAMES = 150
GIF_EDGE = 5_120
WEBP_EDGE = 16_383
_DECODED = 60_000_000  # pixels: of an animation with more, only the first frame is decoded; of a larger PNG, none
_EXTENSIONS = {"jpeg": "jpg"}
_XBM = re.compile(rb"\s*(?:/\*.*?\*/\s*)*#define[ \t]+\w*width[ \t]+\d+\s+#define[ \t]+\w*height[ \t]+\d+\s",
                  re.DOTALL)
_decoding = threading.BoundedSemaphore(2)  # what is decoded at once is what takes memory


@dataclass(frozen=True, slots=True)
class Picture:
    """What the store finds a picture to be, by its content."""

    format: str  #: `bmp`, `gif`, `jpeg`, `png`, `wbmp`, `webp` or `xbm`.
    width: int
    height: int
    frames: int = 1

    @property
    def extension(self) -> str:
        """The usual ending of a file of this type."""
        return _EXTENSIONS.get(self.format, self.format)


def check(data: bytes) -> Picture:
    """Return what `data` is, decoded to see that it is whole; 422 for what the store does not take."""
    kind = sniff(data)
    if kind is None:
        raise _refused("is none of the types that are taken: BMP, GIF, JPEG, PNG, WBMP, XBM, WEBP")
    if kind == "wbmp":
        return _check_wbmp(data)
    if kind == "gif":
        _check_gif(data)
    elif kind == "webp":
        _check_webp(data)
    with _decoding:
        try:
            picture = _decode(kind, data)
        except Refusal:
            raise
        except Exception:  # noqa: BLE001 - Pillow raises anything on a damaged file
            raise _refused(f"begins as {kind.upper()} and cannot be decoded") from None
    return picture


def sniff(data: bytes) -> str | None:
    """Return the type that the first bytes tell; None for one that the store does not take."""
    if data.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "gif"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    if data.startswith(b"BM") and len(data) > 26:
        return "bmp"
    if _XBM.match(data[:4_096]):
        return "xbm"
    # WBMP has no magic number: whether its length is right decides
    return "wbmp" if data.startswith(b"\0\0") and len(data) > 4 else None


def _refused(reason: str) -> Refusal:
    return Refusal(422, f"The image {reason}.", {"image_file": reason})


def opened(kind: str, data: bytes) -> ImageFile.ImageFile:
    """Return a picture opened by Pillow's class for its type, unread.

    The class itself and not `Image.open`, which warns of large pictures through a process-wide
    switch; our own limit on pixels comes before any is decoded.
    """
    from PIL import (
        BmpImagePlugin,
        GifImagePlugin,
        JpegImagePlugin,
        PngImagePlugin,
        WebPImagePlugin,
        XbmImagePlugin,
    )

    classes: dict[str, Callable[[io.BytesIO], ImageFile.ImageFile]] = {
        "bmp": BmpImagePlugin.BmpImageFile, "gif": GifImagePlugin.GifImageFile, "jpeg": JpegImagePlugin.JpegImageFile,
        "png": PngImagePlugin.PngImageFile, "webp": WebPImagePlugin.WebPImageFile, "xbm": XbmImagePlugin.XbmImageFile}
    return classes[kind](io.BytesIO(data))


def _decode(kind: str, data: bytes) -> Picture:
    with opened(kind, data) as image:
        width, height = image.size
        if width * height > MOST_PIXELS:
            raise _refused(f"has {width} x {height} pixels, which is more than the sandbox decodes")
        frames: int = getattr(image, "n_frames", 1)
        if kind == "jpeg":
            image.draft("L", (width // 8, height // 8))  # reads every byte, at a fraction of the time and memory
        if kind == "png" and width * height > _DECODED:
            image.verify()  # the checksums of its chunks: decoding would take most of a gigabyte
            return Picture(kind, width, height, frames)
        image.load()
        if width * height * frames <= _DECODED:
            for number in range(1, frames):
                image.seek(number)
                image.load()
    return Picture(kind, width, height, frames)


def _check_wbmp(data: bytes) -> Picture:
    sizes, place = [], 2
    for _ in range(2):
        value, more = 0, True
        while more:
            if place >= len(data) or value >= 1 << 24:
                raise _refused("is none of the types that are taken")
            value, more = value << 7 | data[place] & 0x7F, bool(data[place] & 0x80)
            place += 1
        sizes.append(value)
    width, height = sizes
    if not (width and height) or len(data) - place != (width + 7) // 8 * height:
        raise _refused("is none of the types that are taken, or a WBMP that is not whole")
    return Picture("wbmp", width, height)


def _check_webp(data: bytes) -> None:
    """Look at the canvas of a WebP before a decoder does, which takes memory for all of it at once."""
    if data[12:16] != b"VP8X":
        return  # a plain picture, of 16,383 x 16,383 pixels at most by its format
    width, height = (1 + int.from_bytes(data[place:place + 3], "little") for place in (24, 27))
    moves = bool(data[20] & 0x02) if len(data) > 20 else False
    if max(width, height) > WEBP_EDGE or width * height > (_DECODED if moves else MOST_PIXELS):
        raise _refused(f"is a WebP of {width} x {height} pixels, which is more than the sandbox decodes")


def _check_gif(data: bytes) -> None:
    """Walk the blocks of a GIF to its trailer, counting frames; 422 where it is broken or over the limits."""
    try:
        width, height, flags = struct.unpack_from("<HHB", data, 6)
        if width > GIF_EDGE or height > GIF_EDGE:
            raise _refused(f"is a GIF of {width} x {height} pixels; at most {GIF_EDGE} x {GIF_EDGE} are taken")
        place, frames = 13 + _colors(flags), 0
        while data[place] != 0x3B:  # the trailer
            if data[place] == 0x21:  # an extension
                place = _after_blocks(data, place + 2)
            elif data[place] == 0x2C:  # a frame
                frames += 1
                place = _after_blocks(data, place + 11 + _colors(data[place + 9]))
            else:
                raise _refused("is a damaged GIF")
            if frames > GIF_FRAMES:
                raise _refused(f"is a GIF of more than {GIF_FRAMES} frames")
    except (IndexError, struct.error):
        raise _refused("is a GIF that is not whole") from None


def _colors(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _after_blocks(data: bytes, place: int) -> int:
    while length := data[place]:
        place += length + 1
    return place + 1
