"""Whose a picture is, as XMP and IPTC say it: the one statement that may be kept without the rest.

Nothing here parses XML: a packet is searched for two elements, so that no entity is ever expanded.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass

from imagepipe.codecs import exif as exif_codec
from imagepipe.codecs.exif import Exif

_MAX_PACKET = 1_000_000
_MAX_TEXT = 1_000
_ORIENTATION = re.compile(rb"""(tiff:Orientation\s{0,9}(?:=\s{0,9}["']|>)\s{0,9})([0-9])(?=\s{0,9}["'<])""")
_ITEM = re.compile(rb"<rdf:li\b[^<>]{0,200}>([^<]{1,4000})</rdf:li>")


@dataclass(frozen=True, slots=True)
class Statement:
    """Whose a picture is."""

    copyright: str = ""
    artist: str = ""

    def __bool__(self) -> bool:
        return bool(self.copyright or self.artist)

    def exif(self, orientation: int = 1) -> bytes:
        """Return the smallest EXIF block that says it."""
        return exif_codec.write(orientation, copyright=self.copyright, artist=self.artist)


def statement(exif: Exif, xmp: bytes = b"", iptc: bytes = b"", text: Statement | None = None) -> Statement:
    """Return whose a picture is: EXIF says it first, then XMP, then IPTC, then `text`."""
    text = text or Statement()
    return Statement(
        exif.copyright or _xmp(xmp, b"dc:rights") or _iptc(iptc, 116) or text.copyright,
        exif.artist or _xmp(xmp, b"dc:creator") or _iptc(iptc, 80) or text.artist,
    )


def upright(xmp: bytes, orientation: int) -> bytes:
    """Return an XMP packet that states `orientation` wherever it states one."""
    return _ORIENTATION.sub(lambda found: found[1] + b"%d" % orientation, xmp)


def _xmp(packet: bytes, name: bytes) -> str:
    """Return the first item of an element such as `dc:rights`, or its attribute."""
    packet = packet[:_MAX_PACKET]
    start = packet.find(b"<" + name + b">")
    if start >= 0:
        end = packet.find(b"</" + name + b">", start)
        found = _ITEM.search(packet, start, end if end >= 0 else len(packet))
        return _clean(found[1]) if found else ""
    start = packet.find(name + b'="')
    if start >= 0:
        start += len(name) + 2
        end = packet.find(b'"', start)
        return _clean(packet[start:end]) if end >= 0 else ""
    return ""


def _clean(value: bytes) -> str:
    text = html.unescape(value[:4 * _MAX_TEXT].decode("utf-8", "replace"))
    return " ".join(text.split())[:_MAX_TEXT]


def iptc_of(resources: bytes) -> bytes:
    """Return the IPTC records among Photoshop's image resources; empty where there are none.

    (Adobe Photoshop File Formats Specification, image resource blocks: 0x0404 is IPTC-NAA.)
    """
    at = 0
    while resources[at:at + 4] == b"8BIM" and at + 12 <= len(resources):
        number = int.from_bytes(resources[at + 4:at + 6], "big")
        name = resources[at + 6]
        start = at + 6 + (name + 2) // 2 * 2  # the name and its length byte, padded to even
        size = int.from_bytes(resources[start:start + 4], "big")
        start += 4
        if number == 0x0404:
            return resources[start:start + size]
        at = start + size + (size & 1)
    return b""


def _iptc(records: bytes, dataset: int) -> str:
    """Return the first text of a dataset of record 2 (IPTC-NAA IIM 4.2): 80 by-line, 116 copyright notice."""
    at = 0
    while records[at:at + 1] == b"\x1c" and at + 5 <= len(records):
        size = int.from_bytes(records[at + 3:at + 5], "big")
        if size & 0x8000:
            return ""  # an extended dataset, longer than any statement
        if records[at + 1] == 2 and records[at + 2] == dataset:
            value = records[at + 5:at + 5 + size]
            try:
                text = value.decode("utf-8")
            except UnicodeDecodeError:
                text = value.decode("latin-1")  # what old programs wrote
            return " ".join(text.replace("\0", " ").split())[:_MAX_TEXT]
        at += 5 + size
    return ""
