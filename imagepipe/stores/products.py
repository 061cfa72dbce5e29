"""What is known of the products of a run: which images each holds, and which of them are ours."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from imagepipe import marker
from imagepipe.errors import ProductNotFound, StopRun
from imagepipe.ledger import Image, Ledger, Place
from imagepipe.stores import Store, StoreImage
from imagepipe.stores.survey import Survey

log = logging.getLogger("imagepipe")

#: A side-load shows no more than some of a product's images: with this many, absence is proved by its own listing.
SIDE_LOAD_TRUSTED_BELOW = 10


@dataclass(eq=False)
class Product:
    """One product while a run lasts. Only the thread that holds `lock` changes it."""

    id: int
    images: dict[int, StoreImage] = field(default_factory=dict)  #: By image id, as last seen.
    exists: bool = True
    listed: bool = False  #: `images` was seen at all.
    complete: bool = False  #: `images` is all of them: what is not there is absent.
    planned: int = 0  #: Pictures that a plan would send.
    thumbnail: int | None = None  #: The image that is to be the thumbnail, when it is known.
    uploaded: list[int] = field(default_factory=list)  #: Image ids, in the order in which they were sent.
    uncertain: dict[str, int] = field(default_factory=dict)  #: Source hash -> the POST of this run that is undecided.
    said_taken: set[str] = field(default_factory=set)  #: Of these, the store said that it took the picture.
    #: Image -> order and key of the first place, in the order of the input, that is known to show it in this run.
    first: dict[int, tuple[int, str]] = field(default_factory=dict)
    #: Source as given -> images, within this run: two manifests may both say `1.jpg`.
    by_source: dict[str, list[int]] = field(default_factory=dict)
    #: Texts of duplicates for images that have none, with the place that states each; sent at the end.
    descriptions: dict[int, tuple[str, Place]] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)

    @property
    def highest_id(self) -> int:
        """The highest image id that is known: a new image gets a higher one."""
        return max(self.images, default=0)

    def shows(self, key: str, order: int, image_id: int) -> bool:
        """Note that a place shows an image; tell whether none before it in the input does."""
        self.first[image_id] = min(self.first.get(image_id, (order, key)), (order, key))
        return self.first[image_id][1] == key

    def only_thumbnail(self, image_id: int) -> None:
        """Note that an image is the thumbnail now, which takes it from the one that was."""
        self.images = {id_: replace(image, is_thumbnail=id_ == image_id) for id_, image in self.images.items()}


class Products:
    """The products of a run, each looked at once before its first POST."""

    def __init__(self, store: Store, ledger: Ledger, run: str, seen: Survey | None = None) -> None:
        self.store, self.ledger, self.run = store, ledger, run
        self.seen = seen  #: What was seen just before the run.
        # of it, the listings of products that the run has not dealt with: they are gone by once
        self._seen_listings = dict(seen.listings) if seen is not None else {}
        self.identity = store.identity
        self._products: dict[int, Product] = {}
        self._ids: dict[str, int | None] = {}
        self._lock = threading.Lock()
        self._told_of_new_ledger = False

    def __getitem__(self, product_id: int) -> Product:
        with self._lock:
            return self._products.setdefault(product_id, Product(product_id))

    def forget(self, product_id: int) -> None:
        """Let go of a product that is through; should it come again, it is looked at again."""
        with self._lock:
            self._products.pop(product_id, None)
            self._seen_listings.pop(product_id, None)

    # -- SKUs ----------------------------------------------------------------------------------

    def resolve(self, skus: Iterable[str]) -> None:
        """Ask the store for the products of SKUs that have not been asked for yet."""
        if self.seen is not None and self.seen.is_fresh:
            self._ids = {**self.seen.ids, **self._ids}
        new = sorted({sku for sku in skus if sku not in self._ids})
        if new:
            found = self.store.product_ids(new)
            self._ids.update({sku: found.get(sku) for sku in new})

    def id_of(self, sku: str) -> int | None:
        """Return the product of a SKU that was asked for; None: the store does not know it."""
        return self._ids.get(sku)

    def nearest_sku(self, sku: str) -> str | None:
        """Return the most similar SKU that the store is known to have, for a hint."""
        import difflib

        known = [name for name, id_ in self._ids.items() if id_ is not None]
        known.extend(name for name in self.store.known_skus() if name not in self._ids)
        by_lower = {name.lower(): name for name in known}
        near = difflib.get_close_matches(sku.lower(), by_lower, n=1, cutoff=0.75)
        return by_lower[near[0]] if near else None

    # -- images --------------------------------------------------------------------------------

    def look_at(self, product_ids: Iterable[int]) -> None:
        """List the products that have not been looked at, many per request."""
        new = sorted({id_ for id_ in product_ids if not self[id_].listed})
        if not new:
            return
        seen = self._seen_listings if self.seen is not None and self.seen.is_fresh else {}
        listings = {id_: images for id_ in new if (images := seen.get(id_)) is not None}
        unseen = [id_ for id_ in new if id_ not in seen]
        if unseen:
            listings.update(self.store.side_loaded(unseen))
        for id_ in new:
            product = self[id_]
            with product.lock:
                product.listed = True
                if id_ not in listings:
                    product.exists = False
                else:
                    self._see(product, listings[id_], complete=len(listings[id_]) < SIDE_LOAD_TRUSTED_BELOW)

    def survey(self, existing: Literal["add", "skip"], with_others: int, *, whole: bool,
               stopped: StopRun | None) -> Survey:
        """Return what is known of the products that were looked at, for the run that follows."""
        looked_at = [product for product in self._products.values() if product.listed]
        listings = {product.id: list(product.images.values()) if product.exists else None for product in looked_at}
        return Survey(existing, sum(product.exists for product in looked_at), with_others, whole, stopped,
                      dict(self._ids), listings)

    def list_all(self, product: Product) -> Sequence[StoreImage]:
        """Read a product's own listing; raise `ProductNotFound`."""
        try:
            images = self.store.images(product.id)
        except ProductNotFound:
            product.exists = False
            raise
        self._see(product, images, complete=True)
        return images

    def _see(self, product: Product, images: Sequence[StoreImage], *, complete: bool) -> None:
        if complete:
            product.images = {}
        product.images.update((image.id, image) for image in images)
        product.complete = product.complete or complete
        product.listed = True
        if self.ledger.is_new and self.ledger.durable and not self._told_of_new_ledger:
            strangers = [image for image in images if marker.find(image.image_file)]
            known = strangers and (self.ledger.images(self.identity, product.id)
                                   # one of this run, seen before it is written down
                                   or self.ledger.operations(self.identity, "product = ?", product.id))
            if strangers and not known:
                self._told_of_new_ledger = True
                log.warning("the ledger %s is new, but the store already holds images that imagepipe sent (product %d, "
                            "image %d, …); they are recognised by their names and not sent again. If there should be "
                            "a ledger, stop and name it with --ledger", self.ledger.path, product.id, strangers[0].id)

    def foreign(self, product: Product) -> list[StoreImage]:
        """Return the images of a product that are not ours."""
        # copied first, in one step: a picture of this product may be on its way in another thread
        unmarked = [image for image in list(product.images.values()) if marker.find(image.image_file) is None]
        if not unmarked:
            return []
        known = {image.image_id for image in self.ledger.images(self.identity, product.id) if image.ours}
        return [image for image in unmarked if image.id not in known]

    def next_order(self, product: Product) -> int:
        """Return the `sort_order` of the first row of this run: after the images that are not ours."""
        return max((image.sort_order for image in self.foreign(product)), default=-1) + 1

    def holding(self, product: Product, source_sha256: str) -> list[int]:
        """Return the ids of the images in a product that show this source, the one to keep first.

        What the listing names counts, and what the ledger knows, if it has not gone since. The
        one to keep is one that a place points to, else the lowest.
        """
        named = {image.id for image in product.images.values() if marker.shows_source(image.image_file, source_sha256)}
        for image in self.ledger.images(self.identity, product.id, source_sha256=source_sha256):
            if not product.complete or image.image_id in product.images:
                named.add(image.image_id)
        if len(named) < 2:
            return list(named)
        pointed = {place.image_id for place in self.ledger.places(self.identity, product.id)}
        return sorted(named, key=lambda id_: (id_ not in pointed, id_))

    def claim_surplus(self, product: Product, source_sha256: str, ids: Sequence[int]) -> list[int]:
        """Take responsibility for images beyond the first of `ids`, where we intended as many.

        Returns those that are left alone because this ledger does not hold an intent for each.
        """
        surplus = list(ids[1:])
        if not surplus:
            return []
        if len(self.ledger.posts(self.identity, product.id, source_sha256)) < len(ids):
            return surplus
        known = {image.image_id for image in self.ledger.images(self.identity, product.id)}
        for id_ in surplus:
            if id_ not in known:
                listed = product.images.get(id_)
                self.ledger.learn(Image(self.identity, product.id, id_, source_sha256,
                                        name=listed.image_file if listed else "", run=self.run))
        return []


def no_such_product(product_id: int) -> ProductNotFound:
    """Return the error for a product that the store does not have."""
    return ProductNotFound(f"the store has no product {product_id}; check the id in the store's product list")
