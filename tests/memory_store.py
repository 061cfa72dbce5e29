"""A store in memory: the same table as a real one, without the wire.

For tests of logic, which run it thousands of times. What the wire does is tested over real
sockets elsewhere.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import Any

from imagepipe.errors import ProductFull, ProductNotFound, Rejected
from imagepipe.stores import StoreImage, Upload


class Killed(BaseException):
    """What a killed process does not live to see."""


@dataclass
class MemoryStore:
    """Products by id, each with its images. `before` and `after` are called around every request."""

    skus: dict[str, int] = field(default_factory=dict)
    products: dict[int, dict[int, StoreImage]] = field(default_factory=dict)
    before: Callable[[str, int], None] = lambda what, number: None
    after: Callable[[str, int], None] = lambda what, number: None
    side_load_limit: int = 5
    mangle: Callable[[str], str] = lambda name: name
    identity: str = "memory"

    def __post_init__(self) -> None:
        self.requests: list[str] = []
        self.posted: list[str] = []  #: File name or address of every POST that was carried out.
        self.bodies: dict[int, bytes] = {}
        self.next_id = 100
        self.lock = threading.Lock()
        self.at_once = 0
        self.most_at_once = 0
        self.at_once_by_product: dict[int, int] = {}

    def add_product(self, product_id: int, *skus: str) -> int:
        self.products.setdefault(product_id, {})
        self.skus.update(dict.fromkeys(skus, product_id))
        return product_id

    def names(self, product_id: int) -> list[str]:
        """Return the images' names in the order in which the store shows them."""
        shown = sorted(self.products[product_id].values(), key=lambda image: (image.sort_order, image.id))
        return [PurePosixPath(image.image_file).name for image in shown]

    def _request(self, what: str) -> int:
        with self.lock:
            self.requests.append(what)
            number = len(self.requests)
        self.before(what, number)
        return number

    def _product(self, product_id: int) -> dict[int, StoreImage]:
        if product_id not in self.products:
            raise ProductNotFound(f"no product {product_id}")
        return self.products[product_id]

    # -- the protocol --------------------------------------------------------------------------

    def product_ids(self, skus: Sequence[str]) -> Mapping[str, int]:
        number = self._request("skus")
        found = {sku: self.skus[sku] for sku in skus if sku in self.skus}
        self.after("skus", number)
        return found

    def known_skus(self) -> Iterable[str]:
        return list(self.skus)

    def side_loaded(self, product_ids: Sequence[int]) -> Mapping[int, Sequence[StoreImage]]:
        number = self._request("side_loaded")
        found = {id_: list(self.products[id_].values())[:self.side_load_limit]
                 for id_ in product_ids if id_ in self.products}
        self.after("side_loaded", number)
        return found

    def images(self, product_id: int) -> Sequence[StoreImage]:
        number = self._request("images")
        found = list(self._product(product_id).values())
        self.after("images", number)
        return found

    def image(self, product_id: int, image_id: int) -> StoreImage | None:
        number = self._request("image")
        found = self._product(product_id).get(image_id)
        self.after("image", number)
        return found

    def create(self, upload: Upload) -> StoreImage:
        number = self._request("create")
        with self.lock:
            images = self._product(upload.product_id)
            if len(images) >= 1000:
                raise ProductFull("full")
            if upload.image_url is None and not upload.data:
                raise Rejected("no picture")
            self.next_id += 1
            name = upload.name or PurePosixPath(upload.image_url or "").name
            clean = re.sub(r"[^a-z0-9._-]", "_", self.mangle(name).lower())
            stem, dot, extension = clean.rpartition(".")
            path = f"a/1/{stem}__{self.next_id:05}{dot}{extension}"
            image = StoreImage(self.next_id, upload.product_id, path, bool(upload.is_thumbnail) or not images,
                               upload.sort_order or 0, upload.description or "")
            if image.is_thumbnail:
                for id_, other in images.items():
                    images[id_] = replace(other, is_thumbnail=False)
            images[image.id] = image
            self.bodies[image.id] = upload.data or b""
            self.posted.append(upload.name or upload.image_url or "")
        self.after("create", number)
        return image

    def update(self, product_id: int, image_id: int, **changes: Any) -> StoreImage:
        number = self._request("update")
        with self.lock:
            images = self._product(product_id)
            if image_id not in images:
                raise Rejected("no such image")
            if changes.get("is_thumbnail"):
                for id_, other in images.items():
                    images[id_] = replace(other, is_thumbnail=False)
            images[image_id] = replace(images[image_id], **changes)
        self.after("update", number)
        return images[image_id]

    def delete(self, product_id: int, image_id: int) -> None:
        number = self._request("delete")
        with self.lock:
            images = self._product(product_id)
            gone = images.pop(image_id, None)
            if gone is not None and gone.is_thumbnail and images:
                first = min(images)
                images[first] = replace(images[first], is_thumbnail=True)
        self.after("delete", number)

    def close(self) -> None: ...
