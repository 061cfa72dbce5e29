"""From SKUs to products: many a request where the API allows it."""

from __future__ import annotations

import logging
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from urllib.parse import quote

from imagepipe.errors import StoreUnusable
from imagepipe.stores import answers
from imagepipe.stores.listing import Listing, RefusedListing

log = logging.getLogger("imagepipe")

AT_ONCE = 100  #: SKUs a request, if they are short.
LONGEST_QUERY = 1_800  #: Characters: with host and path below 2,048, which everything between takes.
REFUSED = 3  #: So many refused lookups, and no other, say something of the store and not of the SKUs.
HINT_PAGES = 20  #: Pages of 250 SKUs that the hint at the nearest one is worth.
FEW = 3  #: So many SKUs are looked up singly among variants before anything is paged.


class Skus:
    """What is known of a store's SKUs, of products and of variants."""

    def __init__(self, listing: Listing) -> None:
        self._listing = listing
        self._lock = threading.Lock()
        self._seen: dict[str, int] = {}  # as the store writes them
        self._by_folded: defaultdict[str, set[str]] = defaultdict(set)
        self._paged_variants = False

    def known(self) -> Iterable[str]:
        with self._lock:
            return list(self._seen)

    def find(self, skus: Sequence[str]) -> dict[str, int]:
        """Return the product of each SKU that the store has; the same letters in other case will do, if only one fits.

        Products first; then variants, singly if they are few, else by paging all of them, whichever
        takes fewer requests.
        """
        wanted = [sku for sku in dict.fromkeys(skus) if sku and _is_text(sku)]
        self._find_products(self._not_known(wanted))
        missing = self._not_known(wanted)
        if missing:
            self._find_variants(missing)
        return {sku: product for sku in wanted if (product := self._product(sku)) is not None}

    # -- what is known -----------------------------------------------------------------------------

    def _product(self, sku: str) -> int | None:
        with self._lock:
            if sku in self._seen:
                return self._seen[sku]
            like = {self._seen[name] for name in self._by_folded.get(sku.casefold(), ())}
            return like.pop() if len(like) == 1 else None

    def _not_known(self, skus: Iterable[str]) -> list[str]:
        return [sku for sku in skus if self._product(sku) is None]

    def _see(self, found: Iterable[tuple[int, str, int]], *, over: bool = True) -> None:
        """Note SKUs and their products; with `over`, also where another product was known for one."""
        with self._lock:
            for _, sku, product in found:
                if sku:
                    if over or sku not in self._seen:
                        self._seen[sku] = product
                    self._by_folded[sku.casefold()].add(sku)

    # -- products ----------------------------------------------------------------------------------

    def _find_products(self, skus: Sequence[str]) -> None:
        for some in batches([sku for sku in skus if "," not in sku]):
            query = f"sku:in={','.join(quote(sku, safe='') for sku in some)}"
            try:
                self._ask("/catalog/products", query, len(some))
            except RefusedListing as error:  # one of them spoils it for all
                log.info("%s; asking for %d SKUs one by one", error, len(some))
                self._singly("/catalog/products", some)
        self._singly("/catalog/products", [sku for sku in skus if "," in sku])

    def _ask(self, path: str, query: str, most: int) -> None:
        """Note what a query finds, which can be no more than was asked for, give or take a like one."""
        parse = answers.variant_sku if path.endswith("variants") else answers.product_sku
        fields = "" if path.endswith("variants") else "&include_fields=sku"
        for page in self._listing.pages(path, query + fields, parse):
            if page.total > 4 * most + 20:
                raise StoreUnusable(f"the store was asked for {most} SKUs and answers with {page.total:,}: it does not "
                                    "look them up as BigCommerce does; check --base-url")
            self._see(page.items)

    def _singly(self, path: str, skus: Sequence[str]) -> None:
        refused = 0
        for sku in skus:
            try:
                self._ask(path, f"sku={quote(sku, safe='')}", 1)
            except RefusedListing as error:
                refused += 1
                if refused == len(skus) >= REFUSED:
                    raise StoreUnusable(f"the store refuses to look up SKUs: {error}") from error
                log.info("%s", error)  # such a SKU it cannot have

    # -- variants ----------------------------------------------------------------------------------

    def _find_variants(self, missing: Sequence[str]) -> None:
        if len(missing) <= FEW or (self._paged_variants and len(missing) <= 20):
            self._singly("/catalog/variants", missing)
            if self._not_known(missing) and not self._paged_variants:
                self._look_around()
            return
        if self._paged_variants:
            return  # they were not among all of them, and a new one in between is not worth as many requests
        for number, page in enumerate(self._listing.pages("/catalog/variants", "", answers.variant_sku), 1):
            self._see(page.items, over=False)
            missing = self._not_known(missing)
            if not missing:
                return
            if len(missing) < page.pages - number:
                self._singly("/catalog/variants", missing)
                return
        self._paged_variants = True
        if len(missing) <= FEW:
            self._singly("/catalog/variants", missing)  # a variant may have slipped from page to page meanwhile

    def _look_around(self) -> None:
        """Note all SKUs of a store that is not large, so that what is nearest to an unknown one can be told."""
        for page in self._listing.pages("/catalog/variants", "", answers.variant_sku):
            self._see(page.items, over=False)
            if page.pages > HINT_PAGES:
                return
        self._paged_variants = True


def batches(skus: Sequence[str]) -> Iterator[list[str]]:
    """Yield groups of SKUs whose query is of a length that everything between here and the store takes."""
    some: list[str] = []
    length = 0
    for sku in skus:
        size = len(quote(sku, safe="")) + 1
        if some and (len(some) == AT_ONCE or length + size > LONGEST_QUERY):
            yield some
            some, length = [], 0
        some.append(sku)
        length += size
    if some:
        yield some


def _is_text(sku: str) -> bool:
    """Tell whether a SKU can be asked for; bytes that were no UTF-8 cannot."""
    try:
        sku.encode()
    except UnicodeEncodeError:
        return False
    return True
