"""Where pictures go: the BigCommerce store, or a folder."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

__all__ = ["Store", "StoreImage", "Upload"]


@dataclass(frozen=True, slots=True)
class StoreImage:
    """An image as the store lists it."""

    id: int
    product_id: int
    image_file: str = ""  #: Path in the store; keeps the name that was uploaded, cleaned, cut, with a suffix.
    is_thumbnail: bool = False
    sort_order: int = 0
    description: str = ""
    url: str = ""  #: `url_zoom`, or what else the store gives.
    date_modified: str = ""


@dataclass(frozen=True, slots=True)
class Upload:
    """What is sent to create an image: bytes with a name, or an address."""

    product_id: int
    name: str = ""  #: File name, with our marker.
    media_type: str = "application/octet-stream"
    data: bytes | None = field(default=None, repr=False)
    image_url: str | None = field(default=None, repr=False)  #: Instead of `data`; at most 255 characters.
    sort_order: int | None = None  #: None: not sent.
    is_thumbnail: bool | None = None
    description: str | None = None
    date_modified: str | None = None
    send_product_id: bool = False


class Store(Protocol):
    """What the uploader asks of a store. `stores.bigcommerce.BigCommerce` is one.

    Every method raises `StopRun` (`AccessRefused`, `StoreDown`, `StoreUnusable`) for what concerns
    the store and not the picture. Reads are repeated by the client until they succeed or a limit is
    reached; writes never, except where it is proved that nothing was stored (429, no connection).
    """

    @property
    def identity(self) -> str:
        """Name of the store in the ledger: its hash, and its origin where that is not BigCommerce's."""
        ...

    def product_ids(self, skus: Sequence[str]) -> Mapping[str, int]:
        """Return the product of each SKU that exists, of products and of variants."""
        ...

    def known_skus(self) -> Iterable[str]:
        """Return SKUs that have been seen, for a hint at the nearest one. Sends nothing."""
        ...

    def side_loaded(self, product_ids: Sequence[int]) -> Mapping[int, Sequence[StoreImage]]:
        """Return products that exist, each with images of it: proof of presence only, never of absence.

        Many products a request (at most 50). A product that is missing here does not exist.
        """
        ...

    def images(self, product_id: int) -> Sequence[StoreImage]:
        """Return all images of one product, from its own paged listing; raise `ProductNotFound`."""
        ...

    def image(self, product_id: int, image_id: int) -> StoreImage | None:
        """Return one image, or None where it does not exist."""
        ...

    def create(self, upload: Upload) -> StoreImage:
        """Send one image, once.

        Raises `Rejected`, `ProductNotFound`, `ProductFull` (nothing was stored), `StoreBusy`, or
        `Ambiguous` where only the listing can tell.
        """
        ...

    def update(self, product_id: int, image_id: int, **changes: Any) -> StoreImage:
        """Change `sort_order`, `is_thumbnail`, `description`. Repeating it is harmless, so it is repeated."""
        ...

    def delete(self, product_id: int, image_id: int) -> None:
        """Delete one image; one that is gone already is well."""
        ...

    def close(self) -> None: ...
