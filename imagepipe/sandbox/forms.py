"""Reading what a request says: its content type, a multipart form, a JSON object.

Our own parser, strict and bounded: it takes what RFC 7578 and RFC 2046 allow and a browser or an
HTTP library sends, and refuses the rest with 400, so that a malformed request is noticed.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from imagepipe.sandbox.answers import Refusal

_MOST_PARTS = 32
_MOST_HEADER_BYTES = 8_192
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,\-./:=? ]{0,69}[0-9A-Za-z'()+_,\-./:=?]")  # RFC 2046, section 5.1.1


@dataclass(frozen=True, slots=True)
class Part:
    """One field of a form; `filename` is None where it is no file."""

    name: str
    data: bytes
    filename: str | None = None

    @property
    def text(self) -> str:
        """The value of a field that is no file."""
        try:
            return self.data.decode()
        except UnicodeDecodeError:
            raise Refusal(400, f"the field {self.name} is no UTF-8 text") from None


def parameters(header: str) -> tuple[str, dict[str, str]]:
    """Return the value of a header, in lower case, and its parameters; raises `Refusal` where it is malformed.

    >>> parameters('form-data; name="a b"; filename=x.jpg')
    ('form-data', {'name': 'a b', 'filename': 'x.jpg'})
    """
    value, _, rest = header.partition(";")
    found: dict[str, str] = {}
    while rest := rest.strip():
        name, equals, rest = rest.partition("=")
        name = name.strip().lower()
        if not equals or not _TOKEN.fullmatch(name) or name in found:
            raise Refusal(400, "a header with malformed parameters")
        found[name], rest = _quoted(rest[1:]) if rest.startswith('"') else _plain(rest)
    return value.strip().lower(), found


def _plain(text: str) -> tuple[str, str]:
    value, _, rest = text.partition(";")
    if not _TOKEN.fullmatch(value.strip()):
        raise Refusal(400, "a header parameter that has to be quoted")
    return value.strip(), rest


def _quoted(text: str) -> tuple[str, str]:
    # Browsers and httpx write a quotation mark in a file name as %22; RFC 7230 writes it with a backslash
    taken: list[str] = []
    escaped = False
    for place, character in enumerate(text):
        if escaped:
            taken.append(character if character in '"\\' else "\\" + character)
            escaped = False
        elif character == "\\":
            escaped = True
        elif character == '"':
            rest = text[place + 1:].lstrip()
            if rest and not rest.startswith(";"):
                break
            return "".join(taken).replace("%22", '"'), rest[1:]
        else:
            taken.append(character)
    raise Refusal(400, "a header with an unclosed quotation mark")


def read_multipart(body: bytes, boundary: str) -> list[Part]:
    """Return the fields of a multipart form, in order; raises `Refusal` where it is malformed."""
    if not _BOUNDARY.fullmatch(boundary):
        raise Refusal(400, "the boundary of the multipart form is missing or malformed")
    delimiter = b"--" + boundary.encode("ascii")
    if not body.startswith(delimiter):
        raise Refusal(400, "the multipart form does not begin with its boundary")
    parts: list[Part] = []
    start = len(delimiter)
    while not _is_last(body, start):
        start = _line_end(body, start)
        end = body.find(b"\r\n" + delimiter, start - 2)  # the line end may be that of an empty header block
        if end < 0:
            raise Refusal(400, "the multipart form has no end: its closing boundary is missing")
        parts.append(_read_part(body[start:max(start, end)]))
        start = end + 2 + len(delimiter)
        if len(parts) > _MOST_PARTS:
            raise Refusal(400, f"the multipart form has more than {_MOST_PARTS} fields")
    return parts


def _is_last(body: bytes, start: int) -> bool:
    if not body.startswith(b"--", start):
        return False
    if body[start + 2:].strip(b" \t") not in (b"", b"\r\n"):
        raise Refusal(400, "the multipart form goes on after its closing boundary")
    return True


def _line_end(body: bytes, start: int) -> int:
    end = body.find(b"\r\n", start, start + 72)
    if end < 0 or body[start:end].strip(b" \t"):
        raise Refusal(400, "a boundary of the multipart form is not alone on its line")
    return end + 2


def _read_part(raw: bytes) -> Part:
    head, blank, data = raw.partition(b"\r\n\r\n")
    if not blank or len(head) > _MOST_HEADER_BYTES:
        raise Refusal(400, "a field of the multipart form has no header block, or a huge one")
    headers: dict[str, str] = {}
    for line in head.split(b"\r\n"):
        try:
            name, colon, value = line.decode().partition(":")
        except UnicodeDecodeError:
            raise Refusal(400, "a header of the multipart form is no UTF-8 text") from None
        if not colon or not _TOKEN.fullmatch(name) or name.lower() in headers:
            raise Refusal(400, "a malformed header in the multipart form")
        headers[name.lower()] = value.strip()
    if headers.get("content-transfer-encoding", "binary").lower() not in ("binary", "8bit", "7bit"):
        raise Refusal(400, "a field with a transfer encoding, which RFC 7578 has done away with")
    kind, named = parameters(headers.get("content-disposition", ""))
    if kind != "form-data" or not named.get("name"):
        raise Refusal(400, "a field of the multipart form without `Content-Disposition: form-data` and a name")
    return Part(named["name"], data, named.get("filename"))


def read_object(body: bytes) -> dict[str, Any]:
    """Return the JSON object that `body` is; raises `Refusal`."""
    try:
        value = json.loads(body.decode(), parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise Refusal(400, "the body is no well-formed JSON in UTF-8") from None
    if not isinstance(value, dict):
        raise Refusal(422, "the body must be a JSON object that holds one image")
    return value


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")
