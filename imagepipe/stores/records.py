"""What a run writes down of a store: places, images, and every write before and after it is made."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from imagepipe.asset import Asset
from imagepipe.errors import LedgerError
from imagepipe.ledger import Image, Ledger, Place, Shown
from imagepipe.outcome import printable
from imagepipe.stores import StoreImage

log = logging.getLogger("imagepipe")


@dataclass(eq=False)
class Records:
    """The rows of one store in a ledger, as one run reads and writes them."""

    ledger: Ledger
    store: str  #: The store's identity: every row names it.
    run: str
    settings: str  #: The recipe that prepares the pictures.
    sleep: Callable[[float], object]
    broken: LedgerError | None = None  #: The ledger could not record what the store did: nothing more may be sent.
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def check(self) -> None:
        """Raise `LedgerError` if the ledger has failed to record what the store did."""
        if self.broken is not None:
            raise self.broken

    def intend(self, product_id: int, kind: str, **what: Any) -> int:
        """Record durably that a write is about to be sent; return the number of the operation."""
        return self.ledger.intend(self.run, self.store, product_id, kind, **what)

    def record(self, number: int, state: str, **results: Any) -> None:
        """Record what the store did. Where the ledger cannot, keep the run's word for it and stop."""
        for wait in (0.1, 0.5, None):
            try:
                self.ledger.settle(number, state, **results)
                return
            except LedgerError as error:
                if wait is not None:
                    self.sleep(wait)
                    continue
                image = results.get("image")
                if image is not None:
                    log.error("image %d is in product %d of the store, and the ledger could not record it; the next "
                              "run finds it by its name", image.image_id, image.product)
                with self._lock:
                    self.broken = error

    def images(self, product_id: int) -> list[Image]:
        """Return the images that a product holds because of us, or that were adopted."""
        return self.ledger.images(self.store, product_id)

    def places(self, product_id: int) -> list[Place]:
        """Return the places of a product."""
        return self.ledger.places(self.store, product_id)

    def place(self, asset: Asset) -> Place | None:
        """Return what is known of the place where a picture belongs."""
        return self.ledger.place(self.store, asset.target.product_id or 0, without_secrets(asset.place))

    def new_place(self, asset: Asset, image_id: int, *, thumbnail_is_set: bool = False) -> Place:
        """Return the place of a picture, pointing to an image."""
        received, target = asset.received, asset.target
        assert received is not None  # what is delivered was read
        return Place(self.store, target.product_id or 0, without_secrets(asset.place), image_id, received.sha256,
                     kept_location(asset.location), received.size if received.mtime_ns is not None else None,
                     received.mtime_ns, received.inode, received.etag, self.settings, target.sort_order,
                     True if target.is_thumbnail and thumbnail_is_set else None, target.description, self.run)

    def point(self, asset: Asset, image_id: int, *, replaced: Place | None) -> None:
        """Let the place of a picture point to an image, where it does not yet."""
        place = self.new_place(asset, image_id)
        if replaced is not None and replaced.image_id == image_id and replaced.is_thumbnail:
            place = replace(place, is_thumbnail=True)
        if replaced is None or place != replace(replaced, run=place.run):
            self.ledger.point(place)

    def unsay(self, place: Place, image_id: int, said: Mapping[str, Any]) -> None:
        """Note that an image no longer shows what its other places have stated, now that one said otherwise."""
        for other in self.ledger.places(self.store, place.product, image_id=image_id):
            stale: dict[str, Any] = {name: None for name, value in said.items()
                                     if getattr(other, name) not in (None, value)}
            if stale and other.key != place.key:
                self.ledger.point(replace(other, **stale))


def as_shown(image: StoreImage) -> Shown:
    """Return how the store shows an image, for the ledger."""
    return Shown(image.sort_order, image.is_thumbnail, image.description)


def kept_location(location: str) -> str:
    """Return what the ledger keeps of where a picture was read: a path whole, an address without its secrets."""
    return without_secrets(location) if "://" in location else location


def without_secrets(address: str) -> str:
    """Return an address without what may be secret in it; another key as text that every database takes."""
    if "://" not in address:
        return str(printable(address))
    from imagepipe.sources import shown_url

    return str(printable(shown_url(address)))
