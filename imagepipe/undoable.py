"""What can be taken back of one run: what it put into a store, and what it replaced there.

A picture that was replaced is put back where it still is in the store, and sent again where its
source is at hand: the ledger knows its SHA-256, and where it was read. What is nowhere is named.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from imagepipe import marker
from imagepipe.at_hand import AtHand
from imagepipe.errors import ConfigurationError, ProductNotFound
from imagepipe.ledger import Image, Ledger, Place, Replaced
from imagepipe.stores import Store, StoreImage
from imagepipe.stores.products import Products
from imagepipe.stores.settle import WAITS, Settler

log = logging.getLogger("imagepipe")

#: How the command of a run that took another back begins, in the ledger.
COMMAND = "imagepipe undo"


@dataclass(frozen=True, slots=True)
class Restoration:
    """A picture that a run replaced, and whose source is at hand."""

    source: str  #: Path, or address, that holds it.
    before: tuple[Replaced, ...]  #: The places that showed it: one image for all of them.

    @property
    def place(self) -> Place:
        """The first of the places, as it was."""
        return self.before[0].place


@dataclass(frozen=True, slots=True)
class Lost:
    """A picture that a run replaced or deleted, and that cannot be brought back."""

    product: int
    image_id: int
    key: str  #: The place that showed it; "" where that is not known.
    reason: str
    before: Replaced | None = None  #: What undoing gives up; None where it may still be put back one day.


@dataclass(frozen=True, slots=True)
class Undoable:
    """What can be taken back of a run, and what cannot."""

    run: str
    delete: tuple[Image, ...]  #: Created by the run, and in the store.
    gone: tuple[Image, ...]  #: Created by the run, and no longer in the store.
    changed: tuple[Image, ...]  #: Created by the run, but listed under another name: left alone.
    restore: tuple[Restoration, ...] = ()  #: Replaced by the run, and to be sent again.
    stay: tuple[tuple[Replaced, int], ...] = ()  #: Replaced, and still in the store: the place, and the image it had.
    lost: tuple[Lost, ...] = ()
    edited: int = 0  #: Changes of text, order or thumbnail that the run made: they stay.

    def __bool__(self) -> bool:
        return bool(self.delete or self.restore or self.stay)


def last_run(ledger: Ledger, store: str) -> str:
    """Return the last run that can be taken back: it put images into a store, or places show others since.

    So does one that only pruned, or found pictures swapped. Raises `ConfigurationError` where
    there is none.
    """
    runs = ledger.runs(store)
    undone = {run["command"] for run in runs if run["exit_code"] == 0}
    for run in runs:
        if _created(ledger, store, run["id"]) or (f"{COMMAND} {run['id']}" not in undone
                                                  and ledger.replaced(store, by=run["id"])):
            return str(run["id"])
    raise ConfigurationError("the ledger knows no run that put images into this store, or replaced some, and that was "
                             "not undone")


def _created(ledger: Ledger, store: str, run: str) -> list[Image]:
    """Return the images that a run sent: what it merely found in the store is recorded under it too."""
    sent = {(post.product, post.image_id)
            for post in ledger.operations(store, "run = ? AND kind = 'post' AND state = 'done'", run)}
    return [image for image in ledger.images(store, run=run) if (image.product, image.image_id) in sent]


def undoable(store: Store, ledger: Ledger, run: str = "", *, folders: Iterable[Path] = (),
             sleep: Callable[[float], object] = time.sleep, waits: Sequence[float] = WAITS) -> Undoable:
    """Return what undoing a run, or else the last one, would do, after a look at the store and the source.

    Sends nothing that changes the store. Uploads whose answer was lost are looked for first, over
    growing `waits` in seconds, so that what came of them is undone as well. Pictures that were
    replaced are looked for where they were read, and in `folders`. Raises `ConfigurationError` for
    a run that the ledger does not know.
    """
    _settle(store, ledger, Settler(Products(store, ledger, run), sleep, waits))
    run = run or last_run(ledger, store.identity)
    rows = {row["id"]: row for row in ledger.runs(store.identity)}
    if run not in rows:
        raise ConfigurationError(f"the ledger knows no run {run!r} of this store; 'imagepipe report' names the last")
    if rows[run]["command"].startswith(COMMAND):
        raise ConfigurationError(f"run {run} took another one back; 'imagepipe upload' sends its pictures again")
    return _Look(store, ledger, run, {id_: -row for row, id_ in enumerate(rows)}, tuple(folders)).undoable()


def _settle(store: Store, ledger: Ledger, settler: Settler) -> None:
    """Find out what became of uploads and deletions that were cut off."""
    settler.settle_open()
    uncertain = sum(operation.kind == "post" for operation in ledger.open_operations(store.identity))
    if uncertain:
        log.warning("of %d uploads it is not known yet whether the store has them; undo again later", uncertain)


class _Look:
    """Finds out, for one run, what is in the store and what is at hand."""

    def __init__(self, store: Store, ledger: Ledger, run: str, age: dict[str, int], folders: tuple[Path, ...]) -> None:
        self.store, self.ledger, self.run = store, ledger, run
        self.identity = store.identity
        self.age = age  # of each run: a later one has a higher number
        self.at_hand = AtHand(ledger, self.identity, folders)
        self.created = _created(ledger, self.identity, run)
        self.doomed = {(image.product, image.image_id) for image in self.created}
        self._listings: dict[int, dict[int, StoreImage] | None] = {}

    def listed(self, product: int) -> dict[int, StoreImage] | None:
        """Return what a product holds; None: the store does not have it."""
        if product not in self._listings:
            try:
                self._listings[product] = {one.id: one for one in self.store.images(product)}
            except ProductNotFound:
                self._listings[product] = None
        return self._listings[product]

    def undoable(self) -> Undoable:
        delete, gone, changed = [], [], []
        for image in self.created:
            there = (self.listed(image.product) or {}).get(image.image_id)
            if there is None:
                gone.append(image)
            elif there.image_file != image.name and not marker.shows_source(there.image_file, image.source_sha256):
                changed.append(image)
            else:
                delete.append(image)
        restore: dict[tuple[int, str], Restoration] = {}
        stay: list[tuple[Replaced, int]] = []
        lost: list[Lost] = []
        for before in self.ledger.replaced(self.identity, by=self.run):
            self._sort(before, restore, stay, lost)
        edited = len(self.ledger.operations(self.identity, "run = ? AND kind = 'put' AND state = 'done'", self.run))
        return Undoable(self.run, tuple(delete), tuple(gone), tuple(changed), tuple(restore.values()), tuple(stay),
                        (*lost, *self._deleted_for_others()), edited)

    def _sort(self, before: Replaced, restore: dict[tuple[int, str], Restoration], stay: list[tuple[Replaced, int]],
              lost: list[Lost]) -> None:
        """Decide what can be done for one place."""
        place = before.place
        listed = self.listed(place.product)
        now = self.ledger.place(self.identity, place.product, place.key)
        if listed is None:
            lost.append(_lost(before, "the store no longer has the product", before))
            return
        if now is not None and (now.product, now.image_id) not in self.doomed and now.image_id in listed \
                and now.source_sha256 == place.source_sha256:
            return  # it shows it once more: undone before, or uploaded
        later = self._later(before, now)
        if later:
            lost.append(_lost(before, f"run {later} has changed this place since; undo that one first"))
            return
        held = self._held(place, listed)
        if held is not None:
            stay.append((before, held))
            return
        former = self.ledger.images(self.identity, place.product, image_id=place.image_id, deleted=True)
        if not former or former[0].shown is None:
            return  # somebody had deleted it in the store before
        of = (place.product, place.source_sha256)
        if of in restore:
            restore[of] = replace(restore[of], before=(*restore[of].before, before))
            return
        source = self.at_hand.find(place, now=now)
        if source is None:
            lost.append(_lost(before, "the picture that it showed is not at hand any more; put the old file back in "
                                      "its place, or name a folder that has it with --from DIR", before))
        else:
            restore[of] = Restoration(source, (before,))

    def _later(self, before: Replaced, now: Place | None) -> str:
        """Return the run that has changed a place after this one; "" where none has."""
        place = before.place
        for other in self.ledger.replaced(self.identity, product=place.product, key=place.key):
            if other.number > before.number:
                return other.by
        if now is None or (now.product, now.image_id) in self.doomed:
            return ""
        found = self.ledger.images(self.identity, now.product, image_id=now.image_id)
        made_by = found[0].run if found and found[0].ours else now.run
        return made_by if self.age.get(made_by, self.age[self.run]) > self.age[self.run] else ""

    def _held(self, place: Place, listed: dict[int, StoreImage]) -> int | None:
        """Return the image in the store that shows what a place showed, and is not to be deleted."""
        known = {image.image_id for image in self.ledger.images(self.identity, place.product,
                                                                source_sha256=place.source_sha256)}
        ids = [id_ for id_, image in sorted(listed.items()) if (place.product, id_) not in self.doomed
               and (id_ in known or marker.shows_source(image.image_file, place.source_sha256))]
        return place.image_id if place.image_id in ids else ids[0] if ids else None

    def _deleted_for_others(self) -> list[Lost]:
        """Return what the run deleted although it was not this run that replaced it."""
        replaced = self.ledger.replaced(self.identity)
        own = {(one.place.product, one.place.image_id) for one in replaced if one.by == self.run}
        earlier = {(one.place.product, one.place.image_id): one for one in replaced if one.by != self.run}
        found = []
        images = {(one.product, one.image_id): one for one in self.ledger.images(self.identity, deleted=True)
                  if one.deleted_by == self.run}
        for done in self.ledger.operations(self.identity, "run = ? AND kind = 'delete' AND state = 'done'", self.run):
            of = (done.product, done.image_id or 0)
            image = images.get(of)
            if image is None or of in own or image.run == self.run:
                continue
            at = Place(self.identity, image.product, "", image.image_id, image.source_sha256)
            if self._held(at, self.listed(image.product) or {}) is not None:
                continue  # it was there twice
            before = earlier.get(of)
            reason = (f"run {before.by} had replaced it; undo that one" if before is not None else
                      "what showed it was not written down; upload the old file to have it again")
            found.append(Lost(*of, self._key_of(image) if before is None else before.place.key, reason))
        return found

    def _key_of(self, image: Image) -> str:
        """Return the place that an image was sent for, as far as the ledger tells."""
        posts = self.ledger.operations(self.identity, "kind = 'post' AND product = ? AND image_id = ?", image.product,
                                       image.image_id)
        return posts[-1].key if posts else ""


def _lost(of: Replaced, reason: str, before: Replaced | None = None) -> Lost:
    return Lost(of.place.product, of.place.image_id, of.place.key, reason, before)
