"""What is left to do for a product when its last picture is through: texts, thumbnail, deletions, in this order."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from imagepipe import marker
from imagepipe.errors import ExitCode, Retry, StopRun, StoreError
from imagepipe.ledger import Image, Place, Shown
from imagepipe.stores import Store, StoreImage
from imagepipe.stores.products import Product, Products
from imagepipe.stores.records import Records, as_shown

log = logging.getLogger("imagepipe")


@dataclass(eq=False)
class Finisher:
    """Ends products. Deletes nothing that this ledger did not upload, and never more than `max_delete` in a run."""

    store: Store
    records: Records
    products: Products
    max_delete: int
    deleted: int = 0
    not_deleted: int = 0  #: Left for another run, as `max_delete` was reached.
    unfinished: list[str] = field(default_factory=list)  #: What could not be done, a sentence each.
    exit_code: ExitCode = ExitCode.OK  #: What the process has to say of that.
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def finish(self, product: Product) -> None:
        """Do what is left for a product; note what cannot be done, and go on."""
        if not product.exists:
            return
        for step in (self._merge_descriptions, self._set_thumbnail, self._delete_replaced):
            try:
                step(product)
            except StopRun:
                raise
            except StoreError as error:  # the pictures are there: said in the summary, not for one of them
                self._note(product, error)

    def _note(self, product: Product, error: StoreError) -> None:
        with self._lock:
            self.unfinished.append(f"product {product.id}: {error}")
            if error.retry is Retry.AGAIN or self.exit_code is ExitCode.TRY_AGAIN:
                self.exit_code = ExitCode.TRY_AGAIN
            else:
                self.exit_code = ExitCode.SOME_FAILED

    def put(self, product: Product, image_id: int, changes: dict[str, Any]) -> StoreImage:
        """Change what the store shows of an image."""
        number = self.records.intend(product.id, "put", image_id=image_id)
        image = self.store.update(product.id, image_id, **changes)
        self.records.record(number, "done", detail=", ".join(changes))
        if image.is_thumbnail:
            product.only_thumbnail(image_id)
        product.images[image_id] = image
        return image

    def _merge_descriptions(self, product: Product) -> None:
        for image_id, (text, place) in product.descriptions.items():
            self.put(product, image_id, {"description": text})
            self.records.ledger.point(place)

    def _set_thumbnail(self, product: Product) -> None:
        wanted = product.thumbnail
        if wanted is None:
            has_one = any(image.is_thumbnail for image in product.images.values())
            if not product.uploaded or not product.complete or has_one:
                return
            wanted = product.uploaded[0]
        image = product.images.get(wanted)
        if image is None or not image.is_thumbnail:
            self.put(product, wanted, {"is_thumbnail": True})
        for place in self.records.places(product.id):
            if bool(place.is_thumbnail) != (place.image_id == product.thumbnail) and product.thumbnail is not None:
                self.records.ledger.point(replace(place, is_thumbnail=place.image_id == product.thumbnail or None))

    def _delete_replaced(self, product: Product) -> None:
        """Delete our images that no place points to any more."""
        ledger, store = self.records.ledger, self.records.store
        left_over = ledger.without_place(store, product.id)
        if not left_over or not ledger.durable:
            return
        listed = {image.id: image for image in self.products.list_all(product)}
        pointed = {place.image_id for place in self.records.places(product.id)}
        successors_are_there = set(product.uploaded) <= set(listed) and (not pointed or bool(pointed & set(listed)))
        for image in left_over:
            there = listed.get(image.image_id)
            if there is None:
                if successors_are_there:  # else the listing is not to be trusted
                    ledger.gone(store, product.id, image.image_id, self.records.run)
            elif not successors_are_there:
                log.warning("image %d of product %d was replaced, but what replaced it is not listed; it stays",
                            image.image_id, product.id)
            elif there.image_file != image.name and not marker.shows_source(there.image_file, image.source_sha256):
                log.warning("image %d of product %d is listed as %r, which is not the one that was sent; it stays",
                            image.image_id, product.id, there.image_file)
            elif self._may_delete():
                self._delete(product, image, there)

    def _may_delete(self) -> bool:
        with self._lock:
            if self.deleted >= self.max_delete:
                self.not_deleted += 1
                return False
            self.deleted += 1
            return True

    def _delete(self, product: Product, image: Image, there: StoreImage) -> None:
        shown, before = as_shown(there), Shown.of(image.shown)
        if before is not None:  # what replaced it has taken the thumbnail from it
            shown = replace(shown, is_thumbnail=before.is_thumbnail)
        number = self.records.intend(product.id, "delete", image_id=image.image_id, shown={image.image_id: shown})
        self.store.delete(product.id, image.image_id)
        self.records.record(number, "done", gone=image.image_id)
        product.images.pop(image.image_id, None)

    def prune(self, places: Iterable[Place]) -> None:
        """Forget places that have gone from the source, and delete the images that no place shows any more."""
        products = set()
        for place in places:
            self.records.ledger.forget_place(place, by=self.records.run)
            products.add(place.product)
        for product_id in sorted(products):
            product = self.products[product_id]
            with product.lock:
                try:
                    self._delete_replaced(product)
                except StopRun:
                    raise
                except StoreError as error:
                    self._note(product, error)
