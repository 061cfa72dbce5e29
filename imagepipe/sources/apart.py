"""Pictures of several sources that would go by the same key are told apart."""

from __future__ import annotations

import hashlib
from array import array
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
        self._pictures = Numbers()  # hashes of place and picture alone, since there may be a million rows

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


class Numbers:
    """What a dict of hashes does, in 32 to 64 bytes an entry, where a dict takes 180. A key of 0 is taken for 1.

    >>> numbers = Numbers()
    >>> numbers.setdefault(hash("a"), 1), numbers.setdefault(hash("a"), 2), numbers.setdefault(hash("b"), 3)
    (1, 1, 3)
    >>> hash("b") in numbers, hash("c") in numbers
    (True, False)
    """

    def __init__(self) -> None:
        self._slots = array("q", bytes(2 * 8 * 64))  # pairs of key and value; no key is 0, which is a free slot
        self._count = 0

    def __contains__(self, key: int) -> bool:
        return self._slots[self._find(key or 1)] != 0

    def setdefault(self, key: int, value: int) -> int:
        """Return the value of `key`, which is `value` from now on if there was none."""
        at = self._find(key or 1)
        if self._slots[at]:
            return self._slots[at + 1]
        self._slots[at], self._slots[at + 1] = key or 1, value
        self._count += 1
        if 4 * self._count > len(self._slots):  # half of them are taken
            self._grow()
        return value

    def _find(self, key: int) -> int:
        """Return where a key is, or would be."""
        slots, last = self._slots, len(self._slots) - 2
        at = 2 * key & last  # the last bits of a hash are as good as any
        while slots[at] not in (0, key):
            at = at + 2 & last
        return at

    def _grow(self) -> None:
        old, self._slots = self._slots, array("q", bytes(2 * 8 * len(self._slots)))
        for index in range(0, len(old), 2):
            if old[index]:
                at = self._find(old[index])
                self._slots[at:at + 2] = old[index:index + 2]
