"""Put pictures into the store, each exactly once."""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from imagepipe import marker
from imagepipe.asset import Asset, Delivery, Target
from imagepipe.errors import (
    AccessRefused,
    Ambiguous,
    ConfigurationError,
    ExitCode,
    LedgerError,
    ProductFull,
    ProductNotFound,
    Rejected,
    Retry,
    Skip,
    SourceError,
    StopRun,
    StoreBusy,
    StoreError,
    StoreUnusable,
    Uncertain,
)
from imagepipe.ledger import Image, Ledger, Place
from imagepipe.outcome import Outcome, Status
from imagepipe.pipeline import failure
from imagepipe.stores import Store, StoreImage
from imagepipe.stores import Upload as Sending
from imagepipe.stores.products import Product, Products
from imagepipe.stores.settle import WAITS, Request, Settler, recorded

log = logging.getLogger("imagepipe")

MAX_IMAGES = 1000  #: A product holds no more (https://developer.bigcommerce.com, "Create a product image").


@dataclass(eq=False)
class _State:
    """What an `Upload` remembers."""

    products: Products
    settler: Settler
    settled: bool = False
    proved: bool = False  #: The store was seen to keep the names that we send.
    disproved: StoreUnusable | None = None  #: It was seen not to: nothing more may be sent.
    proof: threading.Lock = field(default_factory=threading.Lock)
    lock: threading.Lock = field(default_factory=threading.Lock)
    rejected: int = 0  #: In a row, over all products.
    full: set[int] = field(default_factory=set)
    deleted: int = 0
    not_deleted: int = 0
    other_settings: int = 0
    surplus: list[str] = field(default_factory=list)
    unfinished: list[str] = field(default_factory=list)  #: What could not be done after a product's last picture.
    retry_finish: bool = False  #: Running again may cure some of it.
    had_images: set[int] = field(default_factory=set)
    broken: LedgerError | None = None  #: The ledger could not record what the store did.


@dataclass(frozen=True)
class Upload:
    """Send pictures to a store, each to its product, exactly once.

    Before anything is sent, the ledger records the intent, and the product is listed; the file
    name says which picture it is. What the product holds already is skipped. A picture that has
    changed at its place replaces the one before: the new one is sent, checked, and only then the
    old one deleted, when the product's last row is through.

    Inline, `Upload(store)(asset)` does one picture; `finish(product_id)` ends a product.

    Raises `Skip`, `SourceError` (unknown SKU, no product), and the family of `StoreError`.
    """

    store: Store
    ledger: Ledger = field(default_factory=Ledger.in_memory, repr=False, compare=False)
    run: str = field(default="", repr=False, compare=False)
    existing: Literal["add", "skip"] = "add"  #: For products that hold images which are not ours.
    on_change: Literal["replace", "add", "skip"] = "replace"  #: For a place whose picture has changed.
    by_url: bool = False  #: Hand over the address instead of the bytes.
    checksum: bool = False  #: Read what looks unchanged as well.
    redo: bool = False  #: Send again what other settings have made.
    max_delete: int = 100  #: In one run.
    settings: str = ""  #: The recipe that prepares the pictures.
    planning: bool = False  #: Find out what would be done, and send nothing.
    attempts: int = 4  #: POSTs of one picture, each after the one before was proved absent.
    waits: Sequence[float] = field(default=WAITS, repr=False)  #: Seconds before each look at a listing.
    sleep: Callable[[float], object] = field(default=time.sleep, repr=False, compare=False)
    _state: _State = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name, allowed in (("existing", ("add", "skip")), ("on_change", ("replace", "add", "skip"))):
            if getattr(self, name) not in allowed:
                raise ConfigurationError(f"{name} is {getattr(self, name)!r}; it can be {' or '.join(allowed)}")
        products = Products(self.store, self.ledger, self.run)
        object.__setattr__(self, "_state", _State(products, Settler(products, self.sleep, self.waits)))

    # -- before anything is read ---------------------------------------------------------------

    def admit(self, assets: Sequence[Asset], /) -> list[Asset | Outcome]:
        """Find each row's product, list the products, and decide what is known to be unchanged."""
        self._check_ledger()
        state, products = self._state, self._state.products
        if not state.settled:
            state.settled = True
            if not self.planning:
                state.settler.settle_open()
        products.resolve(asset.target.sku for asset in assets
                         if asset.target.product_id is None and asset.target.sku is not None)
        addressed = [self._addressed(asset) for asset in assets]
        decided = [self._if_unchanged(item) if isinstance(item, Asset) else item for item in addressed]
        wanted = (item.target.product_id for item in decided if isinstance(item, Asset) and item.delivery is None)
        products.look_at(id_ for id_ in wanted if id_ is not None)
        return [self._accepted(item) if isinstance(item, Asset) else item for item in decided]

    def _addressed(self, asset: Asset) -> Asset | Outcome:
        """Return the asset with its product's id and its turn there, or why it has none."""
        target = asset.target
        if target.product_id is not None:
            return self._counted(asset, self._state.products[target.product_id])
        if target.sku is None:
            return failure(asset, SourceError("it is not said which product this belongs to: give a product_id or sku "
                                              "column, --product-id, --sku or --match", "no_target"), "Upload")
        product_id = self._state.products.id_of(target.sku)
        if product_id is None:
            near = self._state.products.nearest_sku(target.sku)
            hint = f"; the nearest that it has is {near!r}" if near else ""
            return failure(asset, SourceError(f"the store has no product or variant with the SKU {target.sku!r}{hint}",
                                              "unknown_sku"), "Upload")
        return self._counted(asset.evolve(target=replace(target, product_id=product_id)),
                             self._state.products[product_id])

    def _counted(self, asset: Asset, product: Product) -> Asset:
        """Return the asset with its position in its product, which can have one thumbnail row."""
        with self._state.lock:  # not the product's own lock, which is held while one of its pictures is sent
            order, product.rows = product.rows, product.rows + 1
            if asset.target.is_thumbnail:
                if product.thumbnail_row not in (None, asset.source):
                    return asset.evolve(target=replace(asset.target, is_thumbnail=None), order=order,
                                        warning="second_thumbnail",
                                        note=f"not made the thumbnail, as {product.thumbnail_row} is")
                product.thumbnail_row = asset.source
        return replace(asset, order=order)

    def _if_unchanged(self, asset: Asset) -> Asset | Outcome:
        """Return the outcome of a file that is as it was when it was uploaded; else the asset."""
        from imagepipe.stages.read import stamp

        place = self._place(asset)
        if place is None or self.checksum or place.size is None or not asset.location or "://" in asset.location:
            return asset
        try:
            same = stamp(asset.location) == (place.size, place.mtime_ns, place.inode)
        except OSError:
            return asset  # Read says what is wrong with it
        if not same:
            return asset
        if place.settings != self.settings:
            self._state.other_settings += 1
            if self.redo:
                return asset
        known = asset.evolve(received=None)
        changes = _stated_changes(asset.target, place)
        if changes:
            delivery = Delivery(image_id=place.image_id, action="update", sha256=None)
            return known.evolve(delivery=delivery, note=f"only {', '.join(changes)} changed")
        there = known.evolve(delivery=Delivery(image_id=place.image_id, action="none"))
        return Outcome(there, Status.SKIPPED, "Upload", f"unchanged since it was uploaded as image {place.image_id}",
                       "already_uploaded")

    def _accepted(self, asset: Asset) -> Asset | Outcome:
        """Return the asset, or why its product cannot take it."""
        product = self._state.products[asset.target.product_id or 0]
        if not product.exists:
            return failure(asset, _no_such_product(product.id), "Upload")
        if product.listed and self._state.products.foreign(product):
            if self.existing == "skip":
                return Outcome(asset, Status.SKIPPED, "Upload", "the product already holds images that are not ours "
                               "(--existing skip)", "has_images")
            self._state.had_images.add(product.id)
        return asset

    # -- one picture ---------------------------------------------------------------------------

    def __call__(self, asset: Asset, /) -> Asset:
        self._check_ledger()
        if asset.target.product_id is None or not self._state.products[asset.target.product_id].listed:
            asset = self._admitted_alone(asset)
        product = self._state.products[asset.target.product_id or 0]
        with product.lock:
            if not product.exists:
                raise _no_such_product(product.id)
            if asset.delivery is not None:
                return self._update(product, asset, asset.delivery.image_id or 0)
            asset = _hashed(asset)
            assert asset.received is not None  # `_hashed` saw to it
            place = self._place(asset)
            held = self._held(product, asset.received.sha256)
            if held and not self._made_otherwise(place, held, asset):
                return self._already_there(product, asset, place, held)
            if place is not None and place.source_sha256 == asset.received.sha256 and not self.redo:
                raise Skip(f"uploaded before as image {place.image_id}, which the store no longer has; "
                           "'imagepipe verify --repair' sends it again", "already_uploaded")
            if place is not None and self.on_change == "skip":
                raise Skip(f"changed since it was uploaded as image {place.image_id} (--on-change skip)", "changed")
            if self.by_url:
                self._refuse_likely(product, asset)
            if len(product.images) >= MAX_IMAGES:
                raise ProductFull(f"product {product.id} holds {len(product.images):,} images, and {MAX_IMAGES:,} is "
                                  "the most that a product can have; delete some in the store")
            if self.planning:
                product.by_source[asset.source] = 0
                return asset.evolve(delivery=_planned(asset, "replace" if place else "upload"))
            return self._send(product, asset, place)

    def _admitted_alone(self, asset: Asset) -> Asset:
        """Admit one asset outside of a run."""
        [admitted] = self.admit([asset])
        if isinstance(admitted, Asset):
            return admitted
        if admitted.status is Status.SKIPPED:
            raise Skip(admitted.reason, admitted.code or "skipped")
        raise SourceError(admitted.reason, admitted.code or "bad_row")

    def _held(self, product: Product, source_sha256: str) -> list[int]:
        """Return the images in the product that show this source; absence is proved by a full listing."""
        held = self._state.products.holding(product, source_sha256)
        if not held and not product.complete:
            self._state.products.list_all(product)
            held = self._state.products.holding(product, source_sha256)
        if len(held) > 1 and not self.planning:
            left = self._state.products.claim_surplus(product, source_sha256, held)
            if left:
                self._state.surplus.append(f"product {product.id} holds the same picture as images "
                                           f"{', '.join(map(str, held))}; this ledger did not send them all, so none "
                                           "was deleted")
        return held

    def _refuse_likely(self, product: Product, asset: Asset) -> None:
        """Refuse an address whose picture may be there already: its image carries no marker that would tell."""
        known = frozenset(image.image_id for image in self._known(product))
        likely = Request(asset.location or asset.source, "", "", 0).hits(list(product.images.values()), known)
        if likely:
            raise Uncertain(f"product {product.id} already has an image of this name ({likely[0].image_file}), and "
                            "nothing proves that it is another picture; 'imagepipe verify --adopt' can tell, or send "
                            "the picture itself, without --by-url")

    def _made_otherwise(self, place: Place | None, held: list[int], asset: Asset) -> bool:
        """Tell whether other settings made the picture that is there, and it is to be made anew."""
        if not self.redo or place is None or asset.data is None:
            return False
        known = {image.image_id: image.sha256 for image in self.ledger.images(place.store, place.product)}
        return known.get(held[0]) not in (None, hashlib.sha256(asset.data).hexdigest())

    def _already_there(self, product: Product, asset: Asset, place: Place | None, held: list[int]) -> Asset:
        """End a picture that its product has: change what is stated otherwise, and say so."""
        image_id = held[0]
        product.by_source[asset.source] = image_id
        if self.planning:
            raise Skip(f"the product already has this picture, as image {image_id}", "already_uploaded")
        image = product.images.get(image_id)
        if image is not None and not any(known.image_id == image_id for known in self._known(product)):
            assert asset.received is not None  # the caller hashed it
            self.ledger.learn(Image(self._identity, product.id, image_id, asset.received.sha256, None,
                                    image.image_file, image.url, None, self.run))
        if place is not None and place.image_id == image_id:
            changes = _stated_changes(asset.target, place)
        else:
            changes = _differences(asset.target, image) if image else {}
        self._point(asset, image_id, replaced=place)
        if asset.target.is_thumbnail:
            product.thumbnail = image_id
            changes.pop("is_thumbnail", None)
        delivery = Delivery(image_id=image_id, action="none", url=image.url if image else None)
        if changes:
            return self._update(product, asset.evolve(delivery=delivery), image_id, changes)
        raise Skip(f"the product already has this picture, as image {image_id}", "already_uploaded")

    def _update(self, product: Product, asset: Asset, image_id: int, changes: dict[str, Any] | None = None) -> Asset:
        """Change what the store shows of an image, without sending it."""
        place = self._place(asset)
        if changes is None:
            changes = _stated_changes(asset.target, place) if place else {}
        if asset.target.is_thumbnail and "is_thumbnail" in changes:
            product.thumbnail = image_id  # set last, in `finish`
            changes = {name: value for name, value in changes.items() if name != "is_thumbnail"}
        delivery = Delivery(image_id=None if self.planning else image_id, action="update", attempts=1)
        if self.planning:
            return asset.evolve(delivery=delivery)
        if changes:
            try:
                image = self._put(product, image_id, changes)
            except Rejected as error:
                raise Rejected(f"image {image_id} could not be changed: {error}") from error
            delivery = replace(delivery, url=image.url)
        if place is not None:
            stated = {name: getattr(asset.target, name) for name in ("sort_order", "description")
                      if getattr(asset.target, name) is not None}
            self.ledger.point(replace(place, run=self.run, **stated))
        return asset.evolve(delivery=delivery)

    def _put(self, product: Product, image_id: int, changes: dict[str, Any]) -> StoreImage:
        number = self.ledger.intend(self.run, self._identity, product.id, "put", image_id=image_id)
        image = self.store.update(product.id, image_id, **changes)
        self._record(number, "done", detail=", ".join(changes))
        if image.is_thumbnail:
            _only_thumbnail(product, image_id)
        product.images[image_id] = image
        return image

    # -- sending -------------------------------------------------------------------------------

    def _send(self, product: Product, asset: Asset, place: Place | None) -> Asset:
        """Send a picture that the product is proved not to have."""
        old = product.images.get(place.image_id) if place and self.on_change == "replace" else None
        sending = self._sending(product, asset, old)
        request = self._request(product, asset, sending)
        if self._state.proved or self.by_url:
            image, attempts = self._post(product, asset, sending, request)
        else:
            with self._state.proof:  # the first POST goes alone, and its name is read back before the second
                if self._state.disproved is not None:
                    raise self._state.disproved
                image, attempts = self._post(product, asset, sending, request)
                self._prove(product, image, request)
        product.images[image.id] = image
        product.uploaded.append(image.id)
        product.by_source[asset.source] = image.id
        if image.is_thumbnail:
            _only_thumbnail(product, image.id)
        if asset.target.is_thumbnail or (old is not None and old.is_thumbnail and asset.target.is_thumbnail is None):
            product.thumbnail = image.id
        if place is not None and self.on_change == "add":
            self.ledger.keep(place.store, place.product, place.image_id)
        delivery = Delivery(image.id, image.url or None, sending.name or None, request.sha256,
                            len(asset.data) if asset.data is not None and not self.by_url else None,
                            "replace" if old is not None else "upload", attempts)
        return asset.evolve(delivery=delivery)

    def _sending(self, product: Product, asset: Asset, old: StoreImage | None) -> Sending:
        """Return the request's fields: what is stated, else what the replaced image has, else the input's order."""
        target = asset.target
        order = target.sort_order
        if order is None:
            order = old.sort_order if old else self._state.products.next_order(product) + asset.order
        description = target.description
        if description is None and old is not None:
            description = old.description
        thumbnail = target.is_thumbnail if old is None else (target.is_thumbnail or old.is_thumbnail)
        shown = Sending(product.id, sort_order=order, is_thumbnail=thumbnail or None, description=description,
                        date_modified=target.date_modified, send_product_id=target.send_product_id)
        if self.by_url:
            return replace(shown, image_url=asset.location or asset.source)
        if asset.data is None or asset.received is None or asset.facts is None:
            raise ConfigurationError("Upload needs a prepared picture; put Read, Decode, Convert, Strip, Fit before it")
        if asset.facts.format not in marker.MEDIA_TYPES:
            raise Rejected(f"the store does not take {asset.facts.format}; put Convert and Fit before Upload")
        mark = marker.Marker.of(asset.received.sha256, hashlib.sha256(asset.data).hexdigest())
        stem = asset.source if "://" in asset.source else Path(asset.source).name
        return replace(shown, name=mark.name(stem, asset.facts.format), data=asset.data,
                       media_type=marker.MEDIA_TYPES[asset.facts.format])

    def _request(self, product: Product, asset: Asset, sending: Sending) -> Request:
        assert asset.received is not None  # `__call__` saw to it
        sent = hashlib.sha256(sending.data).hexdigest() if sending.data is not None else asset.received.sha256
        return Request(_without_secrets(sending.image_url) if sending.image_url else sending.name,
                       asset.received.sha256, sent, product.highest_id)

    def _post(self, product: Product, asset: Asset, sending: Sending, request: Request) -> tuple[StoreImage, int]:
        """POST until it is known to be there; return the image and how many POSTs it took."""
        problem: StoreError | None = None
        for attempt in range(1, self.attempts + 1):
            number = self.ledger.intend(
                self.run, self._identity, product.id, "post", key=_without_secrets(asset.place), name=request.name,
                source_sha256=request.source_sha256, sha256=request.sha256, highest_id=request.highest_id,
                attempt=attempt)
            try:
                image = self.store.create(sending)
            except (Ambiguous, StoreBusy) as error:
                problem = error
                log.info("product %d, %s: %s; looking whether it is there", product.id, request.name, error)
                try:
                    hits = self._state.settler.look(product, request, first_wait=getattr(error, "wait", 0.0))
                except StopRun as stop:  # the next request finds out by itself that the store is gone
                    log.info("%s", stop)
                    hits = None
                if hits is None:
                    self._record(number, "uncertain", detail=str(error))
                    raise Uncertain(f"{error}; whether the store has it could not be found out. "
                                    "Running the same command again looks again") from error
                if not hits:
                    self._record(number, "failed", detail=f"{error}; absent from the listing")
                    continue
                image = hits[0]
                if len(hits) > 1:
                    self._state.products.claim_surplus(product, request.source_sha256, [hit.id for hit in hits])
            except AccessRefused as error:
                self._record(number, "failed", detail=str(error))
                raise
            except StopRun:
                raise  # the operation stays open: the next run looks before it sends
            except StoreError as error:
                self._record(number, "failed", detail=str(error))
                self._refused(product, error)
                raise
            self._state.rejected = 0
            self._delivered(asset, image, request, number)
            return image, attempt
        if isinstance(problem, StoreBusy):
            raise problem
        raise Uncertain(f"{problem}; sent {self.attempts} times, and absent from the listing each time. "
                        "Running the same command again sends it again")

    def _delivered(self, asset: Asset, image: StoreImage, request: Request, number: int) -> None:
        """Record an image that is in the store: operation, image and place in one transaction."""
        size = len(asset.data) if asset.data is not None else None
        self._record(number, "done", image=recorded(self._identity, self.run, image, request, size),
                     place=self._new_place(asset, image.id, thumbnail_is_set=image.is_thumbnail))

    def _prove(self, product: Product, image: StoreImage, request: Request) -> None:
        """Read the first image's name back from the listing, or stop before a second one is sent."""
        if self._state.proved:
            return
        name = None
        for wait in (0.0, *self.waits):
            self.sleep(wait)
            name = next((one.image_file for one in self._state.products.list_all(product) if one.id == image.id), None)
            if name is not None:
                break
        if name is not None and marker.Marker.of(request.source_sha256, request.sha256).is_in(name):
            self._state.proved = True
            return
        seen = f"as {name!r}" if name is not None else "not at all"
        self._state.disproved = StoreUnusable(
            f"image {image.id} was sent to product {product.id} as {request.name!r}, and the store lists it {seen}: "
            "without the name in the listing a picture could be sent twice, so the run stops here")
        raise self._state.disproved

    def _refused(self, product: Product, error: StoreError) -> None:
        """Notice what concerns the store and not this picture."""
        if isinstance(error, ProductNotFound):
            product.exists = False
        elif isinstance(error, ProductFull):
            self._state.full.add(product.id)
            if len(self._state.full) >= 3:
                raise _stop("three products took no more images; look at the store's limits", error)
        elif isinstance(error, Rejected):
            self._state.rejected += 1
            if self._state.rejected >= 5:
                raise _stop(f"the store refused five images in a row, the last one so: {error}", error)

    # -- when a product is through -------------------------------------------------------------

    def note(self, outcome: Outcome, /) -> None:
        """Give a duplicate its place, and what it states to the image that it repeats."""
        asset = outcome.asset
        if outcome.code != "duplicate" or asset.target.product_id is None or self.planning:
            return
        product = self._state.products[asset.target.product_id]
        image_id = product.by_source.get(outcome.duplicate_of or "")
        if image_id is None or asset.received is None:
            return
        with product.lock:
            image = product.images.get(image_id)
            if asset.target.is_thumbnail and product.thumbnail is None:
                product.thumbnail = image_id
            text = asset.target.description
            if text and image is not None and not image.description and image_id not in product.descriptions:
                # the place is said to have its text once the store has it: a run that is cut off leaves it to the next
                product.descriptions[image_id] = (text, self._new_place(asset, image_id))
                asset = asset.evolve(target=replace(asset.target, description=None))
            self._point(asset, image_id, replaced=self._place(asset))

    def finish(self, product: object, /) -> None:
        """Set the thumbnail, merge what duplicates stated, delete what was replaced: in this order, last."""
        if not isinstance(product, int) or self.planning:
            return
        self._check_ledger()
        state = self._state.products[product]
        with state.lock:
            if state.exists:
                for step in (self._merge_descriptions, self._set_thumbnail, self._delete_replaced):
                    try:
                        step(state)
                    except StopRun:
                        raise
                    except StoreError as error:  # the pictures are there: said in the summary, not for one of them
                        with self._state.lock:
                            self._state.unfinished.append(f"product {product}: {error}")
                            self._state.retry_finish = self._state.retry_finish or error.retry is Retry.AGAIN
        self._state.products.forget(product)

    def _merge_descriptions(self, product: Product) -> None:
        for image_id, (text, place) in product.descriptions.items():
            self._put(product, image_id, {"description": text})
            self.ledger.point(place)

    def _set_thumbnail(self, product: Product) -> None:
        wanted = product.thumbnail
        if wanted is None:
            has_one = any(image.is_thumbnail for image in product.images.values())
            if not product.uploaded or not product.complete or has_one:
                return
            wanted = product.uploaded[0]
        image = product.images.get(wanted)
        if image is None or not image.is_thumbnail:
            self._put(product, wanted, {"is_thumbnail": True})
        for place in self.ledger.places(self._identity, product.id):
            if bool(place.is_thumbnail) != (place.image_id == product.thumbnail) and product.thumbnail is not None:
                self.ledger.point(replace(place, is_thumbnail=place.image_id == product.thumbnail or None))

    def _delete_replaced(self, product: Product) -> None:
        """Delete our images that no place points to any more, never more than `max_delete` in a run."""
        left_over = self.ledger.without_place(self._identity, product.id)
        if not left_over or not self.ledger.durable:
            return
        listed = {image.id: image for image in self._state.products.list_all(product)}
        pointed = {place.image_id for place in self.ledger.places(self._identity, product.id)}
        successors_are_there = set(product.uploaded) <= set(listed) and bool(pointed & set(listed))
        for image in left_over:
            there = listed.get(image.image_id)
            if there is None:
                self.ledger.gone(self._identity, product.id, image.image_id, self.run)
            elif not successors_are_there:
                log.warning("image %d of product %d was replaced, but what replaced it is not listed; it stays",
                            image.image_id, product.id)
            elif not marker.shows_source(there.image_file, image.source_sha256):
                log.warning("image %d of product %d is listed as %r, which is not the one that was sent; it stays",
                            image.image_id, product.id, there.image_file)
            elif self._state.deleted >= self.max_delete:
                self._state.not_deleted += 1
            else:
                self._state.deleted += 1
                number = self.ledger.intend(self.run, self._identity, product.id, "delete", image_id=image.image_id)
                self.store.delete(product.id, image.image_id)
                self._record(number, "done", gone=image.image_id)

    # -- the ledger ----------------------------------------------------------------------------

    @property
    def _identity(self) -> str:
        return self._state.products.identity

    def _known(self, product: Product) -> list[Image]:
        return self.ledger.images(self._identity, product.id)

    def _place(self, asset: Asset) -> Place | None:
        return self.ledger.place(self._identity, asset.target.product_id or 0, _without_secrets(asset.place))

    def _new_place(self, asset: Asset, image_id: int, *, thumbnail_is_set: bool = False) -> Place:
        received, target = asset.received, asset.target
        assert received is not None  # what is delivered was read
        return Place(self._identity, target.product_id or 0, _without_secrets(asset.place), image_id, received.sha256,
                     _without_secrets(asset.location), received.size if received.mtime_ns is not None else None,
                     received.mtime_ns, received.inode, received.etag, self.settings, target.sort_order,
                     True if target.is_thumbnail and thumbnail_is_set else None, target.description, self.run)

    def _point(self, asset: Asset, image_id: int, *, replaced: Place | None) -> None:
        place = self._new_place(asset, image_id)
        if replaced is not None and replaced.image_id == image_id and replaced.is_thumbnail:
            place = replace(place, is_thumbnail=True)
        if replaced is None or place != replace(replaced, run=place.run):
            self.ledger.point(place)

    def _record(self, number: int, state: str, **results: Any) -> None:
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
                with self._state.lock:
                    self._state.broken = error

    def _check_ledger(self) -> None:
        if self._state.broken is not None:
            raise self._state.broken

    def report(self) -> dict[str, Any]:
        """Return what the summary of a run should say beside its counts."""
        state = self._state
        return {"deleted": state.deleted, "not_deleted": state.not_deleted, "other_settings": state.other_settings,
                "products_with_other_images": len(state.had_images), "surplus": list(state.surplus),
                "unfinished": list(state.unfinished)}

    @property
    def unfinished(self) -> ExitCode:
        """What the run's exit code has to say of what was left undone after the last pictures."""
        if not self._state.unfinished:
            return ExitCode.OK
        return ExitCode.TRY_AGAIN if self._state.retry_finish else ExitCode.SOME_FAILED


def _no_such_product(product_id: int) -> ProductNotFound:
    return ProductNotFound(f"the store has no product {product_id}; check the id in the store's product list")


def _stop(reason: str, error: StoreError) -> StopRun:
    stop = StopRun(reason)
    stop.__cause__ = error
    return stop


def _hashed(asset: Asset) -> Asset:
    """Return the asset with the hash of its source: for data that was handed over, of that data."""
    if asset.received is not None:
        return asset
    from imagepipe.asset import Received

    if asset.data is None:
        raise ConfigurationError("Upload needs the picture's bytes; put Read before it")
    return asset.evolve(received=Received(hashlib.sha256(asset.data).hexdigest(), len(asset.data)))


def _planned(asset: Asset, action: str) -> Delivery:
    return Delivery(action=action, size=len(asset.data) if asset.data is not None else None,
                    sha256=hashlib.sha256(asset.data).hexdigest() if asset.data is not None else None)


def _stated_changes(target: Target, place: Place) -> dict[str, Any]:
    """Return what is stated now and was not when the place was last sent."""
    return {name: value for name in ("sort_order", "is_thumbnail", "description")
            if (value := getattr(target, name)) is not None and value != getattr(place, name)
            and not (name == "is_thumbnail" and not value)}


def _differences(target: Target, image: StoreImage) -> dict[str, Any]:
    """Return what is stated and the store shows otherwise."""
    return {name: value for name in ("sort_order", "is_thumbnail", "description")
            if (value := getattr(target, name)) is not None and value != getattr(image, name)
            and not (name == "is_thumbnail" and not value)}


def _only_thumbnail(product: Product, image_id: int) -> None:
    """Note that an image is the thumbnail now, which takes it from the one that was."""
    product.images = {id_: replace(image, is_thumbnail=id_ == image_id) for id_, image in product.images.items()}


def _without_secrets(address: str) -> str:
    """Return an address without what may be secret in it; paths are returned as they are."""
    if "://" not in address:
        return address
    from imagepipe.sources import shown_url

    return shown_url(address)
