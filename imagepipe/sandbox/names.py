"""What a store makes of the name of an uploaded file."""

from __future__ import annotations

import re
import secrets
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

_EXTENSIONS = frozenset({"bmp", "gif", "jpeg", "jpg", "png", "wbmp", "webp", "xbm"})
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


def stored_name(filename: str, extension: str, most: int) -> str:
    """Return the path under which a store keeps `filename`, such as `a/521/name__83011.jpg`.

    Lower case; what is no letter, digit, hyphen, dot or underscore becomes an underscore; the stem
    is cut to `most` characters; five digits are put behind it. A name without the extension of
    a picture gets `extension`.
    """
    name = filename.replace("\\", "/").rsplit("/", 1)[-1].lower()
    stem, dot, given = name.rpartition(".")
    if not dot or given not in _EXTENSIONS:
        stem, given = name, extension
    stem = re.sub(r"[^a-z0-9._-]", "_", stem).strip(".")[:most] or "image"
    folder = f"{secrets.choice(_LETTERS)}/{secrets.randbelow(1000):03}"
    return f"{folder}/{stem}__{secrets.randbelow(100_000):05}.{given}"


def name_in(url: str) -> str:
    """Return the file name that an address ends in; empty where it has none."""
    return PurePosixPath(unquote(urlsplit(url).path)).name


def rendition_name(image_file: str, stamp: int, width: int, height: int, extension: str) -> str:
    """Return the name of a rendition, such as `name__83011.1534344511.1280.1280.jpg`."""
    stem = image_file.rsplit("/", 1)[-1].rpartition(".")[0]
    return f"{stem}.{stamp}.{width}.{height}.{extension}"
