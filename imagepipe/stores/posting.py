"""Send one picture until it is known to be there, or known not to be."""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from imagepipe import marker
from imagepipe.asset import Asset
from imagepipe.errors import (
    AccessRefused,
    Ambiguous,
    ProductFull,
    ProductNotFound,
    Rejected,
    StopRun,
    StoreBusy,
    StoreError,
    StoreUnusable,
    Uncertain,
)
from imagepipe.stores import Store, StoreImage, Upload
from imagepipe.stores.products import Product, Products
from imagepipe.stores.records import Records, as_shown, without_secrets
from imagepipe.stores.settle import Request, Settler, recorded

log = logging.getLogger("imagepipe")

_REFUSALS = 5  #: So many in a row concern the store, not the pictures (FAULTS.md, 23).
_FULL_PRODUCTS = 3  #: Likewise (FAULTS.md, 21).


@dataclass(eq=False)
class Poster:
    """Sends pictures of one run. The first goes alone, and its name is read back before the second."""

    store: Store
    records: Records
    products: Products
    settler: Settler
    attempts: int  #: POSTs of one picture, each after the one before was proved absent.
    waits: Sequence[float]
    sleep: Callable[[float], object]
    surplus: list[str]  #: Takes a sentence for each picture that the store holds more than once.
    proved: bool = False  #: The store was seen to keep the names that we send.
    unproved: StoreUnusable | None = None  #: It was not: nothing more may be sent, and nothing deleted.
    rejected: int = 0  #: In a row, over all products.
    full: set[int] = field(default_factory=set)
    _proof: threading.Lock = field(default_factory=threading.Lock)

    def send(self, product: Product, asset: Asset, upload: Upload, *,
             replaces: StoreImage | None = None) -> tuple[StoreImage, Request, int]:
        """POST until the image is there; return it, the request, and how many POSTs it took.

        Raises `Uncertain` where nobody can tell, and what the store says for good.
        """
        request = self._request(product, asset, upload)
        if self.proved or request.by_url:
            return self._post(product, asset, upload, request, replaces)
        with self._proof:
            self.check()
            sent = self._post(product, asset, upload, request, replaces)
            if not self.proved:
                self._prove(product, sent[0], request)
            return sent

    def check(self) -> None:
        """Raise `StoreUnusable` where the first image's name could not be read back."""
        if self.unproved is not None:
            raise self.unproved

    def settle(self, product: Product, source_sha256: str) -> None:
        """Find out what became of a POST of the same picture that this run left undecided; raise `Uncertain`.

        Its duplicate may be next, and absence in a listing from before that POST proves nothing.
        """
        number = product.uncertain.get(source_sha256)
        if number is None:
            return
        [operation] = self.records.ledger.operations(self.records.store, "number = ?", number)
        self.settler.settle_post(product, operation)
        [operation] = self.records.ledger.operations(self.records.store, "number = ?", number)
        if operation.state == "uncertain" or (operation.state == "failed" and source_sha256 in product.said_taken):
            raise Uncertain(f"the same picture was sent as {operation.name}, and whether the store has it could not be "
                            "found out. Running the same command again looks again")
        del product.uncertain[source_sha256]

    @staticmethod
    def _request(product: Product, asset: Asset, upload: Upload) -> Request:
        assert asset.received is not None  # what is sent was read
        sent = hashlib.sha256(upload.data).hexdigest() if upload.data is not None else asset.received.sha256
        return Request(without_secrets(upload.image_url) if upload.image_url else upload.name,
                       asset.received.sha256, sent, product.highest_id)

    def _post(self, product: Product, asset: Asset, upload: Upload, request: Request,
              replaces: StoreImage | None) -> tuple[StoreImage, Request, int]:
        problem: StoreError | None = None
        shown = {replaces.id: as_shown(replaces)} if replaces is not None else None
        for attempt in range(1, self.attempts + 1):
            number = self.records.intend(
                product.id, "post", key=without_secrets(asset.place), name=request.name,
                source_sha256=request.source_sha256, sha256=request.sha256, highest_id=request.highest_id,
                attempt=attempt, shown=shown)
            try:
                image = self.store.create(upload)
            except (Ambiguous, StoreBusy) as error:
                problem = error
                found = self._look(product, request, number, error)
                if found is None:
                    continue
                image = found
            except AccessRefused as error:
                self.records.record(number, "failed", detail=str(error))
                raise
            except StopRun:
                raise  # the operation stays open: the next run looks before it sends
            except StoreError as error:
                self.records.record(number, "failed", detail=str(error))
                self._refused(product, error)
                raise
            self.rejected = 0
            self._delivered(asset, image, request, number)
            return image, request, attempt
        if isinstance(problem, StoreBusy):
            raise problem
        raise Uncertain(f"{problem}; sent {self.attempts} times, and absent from the listing each time. "
                        "Running the same command again sends it again")

    def _look(self, product: Product, request: Request, number: int, error: StoreError) -> StoreImage | None:
        """Return the image of a request whose answer was lost; None where it is proved absent."""
        log.info("product %d, %s: %s; looking whether it is there", product.id, request.name, error)
        try:
            hits = self.settler.look(product, request, first_wait=getattr(error, "wait", 0.0))
        except StopRun as stop:  # the next request finds out by itself that the store is gone
            log.info("%s", stop)
            hits = None
        if hits == [] and getattr(error, "accepted", False):
            hits = None  # it said that it took the picture, and does not list it: one of the two is wrong
            product.said_taken.add(request.source_sha256)
        if hits is None:
            self.records.record(number, "uncertain", detail=str(error))
            product.uncertain[request.source_sha256] = number
            raise Uncertain(f"{error}; whether the store has it could not be found out. "
                            "Running the same command again looks again") from error
        if not hits:
            self.records.record(number, "failed", detail=f"{error}; absent from the listing")
            return None
        if len(hits) > 1:
            self.products.claim_surplus(product, request.source_sha256, [hit.id for hit in hits])
        return hits[0]

    def _delivered(self, asset: Asset, image: StoreImage, request: Request, number: int) -> None:
        """Record an image that is in the store: operation, image and place in one transaction."""
        size = len(asset.data) if asset.data is not None else None
        self.records.record(
            number, "done", image=recorded(self.records.store, self.records.run, image, request, size),
            place=self.records.new_place(asset, image.id, thumbnail_is_set=image.is_thumbnail))

    def _prove(self, product: Product, image: StoreImage, request: Request) -> None:
        """Read the first image's name back from the listing; where that fails, nothing more may be sent.

        The image itself is there, and recorded: it is what comes after it that ends the run.
        """
        name, seen = None, "not at all"
        try:
            for wait in (0.0, *self.waits):
                self.sleep(wait)
                name = next((one.image_file for one in self.products.list_all(product) if one.id == image.id), None)
                if name is not None:
                    break
        except StoreError as error:
            seen = f"nothing that could be read ({error})"
        if name is not None and marker.Marker.of(request.source_sha256, request.sha256).is_in(name):
            self.proved = True
            return
        self.unproved = StoreUnusable(
            f"image {image.id} was sent to product {product.id} as {request.name!r}, and the store lists "
            f"{f'it as {name!r}' if name is not None else seen}: without the name in the listing a picture could be "
            "sent twice, so the run stops here")

    def _refused(self, product: Product, error: StoreError) -> None:
        """Notice what concerns the store and not this picture."""
        if isinstance(error, ProductNotFound):
            product.exists = False
        elif isinstance(error, ProductFull):
            self.full.add(product.id)
            if len(self.full) >= _FULL_PRODUCTS:
                raise StopRun("three products took no more images; look at the store's limits") from error
        elif isinstance(error, Rejected):
            self.rejected += 1
            if self.rejected >= _REFUSALS:
                raise StopRun(f"the store refused five images in a row, the last one so: {error}") from error
