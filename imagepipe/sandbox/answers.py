"""What the sandbox answers: bodies, errors, and the numbers of a page."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote_plus

INT32 = (-2_147_483_648, 2_147_483_647)
PER_PAGE = 50  #: Where a request does not say.
MOST_PER_PAGE = 250
_STATUSES_PAGE = "https://developer.bigcommerce.com/docs/start/about/status-codes"


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer; `Content-Length`, `Date` and the quota are added when it is sent."""

    status: int
    body: bytes = b""
    content_type: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    tells_quota: bool = True  #: False for what stands for a gateway in front of the API.


class Refusal(Exception):
    """Leaves a handler in place of its answer: the request is refused.

    `errors` names the fields that are at fault, as the API does.
    """

    def __init__(self, status: int, title: str, errors: dict[str, str] | None = None) -> None:
        super().__init__(status, title, errors)
        self.status = status
        self.title = title
        self.errors = errors

    @property
    def answer(self) -> Answer:
        """The error body of the v3 API: `status`, `title`, `type`, and `errors` where there are some."""
        body: dict[str, Any] = {"status": self.status, "title": self.title, "type": _STATUSES_PAGE}
        if self.errors:
            body["errors"] = self.errors
        return as_json(self.status, body)


def invalid(field_name: str, message: str) -> Refusal:
    """Return the refusal of one field's value."""
    return Refusal(422, f"{field_name}: {message}", {field_name: message})


def not_found(what: str) -> Refusal:
    """Return the refusal for something that is not there."""
    return Refusal(404, f"{what} was not found")


def not_simulated(what: str) -> Refusal:
    """Return the refusal for what the API may have and the sandbox has not."""
    return Refusal(501, f"The sandbox does not simulate {what}. "
                        "It has products and variants, to read, and product images.")


def as_json(status: int, body: Any) -> Answer:
    """Return an answer with a JSON body."""
    data = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
    return Answer(status, data, "application/json")


def as_text(status: int, text: str) -> Answer:
    """Return an answer in plain text."""
    return Answer(status, text.encode(), "text/plain; charset=utf-8")


def one(record: dict[str, Any]) -> Answer:
    """Return the answer that holds one record."""
    return as_json(200, {"data": record, "meta": {}})


@dataclass(frozen=True, slots=True)
class Page:
    """Which part of a collection is asked for, counted from 1."""

    number: int = 1
    limit: int = PER_PAGE

    @property
    def offset(self) -> int:
        """How many records come before it."""
        return (self.number - 1) * self.limit


def page_asked(query: dict[str, str]) -> Page:
    """Return the page that `page` and `limit` name; 422 where they cannot be."""
    return Page(_whole(query, "page", 1, INT32[1]), _whole(query, "limit", PER_PAGE, MOST_PER_PAGE))


def _whole(query: dict[str, str], name: str, default: int, most: int) -> int:
    text = query.get(name, str(default))
    value = whole_number(text)
    if value is None or not 1 <= value <= most:
        raise invalid(name, f"must be a whole number from 1 to {most}")
    return value


def whole_number(text: str) -> int | None:
    """Return the number that a text of ASCII digits says, at most ten of them; None for anything else."""
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 10):
        return None
    return int(text)


def collection(records: Sequence[dict[str, Any]], total: int, page: Page, query: dict[str, str]) -> Answer:
    """Return the answer that holds one page of a collection of `total` records."""
    pages = max(1, -(-total // page.limit))
    links = {"current": _link(page.number, page.limit, query)}
    if 1 < page.number <= pages + 1:
        links["previous"] = _link(page.number - 1, page.limit, query)
    if page.number < pages:
        links["next"] = _link(page.number + 1, page.limit, query)
    pagination = {"total": total, "count": len(records), "per_page": page.limit, "current_page": page.number,
                  "total_pages": pages, "links": links}
    return as_json(200, {"data": list(records), "meta": {"pagination": pagination}})


def _link(number: int, limit: int, query: dict[str, str]) -> str:
    kept = {name: value for name, value in query.items() if name not in ("page", "limit")}
    kept |= {"page": str(number), "limit": str(limit)}
    return "?" + "&".join(f"{quote_plus(name, ':')}={quote_plus(value, ',')}" for name, value in kept.items())


def fields_of(record: dict[str, Any], query: dict[str, str], known: frozenset[str],
              always: frozenset[str]) -> dict[str, Any]:
    """Return `record` cut to `include_fields`, or without `exclude_fields`; 422 for a name that is not in `known`.

    `always` names what is returned whatever is asked, and so must not be asked for.
    """
    included, excluded = (listed(query.get(name, "")) for name in ("include_fields", "exclude_fields"))
    for name, asked in (("include_fields", included), ("exclude_fields", excluded)):
        for wrong in asked:
            if wrong not in known or (wrong in always and name == "include_fields"):
                raise invalid(name, f"{wrong[:60]!r} cannot be named here")
    if included:
        return {name: value for name, value in record.items() if name in always or name in included}
    return {name: value for name, value in record.items() if name in always or name not in excluded}


def listed(text: str) -> list[str]:
    """Return the members of a comma-separated list; the API has no way to write a comma inside of one."""
    return [member.strip() for member in text.split(",") if member.strip()]
