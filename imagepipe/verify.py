"""Compare what a store holds with what the ledger says that we sent; adopt what was there before us."""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from imagepipe import marker
from imagepipe.asset import Asset, Likeness
from imagepipe.errors import ExitCode, ImagepipeError, ProductNotFound, StopRun, StoreError
from imagepipe.ledger import Image, Ledger, Place
from imagepipe.outcome import SCHEMA, printable
from imagepipe.stores import Store, StoreImage
from imagepipe.stores.products import SIDE_LOAD_TRUSTED_BELOW
from imagepipe.stores.records import kept_location, without_secrets

log = logging.getLogger("imagepipe")

_BATCH = 50  #: Products in one listing request.

#: Yields what a store serves of an image, the likeliest original first, or raises `ImagepipeError`.
Download = Callable[[StoreImage], Iterable[bytes]]


class Mark(StrEnum):
    """How an image of the store stands to the ledger."""

    SAME = "="
    MISSING = "-"
    CHANGED = "*"  #: Order, text, thumbnail or name are not what was sent.
    UNKNOWN = "+"  #: The ledger does not know it.
    UNTOLD = "!"  #: It could not be told.


_WORDS = {Mark.SAME: "same", Mark.MISSING: "missing", Mark.CHANGED: "changed", Mark.UNKNOWN: "unknown",
          Mark.UNTOLD: "untold"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One image, and what was found of it."""

    mark: Mark
    product_id: int
    image_id: int
    keys: tuple[str, ...] = ()  #: The places that show it.
    name: str = ""  #: As the store lists it, else as it was sent.
    reason: str = ""
    url: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON line: type `image`."""
        return {"type": "image", "schema": SCHEMA, "mark": str(self.mark), "status": _WORDS[self.mark],
                "source": printable(self.keys[0]) if self.keys else None, "keys": [printable(key) for key in self.keys],
                "product_id": self.product_id, "image_id": self.image_id, "output": printable(self.name),
                "reason": printable(self.reason) or None, "url": self.url}


@dataclass(slots=True)
class Findings:
    """The totals of a comparison."""

    counts: Counter[Mark] = field(default_factory=Counter)
    stopped: str = ""

    @property
    def exit_code(self) -> ExitCode:
        """0 where all is the same or merely unknown to us, 1 for differences, 4 where something could not be told."""
        if self.stopped or self.counts[Mark.UNTOLD]:
            return ExitCode.TRY_AGAIN
        return ExitCode.SOME_FAILED if self.counts[Mark.MISSING] or self.counts[Mark.CHANGED] else ExitCode.OK

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON line: type `summary`."""
        return {"type": "summary", "schema": SCHEMA, "total": self.counts.total(),
                **{word: self.counts[mark] for mark, word in _WORDS.items()},
                "stopped": self.stopped or None, "exit_code": int(self.exit_code)}


def verify(store: Store, ledger: Ledger, *, products: Iterable[int] | None = None,
           download: Download | None = None) -> Iterator[Finding]:
    """Yield a finding for each image that the ledger or the store has, product by product.

    Looks at the products that the ledger knows, or at `products`, many in one request. With
    `download`, each picture is fetched and compared with what was sent, where the store serves it
    as it was sent. Sends nothing. Raises `StopRun` where the store cannot be asked.
    """
    known = {image.product for image in ledger.images(store.identity)}
    wanted = sorted(known if products is None else set(products))
    for start in range(0, len(wanted), _BATCH):
        batch = wanted[start:start + _BATCH]
        listings = store.side_loaded(batch)
        for product_id in batch:
            yield from _product(store, ledger, product_id, listings.get(product_id), download)


def _product(store: Store, ledger: Ledger, product_id: int, listed: Sequence[StoreImage] | None,
             download: Download | None) -> Iterator[Finding]:
    images = {image.image_id: image for image in ledger.images(store.identity, product_id)}
    places: dict[int, list[Place]] = {}
    for place in ledger.places(store.identity, product_id):
        places.setdefault(place.image_id, []).append(place)
    problem = ""
    try:
        if listed is None:
            problem, listed = "the product is no longer in the store", []
        elif len(listed) >= SIDE_LOAD_TRUSTED_BELOW:
            listed = store.images(product_id)
    except ProductNotFound:
        problem, listed = "the product is no longer in the store", []
    except StopRun:
        raise
    except StoreError as error:
        for image in images.values():
            yield _finding(Mark.UNTOLD, image, places, f"the product could not be listed: {error}")
        return
    there = {image.id: image for image in listed}
    for image_id, image in images.items():
        found = there.pop(image_id, None)
        if found is None:
            yield _finding(Mark.MISSING, image, places, problem or "the store no longer has it")
        else:
            yield _compared(image, found, places, download)
    for found in there.values():
        ours = ": its name says that imagepipe sent it" if marker.find(found.image_file) else ""
        yield Finding(Mark.UNKNOWN, product_id, found.id, (), found.image_file, f"the ledger does not know it{ours}",
                      found.url)


def _finding(mark: Mark, image: Image, places: dict[int, list[Place]], reason: str) -> Finding:
    keys = tuple(place.key for place in places.get(image.image_id, ()))
    return Finding(mark, image.product, image.image_id, keys, image.name, reason, image.url)


def _compared(image: Image, found: StoreImage, places: dict[int, list[Place]], download: Download | None) -> Finding:
    changes = []
    if found.image_file != image.name and not marker.shows_source(found.image_file, image.source_sha256):
        changes.append(f"it is named {found.image_file}, and was {image.name}")
    for place in places.get(image.image_id, ()):
        for name, shown in (("sort_order", found.sort_order), ("description", found.description),
                            ("is_thumbnail", found.is_thumbnail)):
            stated = getattr(place, name)
            if stated is not None and stated != shown:
                changes.append(f"{name} is {shown!r}, and was sent as {stated!r}")
    if changes:
        return _finding(Mark.CHANGED, image, places, "; ".join(dict.fromkeys(changes)))
    if download is not None and image.sha256 is not None:
        try:
            same = any(hashlib.sha256(data).hexdigest() == image.sha256 for data in download(found))
        except ImagepipeError as error:
            return _finding(Mark.UNTOLD, image, places, f"it could not be fetched: {error}")
        if not same:
            return _finding(Mark.SAME, image, places, "it is there; the store serves another rendition of it, so that "
                            "the bytes cannot be compared")
    return _finding(Mark.SAME, image, places, "")


# -- adopting ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Adoption:
    """An image of the store that shows the picture of a place."""

    place: Place
    image: Image
    certain: bool  #: The same bytes; otherwise it merely looks the same.


def adoptable(store: Store, ledger: Ledger, assets: Iterable[Asset], *, download: Download,
              likeness: Callable[[bytes], Likeness | None]) -> Iterator[Adoption]:
    """Yield an adoption for each picture of the source that the store holds without the ledger knowing.

    `assets` are read (`received`, `likeness`) and have their product's id. The same bytes are
    certain; what looks the same needs a person's yes.
    """
    from imagepipe.likeness import alike

    by_product: dict[int, list[Asset]] = {}
    for asset in assets:
        if asset.target.product_id is not None and asset.received is not None:
            by_product.setdefault(asset.target.product_id, []).append(asset)
    for product_id, wanted in sorted(by_product.items()):
        known = {image.image_id for image in ledger.images(store.identity, product_id)}
        strangers = [image for image in store.images(product_id) if image.id not in known]
        open_places = [asset for asset in wanted
                       if ledger.place(store.identity, product_id, without_secrets(asset.place)) is None]
        for stranger in strangers if open_places else ():
            data, same = b"", []
            try:
                for data in download(stranger):
                    digest = hashlib.sha256(data).hexdigest()
                    same = [asset for asset in open_places if asset.received and asset.received.sha256 == digest]
                    if same:
                        break
            except ImagepipeError as error:
                log.warning("image %d of product %d could not be fetched: %s", stranger.id, product_id, error)
            looks = None if same or not data else likeness(data)
            similar = [] if looks is None else [
                asset for asset in open_places if asset.likeness is not None and alike(asset.likeness, looks)]
            for asset in (same or similar)[:1]:
                open_places.remove(asset)
                yield _adoption(store.identity, product_id, stranger, asset, certain=bool(same))


def _adoption(identity: str, product_id: int, stranger: StoreImage, asset: Asset, *, certain: bool) -> Adoption:
    received = asset.received
    assert received is not None  # the caller chose those that were read
    place = Place(identity, product_id, without_secrets(asset.place), stranger.id, received.sha256,
                  kept_location(asset.location), received.size if received.mtime_ns is not None else None,
                  received.mtime_ns, received.inode, received.etag)
    image = Image(identity, product_id, stranger.id, received.sha256, None, stranger.image_file, stranger.url or None,
                  ours=False)
    return Adoption(place, image, certain)


def adopt(ledger: Ledger, adoption: Adoption) -> None:
    """Let a place show an image that we did not send; it is never deleted by us."""
    ledger.learn(adoption.image)
    ledger.point(adoption.place)
