"""What one request can come to: an answer, no connection, or something in between. And what is kept secret."""

from __future__ import annotations

import json as json_module
import re
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn
from urllib.parse import quote


class NoConnection(Exception):
    """No connection came about, so nothing was sent.

    `kind`: `name` (not found), `refused`, `timeout`, `tls`, `proxy`, `network`.
    """

    def __init__(self, message: str, kind: str) -> None:
        super().__init__(message, kind)
        self.kind = kind

    def __str__(self) -> str:
        return str(self.args[0])


class BrokenOff(Exception):
    """The exchange broke off, or its answer cannot be read: what was sent may have been carried out."""

    def __init__(self, message: str, *, slow: bool = False) -> None:
        super().__init__(message)
        self.slow = slow  #: It ran out of time: the other side may still be at work.


class Nonsense(BrokenOff):
    """An answer came, and it is not one of this API: a web page, no JSON, too large, half a page."""


class TooMuch(Nonsense):
    """An answer has more bytes than it may have."""


class Secret:
    """A text that is sent and never shown."""

    __slots__ = ("_pattern", "_text")

    def __init__(self, text: str) -> None:
        self._text = text
        forms = dict.fromkeys((text, quote(text, safe="")))
        self._pattern = re.compile("|".join(map(re.escape, forms)) if text else r"(?!)", re.IGNORECASE)

    def reveal(self) -> str:
        return self._text

    def hide(self, text: str) -> str:
        """Return `text` without the secret, where it holds it: as it is, percent-encoded, in any case."""
        return self._pattern.sub("***", text)

    def blank(self, data: bytes, before: bytes = b"") -> bytes:
        """Return `data` with asterisks for the bytes of the secret; it may have begun in what came `before`.

        A secret of fewer than eight characters is left, as it could be a word of any protocol.
        """
        secret = self._text.encode()
        if len(secret) < 8:
            return data
        before = before[-(len(secret) - 1):]
        whole = before + data
        return whole.replace(secret, b"*" * len(secret))[len(before):] if secret in whole else data

    def __repr__(self) -> str:
        return "Secret(***)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not pickled")


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, read to its end."""

    status: int
    headers: Mapping[str, str]  #: Names in any case.
    body: bytes = field(repr=False)

    @property
    def is_web_page(self) -> bool:
        """Tell whether this is a page for people: from a proxy, a portal, a wrong address."""
        start = self.body[:200].lstrip().lower()
        return "html" in self.headers.get("content-type", "").lower() or start.startswith((b"<!doctype", b"<html"))

    def json(self) -> Any:
        """Return what the body says; raise `Nonsense` where it is no JSON."""
        try:
            return json_module.loads(self.body)
        except (ValueError, RecursionError) as error:
            raise Nonsense(f"the answer is no JSON ({type(error).__name__})") from None


def unpacker(encoding: str, cap: int) -> Callable[[bytes | None], bytes]:
    """Return a function that unpacks a body piece by piece, and is called with None at its end."""
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        return lambda piece: piece or b""
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise Nonsense("the answer is packed in an unknown way")  # its name is the other side's word
    unpacker = zlib.decompressobj(zlib.MAX_WBITS | 32)  # 32: finds out whether it is gzip or zlib
    size, touched = 0, False  # no body at all is well: a 204 may name an encoding

    def unpack(piece: bytes | None) -> bytes:
        nonlocal size, touched
        if piece is None:
            if touched and not unpacker.eof:
                raise Nonsense("the answer ends before its end")
            return b""
        touched = True
        try:
            data = unpacker.decompress(piece, cap - size + 1)
        except zlib.error:
            raise Nonsense("the answer cannot be unpacked") from None
        size += len(data)
        if size > cap:
            raise TooMuch(f"the answer has more than {cap:,} bytes when unpacked")
        return data

    return unpack
