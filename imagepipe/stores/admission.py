"""Which product each row belongs to, in which turn, and whether that product takes it."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from typing import Literal

from imagepipe.asset import Asset
from imagepipe.errors import SourceError, StopRun, StoreError
from imagepipe.ledger import Place
from imagepipe.outcome import Outcome, Status
from imagepipe.pipeline import failure
from imagepipe.sources.apart import Apart, Numbers
from imagepipe.stores.products import Product, Products, no_such_product
from imagepipe.stores.records import without_secrets


@dataclass(eq=False)
class Admission:
    """Admits the rows of one run, in input order, before anything is read."""

    products: Products
    existing: Literal["add", "skip"]  #: For products that hold images which are not ours.
    had_images: set[int] = field(default_factory=set)  #: Products that do, of those that were looked at.
    _named: Numbers = field(default_factory=Numbers)  # hashes of the places that the source names
    # kept here, since what is known of a product is let go of when it is through, and it may come again
    _rows: dict[int, int] = field(default_factory=dict)  # by product: rows so far, whose order is that of the input
    _thumbnails: dict[int, str] = field(default_factory=dict)  # by product: the first source that stated `is_thumbnail`
    _apart: Apart = field(default_factory=Apart)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def addressed(self, asset: Asset) -> Asset | Outcome:
        """Return the asset with its product's id and its turn there, or why it has none."""
        target = asset.target
        if target.product_id is not None:
            return self._counted(asset, self.products[target.product_id])
        if target.sku is None:
            return failure(asset, SourceError("it is not said which product this belongs to: give a product_id or sku "
                                              "column, --product-id, --sku or --match", "no_target"), "Upload")
        product_id = self.products.id_of(target.sku)
        if product_id is None:
            near = self.products.nearest_sku(target.sku)
            hint = f"; the nearest that it has is {near!r}" if near else ""
            return failure(asset, SourceError(f"the store has no product or variant with the SKU {target.sku!r}{hint}",
                                              "unknown_sku"), "Upload")
        return self._counted(asset.evolve(target=replace(target, product_id=product_id)),
                             self.products[product_id])

    def _counted(self, asset: Asset, product: Product) -> Asset:
        """Return the asset with its position in its product, which can have one thumbnail row."""
        with self._lock:  # not the product's own lock, which is held while one of its pictures is sent
            # a SKU and an id may lead to one product, where a key means one place
            told = self._apart(replace(asset, target=replace(asset.target, sku=None)))
            asset = replace(asset, key=told.key, notes=told.notes)
            order = self._rows.get(product.id, 0)
            self._rows[product.id] = order + 1
            self._named.setdefault(hash((product.id, without_secrets(asset.place))), 0)
            if asset.target.is_thumbnail:
                first = self._thumbnails.setdefault(product.id, asset.source)
                if first != asset.source:
                    return asset.evolve(target=replace(asset.target, is_thumbnail=None), order=order,
                                        warning="second_thumbnail",
                                        note=f"not made the thumbnail, as {first} is")
        return replace(asset, order=order)

    def products_named(self) -> list[int]:
        """Return the products that the source names."""
        return sorted(self._rows)

    def names(self, place: Place) -> bool:
        """Tell whether the source names a place. By a hash: once in a blue moon it says so of one too many."""
        return hash((place.product, place.key)) in self._named

    def accepted(self, asset: Asset) -> Asset | Outcome:
        """Return the asset, or why its product cannot take it."""
        product = self.products[asset.target.product_id or 0]
        if not product.exists:
            return failure(asset, no_such_product(product.id), "Upload")
        try:
            holds_others = product.listed and self._holds_others(product)
        except StopRun:
            raise
        except StoreError as error:  # about this product, not about the others that are looked at together
            return failure(asset, error, "Upload")
        if holds_others:
            self.had_images.add(product.id)
            if self.existing == "skip":
                return Outcome(asset, Status.SKIPPED, "Upload", "the product already holds images that are not ours "
                               "(--existing skip)", "has_images")
        return asset

    def _holds_others(self, product: Product) -> bool:
        """Tell whether a product holds images that are not ours; where that decides, none is overlooked."""
        if self.products.foreign(product):
            return True
        if self.existing == "add" or product.complete:
            return False
        with product.lock:  # a side-load shows no more than some of its images
            self.products.list_all(product)
        return bool(self.products.foreign(product))
