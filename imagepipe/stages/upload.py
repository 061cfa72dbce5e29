"""Put pictures into the store, each exactly once."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from imagepipe import marker
from imagepipe.asset import Asset, Delivery, Received
from imagepipe.errors import (
    ConfigurationError,
    ExitCode,
    ProductFull,
    Rejected,
    Skip,
    SourceError,
    StopRun,
    Uncertain,
)
from imagepipe.ledger import Image, Ledger, Place
from imagepipe.outcome import Outcome, Status
from imagepipe.stores import Store, StoreImage
from imagepipe.stores import Upload as Sending
from imagepipe.stores.admission import Admission
from imagepipe.stores.finishing import Finisher
from imagepipe.stores.posting import Poster
from imagepipe.stores.products import Product, Products, no_such_product
from imagepipe.stores.records import Records, without_secrets
from imagepipe.stores.settle import WAITS, Request, Settler
from imagepipe.stores.statements import Statements, differences, stated_changes
from imagepipe.stores.survey import Survey

log = logging.getLogger("imagepipe")

BATCH = 250  #: Assets that are looked at together: five full requests of 50 products.
MAX_IMAGES = 1000  #: A product holds no more (https://developer.bigcommerce.com, "Create a product image").


class _State:
    """What an `Upload` remembers, and who works for it."""

    def __init__(self, upload: Upload) -> None:
        self.surplus: list[str] = []  # a sentence for each picture that a product holds more than once
        self.records = Records(upload.ledger, upload.store.identity, upload.run, upload.settings, upload.sleep)
        self.products = Products(upload.store, upload.ledger, upload.run, upload.seen)
        self.settler = Settler(self.products, upload.sleep, upload.waits)
        self.poster = Poster(upload.store, self.records, self.products, self.settler, upload.attempts, upload.waits,
                             upload.sleep, self.surplus)
        self.admission = Admission(self.products, upload.existing)
        self.statements = Statements(self.products, self.records)
        self.finisher = Finisher(upload.store, self.records, self.products, upload.max_delete)
        self.settled = False
        self.told = upload.seen is not None or upload.planning or upload.recording  # of what the products hold
        self.other_settings = 0


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
    repair: bool = False  #: Send again what was uploaded and is no longer in the store.
    recording: bool = False  #: Send nothing; write down what the store is found to hold (`ledger recover`).
    planning: bool = False  #: Find out what would be done, and send nothing.
    attempts: int = 4  #: POSTs of one picture, each after the one before was proved absent.
    waits: Sequence[float] = field(default=WAITS, repr=False)  #: Seconds before each look at a listing.
    sleep: Callable[[float], object] = field(default=time.sleep, repr=False, compare=False)
    seen: Survey | None = field(default=None, repr=False, compare=False)  #: What was seen of the products just before.
    _state: _State = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name, allowed in (("existing", ("add", "skip")), ("on_change", ("replace", "add", "skip"))):
            if getattr(self, name) not in allowed:
                raise ConfigurationError(f"{name} is {getattr(self, name)!r}; it can be {' or '.join(allowed)}")
        object.__setattr__(self, "_state", _State(self))

    # -- before anything is read ---------------------------------------------------------------

    def admit(self, assets: Sequence[Asset], /) -> list[Asset | Outcome]:
        """Find each row's product, list the products, and decide what is known to be unchanged."""
        state = self._state
        state.records.check()
        if not state.settled:
            if self.seen is not None and self.seen.stopped is not None and self.seen.is_fresh:
                raise self.seen.stopped
            if not self.planning:
                state.settler.settle_open()
            state.settled = True
        admitted = self._admitted(assets, self._etags)
        if not state.told:
            state.told = True
            before = state.products.survey(self.existing, len(state.admission.had_images), whole=False, stopped=None)
            if before.with_others:
                log.warning("%s", before)
        return admitted

    def survey(self, assets: Sequence[Asset], *, whole: bool = True) -> Survey:
        """Look at the products that assets would be sent to, as their admission would; decide nothing.

        What was seen spares the run that is given it, as `seen`, the same requests. `whole` says
        that these are all the assets of a job.
        """
        stopped = None
        try:
            for start in range(0, len(assets), BATCH):
                self._admitted(assets[start:start + BATCH], self._known_etags)
        except StopRun as error:
            stopped = error
        except Exception as error:  # whatever it is, the run meets it again, and says for which picture
            log.debug("the products could not be looked at", exc_info=error)
            whole = False
        return self._state.products.survey(self.existing, len(self._state.admission.had_images), whole=whole,
                                           stopped=stopped)

    def _admitted(self, assets: Sequence[Asset],
                  etags_of: Callable[[list[Asset]], dict[str, str]]) -> list[Asset | Outcome]:
        products = self._state.products
        products.resolve(asset.target.sku for asset in assets
                         if asset.target.product_id is None and asset.target.sku is not None)
        addressed = [self._state.admission.addressed(asset) for asset in assets]
        if self.repair:
            products.look_at(item.target.product_id or 0 for item in addressed if isinstance(item, Asset))
        etags = etags_of([item for item in addressed if isinstance(item, Asset)])
        decided = [self._if_unchanged(item, etags) if isinstance(item, Asset) else item for item in addressed]
        wanted = (item.target.product_id for item in decided if isinstance(item, Asset) and item.delivery is None)
        products.look_at(id_ for id_ in wanted if id_ is not None)
        return [self._state.admission.accepted(item) if isinstance(item, Asset) else item for item in decided]

    def _etags(self, assets: Sequence[Asset]) -> dict[str, str]:
        """Return the ETags of the addresses that were uploaded from before, without fetching what is there."""
        known = [asset.location for asset in assets if "://" in asset.location and not self.checksum
                 and (place := self._state.records.place(asset)) is not None and place.etag is not None]
        if not known:
            return {}
        from imagepipe.sources.fetch import etags

        return etags(list(dict.fromkeys(known)))

    def _known_etags(self, assets: list[Asset]) -> dict[str, str]:
        """Return the ETags that addresses had when they were uploaded from: nobody is asked for those of now."""
        places = ((asset.location, self._state.records.place(asset)) for asset in assets if "://" in asset.location)
        return {location: place.etag for location, place in places if place is not None and place.etag is not None}

    @staticmethod
    def _is_same(asset: Asset, place: Place, etags: Mapping[str, str]) -> bool:
        """Tell whether what is at a place's path or address is what was read from there."""
        from imagepipe.stages.read import stamp

        if "://" in asset.location:
            return place.etag is not None and etags.get(asset.location) == place.etag
        if place.size is None or not asset.location:
            return False
        try:
            return stamp(asset.location) == (place.size, place.mtime_ns, place.inode)
        except OSError:
            return False  # Read says what is wrong with it

    def _if_unchanged(self, asset: Asset, etags: Mapping[str, str]) -> Asset | Outcome:
        """Return the outcome of a picture that is as it was when it was uploaded; else the asset."""
        place = self._state.records.place(asset)
        if place is None or self.checksum or not self._is_same(asset, place, etags):
            return asset
        if self.repair and not self._is_there(place):
            return asset
        if place.settings != self.settings:
            self._state.other_settings += 1
            if self.redo:
                return asset
        known = asset.evolve(received=None)
        changes = self._state.statements.hold(asset, place.image_id, stated_changes(asset.target, place))
        if changes:
            delivery = Delivery(image_id=place.image_id, action="update", sha256=None)
            return known.evolve(delivery=delivery, note=f"only {', '.join(changes)} changed")
        there = known.evolve(delivery=Delivery(image_id=place.image_id, action="none"))
        return Outcome(there, Status.SKIPPED, "Upload", f"unchanged since it was uploaded as image {place.image_id}",
                       "already_uploaded")

    def _is_there(self, place: Place) -> bool:
        """Tell whether the store still has the image of a place; absence is proved by a full listing."""
        product = self._state.products[place.product]
        with product.lock:
            if place.image_id not in product.images and product.exists and not product.complete:
                self._state.products.list_all(product)
            return place.image_id in product.images

    # -- one picture ---------------------------------------------------------------------------

    def __call__(self, asset: Asset, /) -> Asset:
        self._state.records.check()
        decided = asset.delivery is not None  # on admission, without a look at the product
        if asset.target.product_id is None or not (decided or self._state.products[asset.target.product_id].listed):
            asset = self._admitted_alone(asset)
        product = self._state.products[asset.target.product_id or 0]
        with product.lock:
            if not product.exists:
                raise no_such_product(product.id)
            if asset.delivery is not None:
                return self._update(product, asset, asset.delivery.image_id or 0)
            asset = _hashed(asset)
            assert asset.received is not None  # `_hashed` saw to it
            place = self._state.records.place(asset)
            self._state.poster.settle(product, asset.received.sha256)
            held = self._held(product, asset.received.sha256)
            if held and not self._made_otherwise(place, held, asset):
                return self._already_there(product, asset, place, held)
            if place is not None and place.source_sha256 == asset.received.sha256 and not (self.redo or self.repair):
                raise Skip(f"uploaded before as image {place.image_id}, which the store no longer has; "
                           "'imagepipe verify --repair' sends it again", "already_uploaded")
            if self.recording:
                return asset.evolve(delivery=_planned(asset, "upload"), note="not in the store")
            if place is not None and self.on_change == "skip":
                raise Skip(f"changed since it was uploaded as image {place.image_id} (--on-change skip)", "changed")
            if self.by_url:
                self._refuse_likely(product, asset)
            count = len(product.images) + product.planned
            if count >= MAX_IMAGES:
                raise ProductFull(f"product {product.id} holds {count:,} images, and {MAX_IMAGES:,} is "
                                  "the most that a product can have; delete some in the store")
            if self.planning:
                product.planned += 1
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
        known = frozenset(image.image_id for image in self._state.records.images(product.id))
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
        product.by_source.setdefault(asset.source, []).append(image_id)
        if self.planning:
            raise Skip(f"the product already has this picture, as image {image_id}", "already_uploaded")
        image = product.images.get(image_id)
        if image is not None and not self.ledger.images(self._state.records.store, product.id, image_id=image_id):
            assert asset.received is not None  # the caller hashed it
            self.ledger.learn(Image(self._state.records.store, product.id, image_id, asset.received.sha256, None,
                                    image.image_file, image.url, None, self.run))
        if self.recording:
            stated = {}
        elif place is not None and place.image_id == image_id:
            stated = stated_changes(asset.target, place)
        else:
            stated = differences(asset.target, image) if image else {}
        changes = self._state.statements.hold(asset, image_id, stated)
        # what the store does not show yet is not said to have been sent: a run that is cut off leaves it to the next
        shown = replace(asset.target, sort_order=None if "sort_order" in stated else asset.target.sort_order,
                        description=None if "description" in stated else asset.target.description)
        self._state.records.point(asset.evolve(target=shown), image_id, replaced=place)
        if asset.target.is_thumbnail:
            product.thumbnail = image_id
            changes.pop("is_thumbnail", None)
        delivery = Delivery(image_id=image_id, action="none", url=image.url if image else None)
        if changes:
            return self._update(product, asset.evolve(delivery=delivery), image_id, changes)
        raise Skip(f"the product already has this picture, as image {image_id}", "already_uploaded")

    def _update(self, product: Product, asset: Asset, image_id: int, changes: dict[str, Any] | None = None) -> Asset:
        """Change what the store shows of an image, without sending it."""
        place = self._state.records.place(asset)
        if changes is None:
            stated = stated_changes(asset.target, place) if place else {}
            changes = self._state.statements.hold(asset, image_id, stated, look=True)
            if not changes:
                raise Skip(f"unchanged since it was uploaded as image {image_id}", "already_uploaded")
        said = {name: value for name, value in changes.items() if name != "is_thumbnail"}
        if asset.target.is_thumbnail and "is_thumbnail" in changes:
            product.thumbnail = image_id  # set last, in `finish`
            changes = {name: value for name, value in changes.items() if name != "is_thumbnail"}
        delivery = Delivery(image_id=None if self.planning else image_id, action="update", attempts=1)
        if self.planning:
            return asset.evolve(delivery=delivery)
        if changes:
            try:
                image = self._state.finisher.put(product, image_id, changes)
            except Rejected as error:
                raise Rejected(f"image {image_id} could not be changed: {error}") from error
            delivery = replace(delivery, url=image.url)
        if place is not None:
            self.ledger.point(replace(place, run=self.run, **said))
            self._state.records.unsay(place, image_id, said)
        return asset.evolve(delivery=delivery)

    # -- sending -------------------------------------------------------------------------------

    def _send(self, product: Product, asset: Asset, place: Place | None) -> Asset:
        """Send a picture that the product is proved not to have."""
        old = product.images.get(place.image_id) if place and self.on_change == "replace" else None
        sending = self._sending(product, asset, old)
        if place is not None and self.on_change == "add":  # first: once the place shows the new one, it is all that
            self.ledger.keep(place.store, place.product, place.image_id)  # saves the one before from `finish`
        image, request, attempts = self._state.poster.send(product, asset, sending, replaces=old)
        product.images[image.id] = image
        product.uploaded.append(image.id)
        product.by_source.setdefault(asset.source, []).append(image.id)
        product.shows(without_secrets(asset.place), asset.order, image.id)
        if image.is_thumbnail:
            product.only_thumbnail(image.id)
        if asset.target.is_thumbnail or (old is not None and old.is_thumbnail and asset.target.is_thumbnail is None):
            product.thumbnail = image.id
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

    # -- when a product is through -------------------------------------------------------------

    def note(self, outcome: Outcome, /) -> None:
        """Give a duplicate its place, and what it states to the image that it repeats."""
        asset = outcome.asset
        if outcome.code != "duplicate" or asset.target.product_id is None or self.planning:
            return
        product = self._state.products[asset.target.product_id]
        images = product.by_source.get(outcome.duplicate_of or "")
        if not images or asset.received is None:
            return
        with product.lock:
            image_id = images[-1]
            if len(images) > 1:
                showing = self._state.products.holding(product, asset.received.sha256)
                image_id = next((id_ for id_ in showing if id_ in images), image_id)
            image = product.images.get(image_id)
            if asset.target.is_thumbnail and product.thumbnail is None:
                product.thumbnail = image_id
            # the first of them has its say: should it go one day, what this one states is still to be sent
            asset = asset.evolve(target=replace(asset.target, sort_order=None))
            text = asset.target.description
            if text and image is not None and not image.description and image_id not in product.descriptions:
                # the place is said to have its text once the store has it: a run that is cut off leaves it to the next
                product.descriptions[image_id] = (text, self._state.records.new_place(asset, image_id))
            asset = asset.evolve(target=replace(asset.target, description=None))
            self._state.records.point(asset, image_id, replaced=self._state.records.place(asset))

    def finish(self, product: object, /) -> None:
        """Set the thumbnail, merge what duplicates stated, delete what was replaced: in this order, last."""
        if not isinstance(product, int) or self.planning or self.recording:
            return
        self._state.records.check()
        self._state.poster.check()
        state = self._state.products[product]
        with state.lock:
            self._state.finisher.finish(state)
        self._state.products.forget(product)

    def gone(self) -> list[Place]:
        """Return the places, of products that the source names, that it no longer names."""
        found = []
        for product_id in self._state.admission.products_named():
            found += [place for place in self._state.records.places(product_id)
                      if not self._state.admission.names(place)]
        return found

    def prune(self, places: Sequence[Place]) -> None:
        """Delete the images of places that have gone from the source, unless another place shows them."""
        self._state.finisher.prune(places)

    def report(self) -> dict[str, Any]:
        """Return what the summary of a run should say beside its counts."""
        state, finisher = self._state, self._state.finisher
        return {"deleted": finisher.deleted, "not_deleted": finisher.not_deleted,
                "other_settings": state.other_settings, "existing": self.existing,
                "products_with_other_images": len(state.admission.had_images),
                "surplus": list(state.surplus), "unfinished": list(finisher.unfinished)}

    @property
    def unfinished(self) -> ExitCode:
        """What the run's exit code has to say of what was left undone after the last pictures."""
        return self._state.finisher.exit_code


def _hashed(asset: Asset) -> Asset:
    """Return the asset with the hash of its source: for data that was handed over, of that data."""
    if asset.received is not None:
        return asset
    if asset.data is None:
        raise ConfigurationError("Upload needs the picture's bytes; put Read before it")
    return asset.evolve(received=Received(hashlib.sha256(asset.data).hexdigest(), len(asset.data)))


def _planned(asset: Asset, action: str) -> Delivery:
    return Delivery(action=action, size=len(asset.data) if asset.data is not None else None,
                    sha256=hashlib.sha256(asset.data).hexdigest() if asset.data is not None else None)
