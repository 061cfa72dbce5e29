"""Delete exactly what one run put into a store."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from imagepipe import marker
from imagepipe.errors import ConfigurationError, ProductNotFound
from imagepipe.ledger import Image, Ledger
from imagepipe.stores import Store, StoreImage
from imagepipe.stores.products import Products
from imagepipe.stores.settle import WAITS, Settler

log = logging.getLogger("imagepipe")


@dataclass(frozen=True, slots=True)
class Undoable:
    """What can be taken back of a run, and what cannot."""

    run: str
    delete: tuple[Image, ...]  #: Created by the run, and in the store.
    gone: tuple[Image, ...]  #: Created by the run, and no longer in the store.
    changed: tuple[Image, ...]  #: Created by the run, but listed under another name: left alone.
    lost: tuple[Image, ...]  #: Replaced and deleted by the run: only the old files could bring them back.


def last_run(ledger: Ledger, store: str) -> str:
    """Return the last run that put images into a store; raise `ConfigurationError` where there is none."""
    for run in ledger.runs(store):
        if _created(ledger, store, run["id"]):
            return str(run["id"])
    raise ConfigurationError("the ledger knows no run that put images into this store and that was not undone")


def _created(ledger: Ledger, store: str, run: str) -> list[Image]:
    """Return the images that a run sent: what it merely found in the store is recorded under it too."""
    sent = {(post.product, post.image_id)
            for post in ledger.operations(store, "run = ? AND kind = 'post' AND state = 'done'", run)}
    return [image for image in ledger.images(store, run=run) if (image.product, image.image_id) in sent]


def undoable(store: Store, ledger: Ledger, run: str = "", *, sleep: Callable[[float], object] = time.sleep,
             waits: Sequence[float] = WAITS) -> Undoable:
    """Return what undoing a run, or else the last one, would delete, after a look at the store.

    Sends nothing that changes the store. Uploads whose answer was lost are looked for first, over
    growing `waits` in seconds, so that what came of them is undone as well. Raises
    `ConfigurationError` for a run that the ledger does not know.
    """
    _settle(store, ledger, Settler(Products(store, ledger, run), sleep, waits))
    run = run or last_run(ledger, store.identity)
    if run not in {row["id"] for row in ledger.runs(store.identity)}:
        raise ConfigurationError(f"the ledger knows no run {run!r} of this store; 'imagepipe report' names the last")
    created = _created(ledger, store.identity, run)
    delete, gone, changed = [], [], []
    listings: dict[int, dict[int, StoreImage]] = {}
    for image in created:
        if image.product not in listings:
            try:
                listings[image.product] = {one.id: one for one in store.images(image.product)}
            except ProductNotFound:
                listings[image.product] = {}
        there = listings[image.product].get(image.image_id)
        if there is None:
            gone.append(image)
        elif there.image_file != image.name and not marker.shows_source(there.image_file, image.source_sha256):
            changed.append(image)
        else:
            delete.append(image)
    lost = tuple(image for image in ledger.images(store.identity, deleted=True)
                 if image.deleted_by == run and image.run != run)
    return Undoable(run, tuple(delete), tuple(gone), tuple(changed), lost)


def _settle(store: Store, ledger: Ledger, settler: Settler) -> None:
    """Find out what became of uploads that were cut off. Deletions that were are seen in the listing."""
    lost = [operation for operation in ledger.open_operations(store.identity) if operation.kind == "post"]
    for operation in lost:
        settler.settle_post(settler.products[operation.product], operation)
    uncertain = sum(operation.kind == "post" for operation in ledger.open_operations(store.identity))
    if uncertain:
        log.warning("of %d uploads it is not known yet whether the store has them; undo again later", uncertain)


def undo(store: Store, ledger: Ledger, what: Undoable) -> Iterator[Image]:
    """Delete what a run created; yield each image once it is gone and written down.

    Places that showed one of them are forgotten, so that the next upload sends their pictures again.
    """
    run = ledger.begin_run(store.identity, command=f"imagepipe undo {what.run}")
    for image in (*what.delete, *what.gone):
        if image in what.delete:
            number = ledger.intend(run, store.identity, image.product, "delete", image_id=image.image_id)
            store.delete(image.product, image.image_id)
            ledger.settle(number, "done", gone=image.image_id)
        else:
            ledger.gone(store.identity, image.product, image.image_id, run)
        for place in ledger.places(store.identity, image.product):
            if place.image_id == image.image_id:
                ledger.forget_place(place)
        if image in what.delete:
            yield image
    ledger.end_run(run, exit_code=0, summary={"undone": what.run, "deleted": len(what.delete)})
