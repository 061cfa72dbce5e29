"""Pictures of several sources that would go by the same key are told apart."""

from __future__ import annotations

import hashlib
from typing import overload

from imagepipe.asset import Asset
from imagepipe.outcome import Outcome


class Apart:
    """Give the second of two pictures of a product that have the same key a key of its own.

    `a/1.jpg` and `b/1.jpg`, given side by side, are both known as `1.jpg`: as one place, the second
    would replace the first. The same file or address twice stays one place. Call it with what the
    sources of a run yield, in order.

    >>> apart = Apart()
    >>> apart(Asset("a/1.jpg", "77", key="1.jpg", location="/a/1.jpg")).key
    '1.jpg'
    >>> apart(Asset("b/1.jpg", "77", key="1.jpg", location="/b/1.jpg")).key
    '1.jpg~3b153eaf'
    """

    def __init__(self) -> None:
        self._pictures: dict[int, int] = {}  # hashes alone, since there may be a million rows

    @overload
    def __call__(self, item: Asset) -> Asset: ...
    @overload
    def __call__(self, item: Asset | Outcome) -> Asset | Outcome: ...
    def __call__(self, item: Asset | Outcome) -> Asset | Outcome:
        """Return `item`, with another key where its own is taken."""
        if isinstance(item, Outcome) or "://" in item.location:
            return item
        place = hash((item.target.product_id, item.target.sku, item.place))
        picture = hash(item.location) if item.location or item.data is None else hash(item.data)
        if self._pictures.setdefault(place, picture) == picture:
            return item
        told = item.location.encode("utf-8", "surrogateescape") if item.location else item.data or b""
        key = f"{item.place}~{hashlib.sha256(told).hexdigest()[:8]}"
        return item.evolve(key=key, note=f"known as {key}, since another picture of its product is {item.place}")
