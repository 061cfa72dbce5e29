"""Listings of a store, read page by page: the whole, or an error; never a part that looks like the whole."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import Any, TypeVar

from imagepipe.answer import Answer, Nonsense
from imagepipe.errors import StoreBusy, StoreError, StoreUnusable
from imagepipe.stores import answers
from imagepipe.stores.answers import Page
from imagepipe.stores.connection import Connection

T = TypeVar("T")

LIMIT = 250  #: Items a page, the most that the API gives.
RUNS = 4  #: Readings of a listing that changes under our eyes.
MOST_PAGES = 100_000  #: A listing that goes on for longer is none.


class Listing:
    """Reads listings over one connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def page(self, path: str, query: str, number: int, parse: Callable[[Mapping[str, Any]], T], *, limit: int = LIMIT,
             first: bool = False, missing: StoreError | None = None) -> Page[T]:
        """Return one page.

        `missing` is raised where the store has not what is listed (404); without it, what is listed
        is always there, be it empty.
        """

        def whole(answer: Answer) -> Page[T]:
            if answer.status == 404 and not answer.is_web_page:
                raise missing or StoreUnusable(
                    f"{self._connection.host} has no such thing as {path} (404); check the store's hash and --base-url")
            if not 200 <= answer.status < 300:
                if answer.is_web_page:
                    raise Nonsense(f"the answer is a web page ({answer.status})")
                said = answers.explained(answer, self._connection.token)
                raise RefusedListing(f"the store refuses to list {path} ({said})")
            if answer.status == 204 and missing is None:  # said of a product without images, and of nothing else
                raise Nonsense("the answer is empty")
            return answers.page_of(answer, number, parse)

        paging = f"page={number}&limit={limit}"
        return self._connection.read(path, f"{query}&{paging}" if query else paging, whole, first=first)

    def pages(self, path: str, query: str, parse: Callable[[Mapping[str, Any]], T], *, limit: int = LIMIT,
              first: bool = False, missing: StoreError | None = None) -> Iterator[Page[T]]:
        """Yield the pages, until the last one that a page speaks of."""
        number = 1
        while number <= MOST_PAGES:
            page = self.page(path, query, number, parse, limit=limit, first=first, missing=missing)
            yield page
            if number >= page.pages:
                return
            number += 1
        raise StoreUnusable(f"the listing {path} of {self._connection.host} has no end")

    def whole(self, path: str, query: str, parse: Callable[[Mapping[str, Any]], T], key: Callable[[T], Hashable], *,
              limit: int = LIMIT, first: bool = False, missing: StoreError | None = None) -> list[T]:
        """Return all items. Where the listing changes meanwhile, it is read again from its start.

        Raises `StoreBusy` where it never stands still, and what `page` raises.
        """
        for attempt in range(RUNS):
            if attempt:
                self._connection.sleep(0.5 * 2.0 ** attempt)
            items: dict[Hashable, T] = {}
            count, totals = 0, set()
            for page in self.pages(path, query, parse, limit=limit, first=first, missing=missing):
                items.update((key(item), item) for item in page.items)
                count += len(page.items)
                totals.add(page.total)
                if len(totals) > 1 or count > page.total:
                    break
            if totals == {count} and len(items) == count:
                return list(items.values())
        raise StoreBusy(f"the listing {path} changes while it is read; try again when nothing else works on it")


class RefusedListing(StoreBusy):
    """The store does not list this (400, 422): another question may be answered."""
