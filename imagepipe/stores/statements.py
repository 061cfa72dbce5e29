"""What a source states of a picture (order, thumbnail, text), and which of it is to be sent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from imagepipe.asset import Asset, Target
from imagepipe.ledger import Place
from imagepipe.stores import StoreImage
from imagepipe.stores.products import Products
from imagepipe.stores.records import Records, without_secrets


@dataclass(eq=False)
class Statements:
    """Decides between the places of one run that show the same image."""

    products: Products
    records: Records

    def hold(self, asset: Asset, image_id: int, stated: dict[str, Any], *, look: bool = False) -> dict[str, Any]:
        """Return which statements of a place hold for the image that it shows.

        Where another place shows it first, those are the thumbnail, and a description if there is
        none: no place has stated one, nor does the store show one, as far as it was looked at.
        """
        product = self.products[asset.target.product_id or 0]
        if product.shows(without_secrets(asset.place), asset.order, image_id):
            return stated
        said = {"is_thumbnail": True} if stated.get("is_thumbnail") else {}
        if not stated.get("description") or any(place.description for place in self.records.ledger.places(
                self.records.store, product.id, image_id=image_id)):
            return said
        if look and image_id not in product.images:
            self.products.list_all(product)
        image = product.images.get(image_id)
        if (image is None and look) or (image is not None and image.description):
            return said
        return {**said, "description": stated["description"]}


def stated_changes(target: Target, place: Place) -> dict[str, Any]:
    """Return what is stated now and was not when the place was last sent."""
    return {name: value for name in ("sort_order", "is_thumbnail", "description")
            if (value := getattr(target, name)) is not None and value != getattr(place, name)
            and not (name == "is_thumbnail" and not value)}


def differences(target: Target, image: StoreImage) -> dict[str, Any]:
    """Return what is stated and the store shows otherwise."""
    return {name: value for name in ("sort_order", "is_thumbnail", "description")
            if (value := getattr(target, name)) is not None and value != getattr(image, name)
            and not (name == "is_thumbnail" and not value)}
