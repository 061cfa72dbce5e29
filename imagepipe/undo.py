"""Delete exactly what one run put into a store."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from imagepipe import marker
from imagepipe.errors import ConfigurationError, ProductNotFound
from imagepipe.ledger import Image, Ledger
from imagepipe.stores import Store, StoreImage


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
        if ledger.images(store, run=run["id"]):
            return str(run["id"])
    raise ConfigurationError("the ledger knows no run that put images into this store and that was not undone")


def undoable(store: Store, ledger: Ledger, run: str) -> Undoable:
    """Return what undoing a run would delete, after a look at the store. Sends nothing that changes it.

    Raises `ConfigurationError` for a run that the ledger does not know.
    """
    if run not in {row["id"] for row in ledger.runs(store.identity)}:
        raise ConfigurationError(f"the ledger knows no run {run!r} of this store; 'imagepipe report' names the last")
    created = [image for image in ledger.images(store.identity, run=run) if image.ours]
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
