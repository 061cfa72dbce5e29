"""Find out what became of a write whose answer was lost, by looking at what the store lists.

A time-out, a reset, a server error: the store may or may not have saved the image, and both look
the same from here. So the listing is read, over growing waits because it may lag behind, until
the marker shows up or has stayed away long enough.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from imagepipe import marker
from imagepipe.errors import ProductNotFound, StopRun, StoreError
from imagepipe.ledger import Image, Ledger, Operation, Place
from imagepipe.stores import StoreImage
from imagepipe.stores.products import Product, Products

log = logging.getLogger("imagepipe")

#: Seconds before each look. Absent in all of them counts as absent.
WAITS = (0.5, 1.0, 2.0, 4.0, 8.0)


@dataclass(frozen=True)
class Request:
    """What has to be known of a POST to find its image in a listing."""

    name: str  #: The file name that was sent; for a POST by address, the address.
    source_sha256: str
    sha256: str
    highest_id: int  #: The highest image id that was known before.

    @property
    def by_url(self) -> bool:
        return "://" in self.name

    def hits(self, images: Sequence[StoreImage], ours: frozenset[int] = frozenset()) -> list[StoreImage]:
        """Return the images that this request made, or can have made, lowest id first.

        An address carries no marker of ours: there its name counts, among ids higher than any
        that was known before and not known to be another request's.
        """
        if self.by_url:
            stem = marker.clean_stem(self.name).replace("-", "")
            found = [image for image in images if image.id > self.highest_id and image.id not in ours
                     and marker.clean_stem(image.image_file).replace("-", "").startswith(stem)]
        else:
            mark = marker.Marker.of(self.source_sha256, self.sha256)
            found = [image for image in images if mark.is_in(image.image_file)]
        return sorted(found, key=lambda image: image.id)


@dataclass(frozen=True)
class Settler:
    """Settles writes of one store. `sleep` is a parameter so that tests need not wait."""

    products: Products
    sleep: Callable[[float], object]
    waits: Sequence[float] = field(default=WAITS)

    def look(self, product: Product, request: Request, *, first_wait: float = 0.0) -> list[StoreImage] | None:
        """Return the images of a request: none means proved absent. None: it could not be told."""
        ledger = self.products.ledger
        looked = False
        for index, wait in enumerate(self.waits):
            self.sleep(max(wait, first_wait) if index == 0 else wait)
            try:
                images = self.products.list_all(product)
            except ProductNotFound:
                return []  # nor can it hold an image then
            except StopRun:
                raise
            except StoreError as error:
                log.info("product %d could not be listed: %s", product.id, error)
                looked = False
                continue
            looked = True
            ours = frozenset(image.image_id for image in ledger.images(self.products.identity, product.id))
            hits = request.hits(images, ours)
            if hits:
                return None if request.by_url and len(hits) > 1 else hits
        return [] if looked else None

    def settle_open(self) -> int:
        """Settle every write that an earlier run left open; return how many there were."""
        ledger, store = self.products.ledger, self.products.identity
        operations = ledger.open_operations(store)
        if operations:
            log.info("settling %d requests that an earlier run left open", len(operations))
        for operation in operations:
            product = self.products[operation.product]
            if operation.kind == "post":
                self.settle_post(product, operation)
            elif operation.kind == "delete":
                self._settle_delete(product, operation, ledger)
            else:  # repeating a change is harmless, and the run that needs it repeats it
                ledger.settle(operation.number, "failed", detail="cut off")
        return len(operations)

    def settle_post(self, product: Product, operation: Operation) -> None:
        """Find out what became of a POST, and write it down: done, failed, or still uncertain."""
        ledger = self.products.ledger
        request = Request(operation.name, operation.source_sha256, operation.sha256, operation.highest_id)
        hits = self.look(product, request)
        if hits is None:
            ledger.settle(operation.number, "uncertain", detail="the listing does not tell")
        elif not hits:
            ledger.settle(operation.number, "failed", detail="absent from the listing")
        else:
            image = recorded(self.products.identity, operation.run, hits[0], request)
            place = ledger.place(self.products.identity, product.id, operation.key)
            before = ledger.replaced(self.products.identity, by=operation.undoes, product=product.id,
                                     key=operation.key) if operation.undoes else []
            if before:
                place = replace(before[0].place, image_id=image.image_id, mtime_ns=None, inode=None, etag=None)
            elif place is None or place.source_sha256 != operation.source_sha256:
                # the file is looked at again by the run that follows: without its size and time it counts as changed
                place = Place(self.products.identity, product.id, operation.key, image.image_id,
                              operation.source_sha256, run=operation.run)
            ledger.settle(operation.number, "done", detail="found in the listing", image=image, place=place)

    def _settle_delete(self, product: Product, operation: Operation, ledger: Ledger) -> None:
        try:
            images = self.products.list_all(product)
        except ProductNotFound:
            images = []
        except StopRun:
            raise
        except StoreError as error:  # it stays open: a later run looks again
            log.info("product %d could not be listed: %s", product.id, error)
            return
        here = any(image.id == operation.image_id for image in images)
        ledger.settle(operation.number, "failed" if here else "done", detail="found in the listing" if here else "gone",
                      gone=None if here else operation.image_id)


def recorded(store: str, run: str, image: StoreImage, request: Request, size: int | None = None) -> Image:
    """Return what the ledger keeps of an image that a request made."""
    return Image(store, image.product_id, image.id, request.source_sha256, request.sha256,
                 image.image_file or request.name, image.url, size, run)
