"""Strips and tiles of JPEG in a TIFF, looked at strictly: libtiff decodes damaged ones and does not say so."""

from __future__ import annotations

from imagepipe.codecs.decode_guard import corrupt
from imagepipe.codecs.tiff import Page

__all__ = ["check"]

_NAME = "this TIFF"
_TABLES = 347
_START, _END = b"\xff\xd8", b"\xff\xd9"


def check(data: bytes, page: Page) -> None:
    """Raise `Corrupt` where libjpeg-turbo meets a fault in a strip or tile. Takes an eighth of the edges: it is a look.

    What it cannot open at all, such as unusual sampling, is left to libtiff, and so is one that is larger than it
    may be, which libtiff refuses.
    """
    tables = bytes(page.tags.get(_TABLES, ()))
    for stream in page.parts(data, range(len(page.offsets))):
        if stream[:2] == _START and tables[:2] == _START and tables[-2:] == _END:
            stream = tables[:-2] + stream[2:]
        if said := _fault(stream, page.block):
            raise corrupt(_NAME, said)


def _fault(stream: bytes, most: tuple[int, int]) -> str:
    """Return what is wrong with a JPEG that can be decoded, of at most some width and height; '' for nothing."""
    import simplejpeg

    try:
        height, width, kind, _ = simplejpeg.decode_jpeg_header(stream)
        if width > most[0] or height > most[1]:
            return ""
        mode = {"Gray": "GRAY", "CMYK": "CMYK", "YCCK": "CMYK"}.get(kind, "RGB")
        simplejpeg.decode_jpeg(stream, mode, strict=False, min_width=1, min_height=1)
    except ValueError:
        return ""
    try:
        simplejpeg.decode_jpeg(stream, mode, strict=True, min_width=1, min_height=1)
    except ValueError as error:
        return str(error)
    return ""
