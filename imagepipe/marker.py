"""The file name as an idempotency key: what a picture is, readable from the store's own listing.

The API has no idempotency key, but its listing gives back the file name that was uploaded,
cleaned, perhaps cut, and with a suffix. So the name says which picture it is::

    {stem, at most 40 of [a-z0-9-]}-{16 hex of SHA-256 of the source}-{8 hex of SHA-256 of what is sent}.{ext}

The source hash says "this picture is there already", whatever version or settings made the
bytes; both together settle one request. Never changed: stores are full of these names.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

STEM_LENGTH = 40

#: File name extension and media type of each format that a store takes.
EXTENSIONS = {"jpeg": "jpg", "png": "png", "gif": "gif", "webp": "webp", "bmp": "bmp", "wbmp": "wbmp", "xbm": "xbm"}
MEDIA_TYPES = {"jpeg": "image/jpeg", "png": "image/png", "gif": "image/gif", "webp": "image/webp", "bmp": "image/bmp",
               "wbmp": "image/vnd.wap.wbmp", "xbm": "image/x-xbitmap"}

_OURS = re.compile(r"(?<![0-9a-f])([0-9a-f]{16})[-_. ]?([0-9a-f]{8})(?![0-9a-f])")
_NOISE = re.compile(r"[^0-9a-z]+")


@dataclass(frozen=True, slots=True)
class Marker:
    """What a name says of the picture that bears it."""

    source: str  #: First 16 hexadecimal digits of the SHA-256 of the source bytes.
    sent: str  #: First 8 hexadecimal digits of the SHA-256 of the bytes sent.

    @classmethod
    def of(cls, source_sha256: str, sent_sha256: str) -> Marker:
        """Return the marker of a picture."""
        return cls(source_sha256[:16], sent_sha256[:8])

    def name(self, stem: str, format: str) -> str:
        """Return the file name to send.

        >>> Marker("0123456789abcdef", "01234567").name("Front (1).HEIC", "jpeg")
        'front-1-0123456789abcdef-01234567.jpg'
        """
        return f"{clean_stem(stem)}-{self.source}-{self.sent}.{EXTENSIONS.get(format, format)}"

    def is_in(self, image_file: str) -> bool:
        """Tell whether a listed name is that of this very request.

        >>> Marker("0123456789abcdef", "01234567").is_in("a/521/FRONT-1-0123456789ABCDEF_01234567__83011.jpg")
        True
        """
        return self.source + self.sent in _plain(image_file)


def shows_source(image_file: str, source_sha256: str) -> bool:
    """Tell whether a listed name is that of a picture made from these source bytes."""
    return source_sha256[:16] in _plain(image_file)


def find(image_file: str) -> Marker | None:
    """Return the marker in a listed name, or None where there is none: not ours.

    >>> find("a/521/front-0123456789abcdef-01234567__83011.jpg")
    Marker(source='0123456789abcdef', sent='01234567')
    >>> find("a/521/foglinenbeigestripetowel1b_1024x1024__83011.jpg")
    """
    match = _OURS.search(_name(image_file).lower())
    return Marker(match[1], match[2]) if match else None


def clean_stem(name: str) -> str:
    """Return the stem of a path or URL as at most 40 of [a-z0-9-]; `image` where nothing is left.

    >>> clean_stem("photos/Crème brûlée.jpg")
    'creme-brulee'
    """
    if "://" in name:
        name = unquote(urlsplit(name).path)
    stem = PurePosixPath(name.replace("\\", "/")).stem
    ascii_stem = unicodedata.normalize("NFKD", stem).encode("ascii", "ignore").decode()
    return _NOISE.sub("-", ascii_stem.lower()).strip("-")[:STEM_LENGTH].strip("-") or "image"


def _plain(image_file: str) -> str:
    """Return a listed name without what a store may change in it: path, case, punctuation."""
    return _NOISE.sub("", _name(image_file).lower())


def _name(path: str) -> str:
    """Return what is behind the last slash; `PurePosixPath` would take ten times as long, and intern every part."""
    return path.rstrip("/").rpartition("/")[2]
