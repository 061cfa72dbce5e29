"""Text from outside, made fit for a terminal or a log: one record is one line."""

from __future__ import annotations

import json
import re
import unicodedata
from typing import Any


def plain(text: str) -> str:
    r"""Return `text` with everything that does not print escaped.

    That is control characters (ESC, BEL, C1, line ends of every kind), what changes the direction
    of writing or has no width, and bytes that were no UTF-8; so that no file name can move the
    cursor, set a title, make a link, or look like another line or another name. Spaces of all
    widths stay.

    >>> print(plain("a\x1b[2Jb\u202egpj.exe\n"))
    a\x1b[2Jb\u202egpj.exe\n
    """
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() or unicodedata.category(character) == "Zs"
                   else _escaped(character) for character in text)


def _escaped(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that was no UTF-8, as `surrogateescape` keeps it
        return f"\\x{code - 0xDC00:02x}"
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")


def json_line(value: Any) -> str:
    r"""Return `value` as JSON that is one line for every reader, and moves no terminal's cursor.

    JSON lets line ends such as U+2028, direction marks and C1 controls stand as they are; here
    they are escaped, as everything that does not print.

    >>> print(json_line({"image": "caf\xe9\u2028.jpg"}))
    {"image": "café\u2028.jpg"}
    """
    text = json.dumps(value, ensure_ascii=False)
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else json.dumps(character)[1:-1] for character in text)


#: Query parameters that choose a picture's version or size, as image servers have them; none is a secret.
_HARMLESS = re.compile(r"(v|ver|version|rev|w|h|width|height|size|s|q|quality|f|fm|fmt|format|fit|crop|auto|dpr|scale)"
                       r"=[A-Za-z0-9_.,-]{0,32}", re.ASCII)


def public_url(location: str) -> str:
    """Return an address as it may be written down: with a query only where no part of it can be a secret.

    A path is returned as it is.

    >>> public_url("https://cdn.example/a.jpg?v=17&width=900"), public_url("https://cdn.example/a.jpg?v=1&sig=SECRET")
    ('https://cdn.example/a.jpg?v=17&width=900', 'https://cdn.example/a.jpg')
    """
    scheme, found, rest = location.partition("://")
    if not found or not re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*", scheme):
        return location
    address, _, query = rest.partition("#")[0].partition("?")
    authority, slash, path = address.replace("\\", "/").partition("/")
    shown = f"{scheme}://{authority.rpartition('@')[2]}{slash}{path}"
    harmless = query and all(_HARMLESS.fullmatch(part) for part in query.split("&"))
    return f"{shown}?{query}" if harmless else shown


def guarded(text: str) -> str:
    """Return a text as a cell of a CSV file that no spreadsheet runs as a formula.

    An apostrophe is put before a text of which any line begins, after spaces, with one of
    ``= + - @`` (of ASCII or full width) or a tab (OWASP, "CSV Injection"), and before one that
    would else be taken for guarded when it is read again.

    >>> guarded("=HYPERLINK(1)"), guarded("a - b"), guarded("'=1")
    ("'=HYPERLINK(1)", 'a - b', "''=1")
    """
    return f"'{text}" if _is_risky(text.lstrip("'")) else text


def _is_risky(text: str) -> bool:
    return text[:1] in ("\t", "\r", "\n") or any(
        line.lstrip(" \xa0\u3000")[:1] in _FORMULA and line.strip() for line in text.splitlines())


#: What a formula begins with. Spreadsheets of East Asia take the full-width forms as well.
_FORMULA = ("=", "+", "-", "@", "\t", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def unguarded(cell: str) -> str:
    """Return the text that `guarded` made a cell of.

    >>> unguarded("'=HYPERLINK(1)"), unguarded("'tis"), unguarded("''=1")
    ('=HYPERLINK(1)', "'tis", "'=1")
    """
    return cell[1:] if cell[:1] == "'" and _is_risky(cell.lstrip("'")) else cell


def size(count: int) -> str:
    """Return a number of bytes for people.

    >>> size(7_999_321), size(532), size(48_200)
    ('8.0 MB', '532 bytes', '48.2 kB')
    """
    if count < 1000:
        return f"{count} bytes"
    for unit in ("kB", "MB", "GB"):
        count_in_unit = count / {"kB": 1e3, "MB": 1e6, "GB": 1e9}[unit]
        if count_in_unit < 999.95 or unit == "GB":
            return f"{count_in_unit:.1f} {unit}"
    raise AssertionError  # the last unit takes everything
