"""One module a format: walk its container, rebuild it, read it.

The functions here choose the module by the name of a format, as in `asset.Facts`.
"""

from __future__ import annotations

from types import ModuleType

from imagepipe.codecs import bmp, gif, jpeg, png, wbmp, webp, xbm
from imagepipe.codecs.container import Cleaned
from imagepipe.codecs.header import Header

_REBUILT: dict[str, ModuleType] = {"jpeg": jpeg, "png": png, "webp": webp, "gif": gif}
_READ = _REBUILT | {"bmp": bmp, "wbmp": wbmp, "xbm": xbm}

#: Formats whose containers can be rebuilt, so that a picture passes through untouched.
REBUILT = frozenset(_REBUILT)
#: Formats whose headers are read here, without a decoder.
READ = frozenset(_READ)


def read_header(data: bytes, format: str, *, accept_damaged: bool = False) -> Header:
    """Return what the container says of the picture; `format` is one of `READ`.

    Raises only `ImageError`s: `NotAnImage`, `Corrupt`, `FormatNotAllowed`, `TooSlow`. With
    `accept_damaged`, a picture that breaks off is described as far as it goes.
    """
    header: Header = _READ[format].read_header(data, accept_damaged=accept_damaged)
    return header


def rebuild(data: bytes, format: str, keep: frozenset[str] = frozenset()) -> bytes:
    """Return the picture in a container of only what shows it; `format` is one of `REBUILT`.

    `data` itself is returned where there is nothing to leave out. `keep` may name `copyright`,
    `icc`, `exif` and `xmp`. Raises as `read_header` does.
    """
    return clean(data, format, keep).data


def clean(data: bytes, format: str, keep: frozenset[str] = frozenset()) -> Cleaned:
    """Do what `rebuild` does, and say what was left out."""
    cleaned: Cleaned = _REBUILT[format].clean(data, keep)
    return cleaned


def metadata(data: bytes, format: str) -> dict[str, bytes]:
    """Return what may be kept on request: `exif`, `xmp`, `iptc`, `copyright`, `artist`; those that are there."""
    found: dict[str, bytes] = _REBUILT[format].metadata(data)
    return found
