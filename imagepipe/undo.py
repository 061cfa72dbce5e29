"""Take back what one run did: delete what it put into a store, and put back what it replaced.

For each product: put back, look whether it is listed, and only then delete. What is sent again
is written down before, as in every upload: it belongs to the run that sent it first, so that
undoing one run after the other goes back step by step.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from imagepipe import marker
from imagepipe.asset import Asset, Target
from imagepipe.errors import (
    ImagepipeError,
    LedgerError,
    ProductNotFound,
    Rejected,
    Retry,
    SourceError,
    StopRun,
    StoreBusy,
    StoreError,
    Uncertain,
)
from imagepipe.ledger import Image, Ledger, Place, Replaced, Shown
from imagepipe.outcome import Outcome
from imagepipe.pipeline import attempt
from imagepipe.recipe import Prepare, as_recorded
from imagepipe.stores import Store, StoreImage, Upload
from imagepipe.stores.posting import Poster
from imagepipe.stores.products import Product, Products
from imagepipe.stores.records import Records
from imagepipe.stores.settle import WAITS, Settler
from imagepipe.undoable import COMMAND, Lost, Restoration, Undoable, last_run, undoable

__all__ = ["Done", "Lost", "Restoration", "Undoable", "last_run", "undo", "undoable"]

log = logging.getLogger("imagepipe")

_ATTEMPTS = 4  #: POSTs of one picture, each after the one before was proved absent.


@dataclass(frozen=True, slots=True)
class Done:
    """One thing that undoing did, or could not do."""

    action: str  #: `restore`, `keep` (the former image was still there), `delete`, or `left`.
    product: int
    image_id: int
    name: str = ""  #: Of the image's file.
    key: str = ""  #: The place, for `restore` and `keep`.
    reason: str = ""  #: Why it was left.
    retry: Retry | None = None  #: What would help what was left.


def undo(store: Store, ledger: Ledger, what: Undoable, *, sleep: Callable[[float], object] = time.sleep,
         waits: Sequence[float] = WAITS,
         recipe: Callable[[str], tuple[Prepare, str]] = as_recorded) -> Iterator[Done]:
    """Put back what a run replaced and delete what it created; yield each thing once it is written down.

    `recipe` makes of the settings that the ledger has of a picture what prepares it again. What
    could not be sent again, or shown again, leaves the image that replaced it where it is, and is
    yielded as `left`; so is what the store does not delete. Places whose image is deleted are
    forgotten, so that the next upload sends their pictures again. Raises `StopRun` and
    `LedgerError`; undoing again goes on from there.
    """
    run = ledger.begin_run(store.identity, command=f"{COMMAND} {what.run}")
    undoing = _Undoing(store, ledger, what, run, sleep, waits, recipe)
    counts = {"restore": 0, "keep": 0, "delete": 0, "left": 0}
    for product in undoing.products_of():
        for done in undoing.product(product):
            counts[done.action] += 1
            yield done
    undoing.give_up_lost()
    ledger.end_run(run, exit_code=int(bool(counts["left"])), summary={
        "undone": what.run, "deleted": counts["delete"], "restored": counts["restore"], "kept": counts["keep"],
        "left": counts["left"], "lost": len(what.lost)})


@dataclass(eq=False, kw_only=True)
class _Records(Records):
    """Writes down a picture that is sent again, under the run that sent it first."""

    former: Place
    undoes: str

    def intend(self, product_id: int, kind: str, **what: Any) -> int:
        return super().intend(product_id, kind, undoes=self.undoes, **what)

    def new_place(self, asset: Asset, image_id: int, *, thumbnail_is_set: bool = False) -> Place:
        received = asset.received
        assert received is not None  # what is delivered was read
        place = replace(_unread(self.former), image_id=image_id, settings=self.settings)
        if asset.location == self.former.path:  # its own file is as it was: it needs not be read again
            place = replace(place, size=received.size if received.mtime_ns is not None else None,
                            mtime_ns=received.mtime_ns, inode=received.inode, etag=received.etag)
        return place


@dataclass(eq=False)
class _Undoing:
    """Takes one run back, a product at a time."""

    store: Store
    ledger: Ledger
    what: Undoable
    run: str
    sleep: Callable[[float], object]
    waits: Sequence[float]
    recipe: Callable[[str], tuple[Prepare, str]]
    proved: bool = False  #: The store was seen to keep the names that we send.
    products: Products = field(init=False)
    settler: Settler = field(init=False)

    def __post_init__(self) -> None:
        self.products = Products(self.store, self.ledger, self.run)
        self.settler = Settler(self.products, self.sleep, self.waits)

    def products_of(self) -> list[int]:
        """Return the products that something is to be done for."""
        what = self.what
        return sorted({image.product for image in (*what.delete, *what.gone)}
                      | {before.place.product for before, _ in what.stay}
                      | {one.place.product for one in what.restore})

    def product(self, id_: int) -> Iterator[Done]:
        """Undo what was done to one product."""
        product = self.products[id_]
        doomed = {image.image_id: image for image in self.what.delete if image.product == id_}
        spared: set[int] = set()
        sent: set[int] = set()
        try:
            for done in self._put_back(product, doomed, spared):
                if done.action == "restore":
                    sent.add(done.image_id)
                yield done
        except (ProductNotFound, StoreBusy) as error:  # nothing was listed, so nothing is proved: all stays
            yield Done("left", id_, 0, reason=str(error), retry=error.retry)
            return
        if sent and doomed and not self._all_listed(product, sent):
            spared |= set(doomed)
            yield Done("left", id_, min(doomed), doomed[min(doomed)].name, reason="what was sent again is not listed "
                       "yet, so nothing of this product was deleted; undo again later", retry=Retry.AGAIN)
        for image_id, ours in doomed.items():
            if image_id not in spared:
                yield self._delete(ours)
        for gone in self.what.gone:
            if gone.product == id_:
                self.ledger.gone(self.store.identity, id_, gone.image_id, self.run)
        self.products.forget(id_)

    # -- putting back --------------------------------------------------------------------------

    def _put_back(self, product: Product, doomed: dict[int, Image], spared: set[int]) -> Iterator[Done]:
        """Put back what a product showed; add to `spared` what has to stay, as its place would show nothing else."""
        restore = [one for one in self.what.restore if one.place.product == product.id]
        stay = [(before, image_id) for before, image_id in self.what.stay if before.place.product == product.id]
        if restore or stay:
            self.products.list_all(product)
        for before, image_id in stay:
            yield self._keep(product, before, image_id, doomed, spared)
        for one in restore:
            held = [image_id for image_id in self.products.holding(product, one.place.source_sha256)
                    if image_id not in doomed]
            if held:  # sent by somebody else meanwhile
                for before in one.before:
                    yield self._keep(product, before, held[0], doomed, spared)
                continue
            replacing = self._shown_now(one.before)
            try:
                image = self._restore(product, one, replacing, doomed)
            except (StopRun, LedgerError):
                raise
            except ImagepipeError as error:
                spared |= replacing
                yield self._left(one.place, error)
            else:
                yield Done("restore", product.id, image.id, image.image_file, one.place.key)

    def _shown_now(self, before: Sequence[Replaced]) -> set[int]:
        """Return the images that places show now."""
        places = [self.ledger.place(self.store.identity, one.place.product, one.place.key) for one in before]
        return {place.image_id for place in places if place is not None}

    def _keep(self, product: Product, before: Replaced, image_id: int, doomed: dict[int, Image],
              spared: set[int]) -> Done:
        """Let a place show its former image, which is still there; where that fails, spare the one it shows now."""
        place, image = before.place, product.images.get(image_id)
        try:
            if image is None:
                raise StoreBusy(f"image {image_id}, which was to be shown again, has gone from the store since it was "
                                "looked at; undo again")
            if not image.is_thumbnail and self._was_thumbnail(product, place, doomed):
                number = self.ledger.intend(self.run, self.store.identity, product.id, "put", image_id=image_id)
                self.store.update(product.id, image_id, is_thumbnail=True)
                self.ledger.settle(number, "done", detail="is_thumbnail")
                product.only_thumbnail(image_id)
        except StopRun:
            raise
        except StoreError as error:
            spared |= self._shown_now([before])
            return self._left(place, error)
        self.ledger.point(replace(_unread(_as_shown(place, image)), image_id=image_id), undoes=self.what.run)
        return Done("keep", product.id, image_id, image.image_file, place.key)

    def _restore(self, product: Product, one: Restoration, replacing: set[int], doomed: dict[int, Image]) -> StoreImage:
        """Send a picture again, and let its places show it."""
        place = one.place
        prepare, settings = self.recipe(place.settings)
        if settings != place.settings:
            log.warning("product %d, %s: prepared with the default settings, as those that it was sent with cannot be "
                        "read back", place.product, place.key)
        asset = Asset(place.key, Target(product.id), key=place.key, location=one.source)
        outcome = attempt((prepare,), asset)
        asset = _prepared(outcome)
        if asset.received is None or asset.received.sha256 != place.source_sha256:
            raise SourceError(f"{one.source} has changed since it was looked at; undo again", "changed_while_read")
        upload = self._upload(product, place, asset, replacing, doomed)
        if any(image.sha256 == hashlib.sha256(upload.data or b"").hexdigest() for image in doomed.values()
               if image.source_sha256 == place.source_sha256):
            raise Rejected("prepared as it was before, it is the very picture that replaced it")
        records = _Records(self.ledger, self.store.identity, self._sent_by(place), settings, self.sleep, former=place,
                           undoes=self.what.run)
        poster = Poster(self.store, records, self.products, self.settler, _ATTEMPTS, self.waits, self.sleep, [],
                        proved=self.proved)
        image, _, _ = poster.send(product, asset, upload)
        records.check()
        poster.check()
        self.proved = True
        product.images[image.id] = image
        if image.is_thumbnail:
            product.only_thumbnail(image.id)
        for before in one.before[1:]:
            self.ledger.point(replace(_unread(before.place), image_id=image.id), undoes=self.what.run)
        return image

    def _upload(self, product: Product, place: Place, asset: Asset, replacing: set[int],
                doomed: dict[int, Image]) -> Upload:
        """Return the request: as the store showed the picture, else as was stated, else as it shows what is there."""
        assert asset.data is not None and asset.received is not None and asset.facts is not None  # it is prepared
        former = self._former(place)
        shown = Shown.of(former.shown) if former is not None else None
        if shown is None:
            there = next((product.images[id_] for id_ in sorted(replacing) if id_ in product.images), StoreImage(0, 0))
            shown = Shown(there.sort_order if place.sort_order is None else place.sort_order, False,
                          there.description if place.description is None else place.description)
        name = marker.Marker.of(asset.received.sha256, hashlib.sha256(asset.data).hexdigest()).name(
            place.key if "://" in place.key else Path(place.key).name, asset.facts.format)
        return Upload(product.id, name, marker.MEDIA_TYPES[asset.facts.format], asset.data,
                      sort_order=shown.sort_order, description=shown.description or None,
                      is_thumbnail=self._was_thumbnail(product, place, doomed) or None)

    def _former(self, place: Place) -> Image | None:
        """Return the image that a place showed, with how the store showed it when it was replaced."""
        images = self.ledger.images(self.store.identity, place.product, image_id=place.image_id, deleted=True)
        return images[0] if images else None

    def _sent_by(self, place: Place) -> str:
        """Return the run that sent what a place showed: the place itself names the last that wrote it down."""
        former = self._former(place)
        return former.run if former is not None and former.ours and former.run else place.run

    def _was_thumbnail(self, product: Product, place: Place, doomed: dict[int, Image]) -> bool:
        """Tell whether a picture was the thumbnail, and nobody has chosen another since."""
        chosen = next((image.id for image in product.images.values() if image.is_thumbnail), None)
        if chosen is not None and chosen not in doomed:
            return False
        former = self._former(place)
        shown = Shown.of(former.shown) if former is not None else None
        if shown is not None:
            return shown.is_thumbnail
        now = self.ledger.place(self.store.identity, place.product, place.key)
        return bool(place.is_thumbnail) or (now is not None and now.image_id == chosen)

    @staticmethod
    def _left(place: Place, error: ImagepipeError) -> Done:
        undecided = isinstance(error, Uncertain)
        return Done("left", place.product, place.image_id, key=place.key, reason=str(error),
                    retry=Retry.AGAIN if undecided else error.retry)

    def _all_listed(self, product: Product, ids: set[int]) -> bool:
        """Tell whether the store lists what was sent again, over growing waits."""
        for wait in (0.0, *self.waits):
            if wait:
                self.sleep(wait)
            try:
                if ids <= {image.id for image in self.products.list_all(product)}:
                    return True
            except (ProductNotFound, StoreBusy) as error:
                log.info("product %d could not be listed: %s", product.id, error)
        return False

    # -- deleting ------------------------------------------------------------------------------

    def _delete(self, image: Image) -> Done:
        identity = self.store.identity
        number = self.ledger.intend(self.run, identity, image.product, "delete", image_id=image.image_id)
        try:
            self.store.delete(image.product, image.image_id)
        except StopRun:
            raise
        except StoreError as error:  # the intent stays open: who undoes again looks whether it is gone
            return Done("left", image.product, image.image_id, image.name, reason=str(error), retry=error.retry)
        self.ledger.settle(number, "done", gone=image.image_id)
        return Done("delete", image.product, image.image_id, image.name)

    def give_up_lost(self) -> None:
        """Forget what could not be put back, where it would keep an earlier run from being undone.

        The rest is remembered: it may be at hand another time. So is what a place was that still
        shows an image of the run.
        """
        created = {image.image_id for image in (*self.what.delete, *self.what.changed)}
        for lost in self.what.lost:
            if lost.before is None or self._shown_now([lost.before]) & created:
                continue
            place = lost.before.place
            others = self.ledger.replaced(place.store, product=place.product, key=place.key)
            if any(other.number < lost.before.number for other in others):
                self.ledger.give_up(lost.before)


def _prepared(outcome: Outcome) -> Asset:
    """Return a picture that was prepared; raise `SourceError` where it could not be."""
    if outcome.failed or outcome.asset.data is None or outcome.asset.facts is None:
        raise SourceError(f"it could not be prepared: {outcome.reason or 'there are no bytes to send'}",
                          outcome.code or "unreadable")
    return outcome.asset


def _as_shown(place: Place, image: StoreImage) -> Place:
    """Return a place without what its image shows otherwise: the run may have said it there for another place.

    What is stated is then sent by the next upload; undoing changes no text and no order.
    """
    return replace(place, sort_order=place.sort_order if place.sort_order == image.sort_order else None,
                   description=place.description if place.description == image.description else None)


def _unread(place: Place) -> Place:
    """Return a place without what tells whether its file is unchanged: the next upload reads it."""
    return replace(place, mtime_ns=None, inode=None, etag=None)
