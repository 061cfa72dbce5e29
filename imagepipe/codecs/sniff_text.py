"""What a text is that was given as a picture: a drawing, a page, an error message, a pointer."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Kind:
    """What a file is."""

    format: str | None  #: As in `asset.Facts`, or an extra (`raw`, `jxl`); None for what is not taken.
    name: str  #: In words, with an article: `a JPEG picture`, `an HTML page`.
    hint: str = ""  #: What to do, where it is not taken as it is.


_EXPORT = "export it as a PNG"
_AGAIN = "open its address in a browser to see what went wrong, and download it again"
_DOWNLOADED = "a download that went wrong leaves such a file; " + _AGAIN


def name_text(head: bytes) -> Kind | None:
    """Return what a text is; None for what is no text, and for XBM. Looks at the start only."""
    pdf = head.find(b"%PDF-", 0, 1024)
    if pdf >= 0:
        return Kind(None, "a PDF document", "export the page as a JPEG or PNG")
    if head.startswith((b"%!PS", b"\x04%!PS", b"\x1b%-12345X")):
        words = "an EPS drawing" if b"EPSF" in head[:64] else "a PostScript document"
        return Kind(None, words, "export it as a JPEG or PNG")
    text = _text(head)
    if text is None:
        return None
    start = text.lstrip("\ufeff \t\r\n")[:2048].lower()
    if start.startswith("version https://git-lfs.github.com/spec"):
        return Kind(None, "a Git LFS pointer", "the picture itself is not here; run `git lfs pull`")
    if start.startswith(("<?xml", "<svg", "<!doctype", "<!--", "<html", "<head", "<body", "<")):
        return _markup(start)
    if re.match(r"push graphic-context|viewbox 0 ", start):
        return Kind(None, "an ImageMagick drawing (MVG)", _EXPORT)
    if start.startswith(("{", "[")) and re.match(r'[\[{]\s*(["\[{\]}0-9-]|true|false|null)', start):
        return Kind(None, "JSON", _DOWNLOADED)
    if start.startswith("/* xpm"):
        return Kind(None, "an XPM picture", _EXPORT)
    if start.startswith(("data:image/", "data:application/")):
        return Kind(None, "a picture written as a data address", "decode what follows the comma from base64")
    if start.startswith(("/9j/", "ivborw0kggo", "r0lgod", "uklgr")):
        return Kind(None, "a picture written as base64", "decode it from base64")
    if start.startswith(("[internetshortcut]", "[desktop entry]")):
        return Kind(None, "a shortcut to a web page", "download the picture itself")
    if re.match(r"https?://\S+\s*$", start):
        return Kind(None, "a web address", "put it into a manifest, or download the picture itself")
    if "#define" in start and "_width" in start:
        return None
    if start.startswith(("solid ", "ply", "# blender", "mtllib")):
        return Kind(None, "a three-dimensional model", "export a picture of it as a PNG")
    return Kind(None, "text", f"give a picture instead; {_DOWNLOADED}" if len(text) < 512 else "give a picture instead")


def _text(head: bytes) -> str | None:
    """Return the start of a text in UTF-8, UTF-16 or Latin-1; None for what is none."""
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        text = head[:len(head) // 2 * 2].decode("utf-16", "replace")
        plain = sum(character.isprintable() or character.isspace() for character in text)
        return text if plain > 0.9 * len(text) else None
    if any(byte < 9 or 13 < byte < 27 or 27 < byte < 32 or byte == 127 for byte in head[:512]):
        return None
    try:
        return head.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start > len(head) - 4:  # cut within a character
            return head[:error.start].decode("utf-8")
    ascii_share = sum(32 <= byte < 127 or byte in b"\t\r\n" for byte in head) / len(head)
    return head.decode("latin-1") if ascii_share > 0.8 else None


def _markup(start: str) -> Kind:
    if "<svg" in start or "<!doctype svg" in start:
        return Kind(None, "an SVG drawing", _EXPORT)
    if re.search(r"<!doctype html|<html|<head[\s>]|<body[\s>]|<title|<script|<h1|<div", start):
        return Kind(None, "an HTML page", _DOWNLOADED)
    if re.search(r"<image>|<msl|<read\s|<write\s|<group", start) and "filename=" in start:
        return Kind(None, "an ImageMagick script (MSL)", _EXPORT)
    if re.search(r"<error|<code>|accessdenied|nosuchkey", start):
        return Kind(None, "an error message in XML", _DOWNLOADED)
    if "<plist" in start:
        return Kind(None, "a settings file of macOS", "give a picture instead")
    return Kind(None, "XML", _DOWNLOADED)
