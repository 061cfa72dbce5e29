"""Text from outside, made fit for a terminal or a log: one record is one line."""

from __future__ import annotations

import unicodedata


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
