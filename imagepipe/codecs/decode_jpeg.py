"""JPEG: decoded strictly, at the scale that is wanted.

Pillow loads damaged JPEGs without a word, so libjpeg-turbo is asked through simplejpeg to stop at
the first thing that it has to say. It gets the rebuilt container: what cameras do between the
parts does not count.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from typing import Any

from PIL import Image, ImageChops

from imagepipe.codecs.decode_guard import corrupt, reason, shielded
from imagepipe.codecs.decode_modes import detached
from imagepipe.codecs.header import Header
from imagepipe.errors import Corrupt

__all__ = ["Opened", "decode_jpeg", "fits_browsers", "scaled_size"]

#: Above, the picture is decoded twice (strictly at 1/8, then by Pillow) and not held twice.
_LARGE = 40_000_000

#: Decoding with some margin before scaling to the size that is wanted: DEPENDENCIES 4.2.
_MARGIN = 1.5

#: What libjpeg says (jerror.h, the same words since 1991) of oddities that cost no pixel.
_HARMLESS = ("invalid sos parameters", "inconsistent progression", "unknown jfif", "jfif revision",
             "unknown adobe color", "icc profile")

#: What it says that a person would not understand, in words.
_IN_WORDS = {"premature end of data segment": "part of its data is missing"}

#: What turbojpeg says, before it decodes, of sampling factors that it has no name for: 2x1, 1x2, 1x1 and their like.
_NO_NAME = "could not determine subsampling"
_ODD_SAMPLING = "its channels are sampled in an unusual way, which some programs cannot read"

_NAME = "this JPEG"
_BASELINE, _EXTENDED, _PROGRESSIVE = 0xC0, 0xC1, 0xC2


@dataclass(frozen=True, slots=True)
class Opened:
    """A decoded JPEG."""

    image: Image.Image  #: `L`, `RGB` or `CMYK` (0 is no ink).
    notes: tuple[str, ...] = ()
    damaged: bool = False  #: Decoded although parts are missing or wrong.


def fits_browsers(stream: bytes) -> bool:
    """Say whether a JPEG is of the kinds that everything shows: Huffman coded, baseline or progressive."""
    return _process(stream) in (_BASELINE, _EXTENDED, _PROGRESSIVE)


def _process(stream: bytes) -> int:
    """Return the second byte of the frame's marker (SOF, ITU-T T.81 table B.1), 0 where there is none."""
    at = 2
    while at + 4 <= len(stream) and stream[at] == 0xFF:
        marker = stream[at + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return marker
        if marker == 0xFF:  # padding
            at += 1
            continue
        if marker == 0xDA:
            return 0
        at += 2 + int.from_bytes(stream[at + 2:at + 4], "big")
    return 0


def scaled_size(size: tuple[int, int], max_edge: int | None) -> tuple[int, int]:
    """Return the least size at which a picture of `size` may be decoded to be scaled down to `max_edge`.

    One and a half times the size that it will have; its own size where that is less.
    """
    longest = max(size)
    if max_edge is None or max_edge <= 0 or longest <= max_edge:
        return size
    factor = min(1.0, _MARGIN * max_edge / longest)
    return math.ceil(size[0] * factor), math.ceil(size[1] * factor)


def decode_jpeg(stream: bytes, header: Header, least: tuple[int, int] | None = None, *,
                accept_damaged: bool = False) -> Opened:
    """Return the first picture of a rebuilt JPEG, at the smallest scale of libjpeg that is not below `least`.

    Raises `Corrupt` where the entropy-coded data end early or make no sense, unless
    `accept_damaged`; what libjpeg merely remarks becomes a note.
    """
    width, height = least or (header.width, header.height)
    large = width * height > _LARGE and _process(stream) in (_BASELINE, _EXTENDED, _PROGRESSIVE)
    first = (1, 1) if large else (width, height)
    with shielded(_NAME, header.width * header.height):
        opened = _strict(stream, header, first, accept_damaged)
        if not large:
            return opened
        return Opened(_by_pillow(stream, header, (width, height), opened.damaged), opened.notes, opened.damaged)


def _strict(stream: bytes, header: Header, least: tuple[int, int], accept_damaged: bool) -> Opened:
    """Decode with libjpeg-turbo, stopping at the first thing it has to say, and again where that is no fault."""
    try:
        return Opened(_by_simplejpeg(stream, header, least, strict=True))
    except ValueError as error:
        said = _words(error)
        if _NO_NAME in said.lower():
            return _of_odd_sampling(stream, header, least, accept_damaged)
        if any(words in said.lower() for words in _HARMLESS):
            return Opened(_by_simplejpeg(stream, header, least, strict=False),
                          (f"the JPEG decoder remarks: {said}",))
        if not accept_damaged:
            raise corrupt(_NAME, said) from error
        first = error
    try:
        return Opened(_by_simplejpeg(stream, header, least, strict=False), (f"damaged: {said}",), True)
    except ValueError:
        raise corrupt(_NAME, _words(first)) from first


def _of_odd_sampling(stream: bytes, header: Header, least: tuple[int, int], accept_damaged: bool) -> Opened:
    """Decode with Pillow what turbojpeg does not open.

    That data are missing shows where there is one scan: instead of the end come eight bytes of ones,
    as decoders read ahead, and then nothing, for which Pillow waits in vain. Wrong bits do not show.
    """
    unended = stream if header.progressive_scans > 1 else stream[:-2] + b"\xff\0" * 8
    try:
        return Opened(_by_pillow(unended, header, least, False), (_ODD_SAMPLING,))
    except Corrupt as error:
        if not accept_damaged:
            raise
        return Opened(_by_pillow(stream, header, least, True), (_ODD_SAMPLING, f"damaged: {error}"), True)


def _words(error: ValueError) -> str:
    said = reason(error)
    return next((words for theirs, words in _IN_WORDS.items() if theirs in said), said)


def _by_simplejpeg(stream: bytes, header: Header, least: tuple[int, int], *, strict: bool) -> Image.Image:
    """Decode; ValueError is what simplejpeg raises for all that libjpeg-turbo says."""
    import simplejpeg

    inks = header.channels in ("cmyk", "ycck")
    mode = "CMYK" if inks else "GRAY" if header.channels == "gray" else "RGB"
    array: Any = simplejpeg.decode_jpeg(stream, mode, strict=strict, min_width=least[0], min_height=least[1])
    height, width = array.shape[:2]
    size = (width, height)
    if mode == "GRAY":
        return Image.frombuffer("L", size, array, "raw", "L", 0, 1).copy()  # a copy: else the array is shared
    if inks:
        # Adobe writes the inks inverted, and says so with its marker (Technical Note 5116); without it they are not.
        return Image.frombuffer("CMYK", size, array, "raw", "CMYK;I" if _by_adobe(stream) else "CMYK", 0, 1).copy()
    return Image.frombuffer("RGB", size, array, "raw", "RGB", 0, 1)


def _by_adobe(stream: bytes) -> bool:
    """Say whether a JPEG has Adobe's marker."""
    at = 2
    while at + 4 <= len(stream) and stream[at] == 0xFF and stream[at + 1] != 0xDA:
        if stream[at + 1] == 0xEE and stream[at + 4:at + 9] == b"Adobe":
            return True
        at += 2 + int.from_bytes(stream[at + 2:at + 4], "big")
    return False


def _by_pillow(stream: bytes, header: Header, least: tuple[int, int], damaged: bool) -> Image.Image:
    """Decode what was found to be whole: one copy in memory, not two."""
    with Image.open(io.BytesIO(stream), formats=["JPEG"]) as image:
        if least != (header.width, header.height):
            image.draft(None, least)
        try:
            image.load()
        except OSError as error:
            if not damaged or image.size[0] == 0:
                raise Corrupt(str(corrupt(_NAME, reason(error)))) from error
            image.tile = []  # what was decoded before the end stands
        result = detached(image)
    result.info = {}
    if result.mode == "CMYK" and not _by_adobe(stream):  # Pillow takes all inks for Adobe's
        result = ImageChops.invert(result)
    return result
