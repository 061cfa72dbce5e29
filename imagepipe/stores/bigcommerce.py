"""The client of a BigCommerce store: images of products, and SKUs."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from imagepipe import __version__
from imagepipe.answer import Answer, Nonsense, Secret
from imagepipe.deadlines import Pace
from imagepipe.errors import Ambiguous, ConfigurationError, Rejected, StoreBusy
from imagepipe.http import BaseTransport, Client, ClientTransport, Transport
from imagepipe.plain import plain
from imagepipe.proxies import is_loopback, proxy_for
from imagepipe.stores import StoreImage, Upload, answers
from imagepipe.stores.connection import Connection, Patience, duration
from imagepipe.stores.listing import Listing
from imagepipe.stores.skus import Skus
from imagepipe.stores.throttle import Throttle
from imagepipe.stores.waiting import Waiting

log = logging.getLogger("imagepipe")

API = "https://api.bigcommerce.com"
LONGEST_URL = 255  #: Characters of an `image_url` (the API's description, "Create a Product Image").
SIDE_LOADED = 50  #: Products a request, when their images are asked for with them.


class BigCommerce:
    """A store on BigCommerce, or on a server that answers as its API does. Safe to use from many threads.

    `leave_quota` is the share of the store's request quota that is left to other apps;
    `max_requests`, a number and seconds, a limit of one's own. Without a connection,
    `wait_for_network` seconds are waited, which is logged and given to `on_wait`. `transport` or
    `client` (of httpx, or like it) takes the place of the connections that are made here.

    The token goes into a header of requests to this origin and is shown nowhere.

    >>> BigCommerce("abc123", "secret")
    BigCommerce('abc123')
    """

    def __init__(self, store_hash: str, token: str, *, base_url: str | None = None, leave_quota: float = 0.2,
                 max_requests: tuple[int, float] | None = None, wait_for_network: float = 900.0, connections: int = 4,
                 transport: BaseTransport | None = None, client: Client | None = None, pace: Pace | None = None,
                 patience: Patience | None = None, sleep: Callable[[float], object] = time.sleep,
                 clock: Callable[[], float] = time.monotonic,
                 on_wait: Callable[[str], object] | None = None) -> None:
        root = _root(store_hash, base_url)
        secret = _token(token)
        if client is not None:
            transport = ClientTransport(client)
        elif transport is None:
            # one more than uploads at once: products are listed for what comes next meanwhile
            transport = Transport(pace=pace, connections=connections + 1, proxy=proxy_for(root))

        self._waiting = Waiting(sleep)

        def pause(seconds: float) -> None:
            if on_wait is not None and seconds >= 1:
                on_wait(f"the store asks for a pause of {duration(seconds)}")

        try:
            self._throttle = Throttle(transport, leave_quota=leave_quota, max_requests=max_requests,
                                      sleep=self._waiting, clock=clock, on_pause=pause)
        except ValueError as error:
            raise ConfigurationError(str(error)) from None
        headers = {"Accept": "application/json",
                   "User-Agent": f"imagepipe/{__version__}"}
        self._connection = Connection(root, self._throttle.handle_request, headers, secret, sleep=self._waiting,
                                      clock=clock, wait_for_network=wait_for_network, patience=patience,
                                      on_wait=on_wait)
        self._listing = Listing(self._connection)
        self._skus = Skus(self._listing)
        self._identity = _identity(store_hash, root)
        host = urlsplit(root)
        shop = f"https://store-{store_hash}.mybigcommerce.com" if self._identity == store_hash else (
            f"{host.scheme}://{host.netloc}")
        self._originals = f"{shop}/product_images/"
        self._unsettled: set[int] = set()  # products whose last write may or may not have been carried out
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"BigCommerce({self._identity!r})"

    def __enter__(self) -> BigCommerce:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._throttle.close()

    def interrupt(self, on: bool = True) -> None:
        """Wait for nothing any more, neither for the quota nor for the network; from any thread.

        What waits, or would have to, raises `StopRun`; requests that are on their way come to
        their end. With False, waiting is allowed again.
        """
        self._waiting.interrupt(on)

    def usage(self) -> dict[str, int]:
        """Return how many requests were sent, by method."""
        return dict(self._throttle.sent)

    @property
    def identity(self) -> str:
        """Name of the store in the ledger: its hash, and the origin where that is not BigCommerce's.

        Of this machine the port is left out: a sandbox gets another one each time that it starts.
        """
        return self._identity

    @property
    def originals(self) -> str:
        """Where the store's own pages serve images as they were uploaded, as far as is known: not documented."""
        return self._originals

    # -- products ----------------------------------------------------------------------------------

    def product_ids(self, skus: Sequence[str]) -> Mapping[str, int]:
        """Return the product of each SKU that exists, of products and of variants."""
        return self._skus.find(skus)

    def known_skus(self) -> Iterable[str]:
        """Return the SKUs that have been seen so far. Sends nothing."""
        return self._skus.known()

    # -- reading images ----------------------------------------------------------------------------

    def side_loaded(self, product_ids: Sequence[int]) -> Mapping[int, Sequence[StoreImage]]:
        """Return the products that exist, each with images of it, which need not be all.

        Raises `StopRun`, `StoreBusy`.
        """
        found: dict[int, Sequence[StoreImage]] = {}
        wanted = sorted(set(product_ids))
        for start in range(0, len(wanted), SIDE_LOADED):
            some = wanted[start:start + SIDE_LOADED]

            def parse(item: Mapping[str, Any], asked: frozenset[int] = frozenset(some)) -> tuple[int, list[StoreImage]]:
                number, images = answers.product_with_images(item)
                if number not in asked:
                    raise Nonsense(f"the answer holds product {number}, which was not asked for")
                return number, images

            query = f"id:in={','.join(map(str, some))}&include=images"
            found.update(self._listing.whole("/catalog/products", query, parse, lambda item: item[0],
                                             limit=SIDE_LOADED))
        return found

    def images(self, product_id: int) -> Sequence[StoreImage]:
        """Return all images of one product, from its own paged listing.

        Raises `ProductNotFound`, `StopRun`, `StoreBusy`; never returns a part for the whole.
        """
        with self._lock:
            urgent = product_id in self._unsettled
        return self._listing.whole(f"/catalog/products/{product_id}/images", "",
                                   lambda item: answers.image_of(item, product_id), lambda image: image.id,
                                   first=urgent, missing=answers.no_product(product_id))

    def image(self, product_id: int, image_id: int) -> StoreImage | None:
        """Return one image, or None where it, or its product, does not exist."""

        def parse(answer: Answer) -> StoreImage | None:
            self._expect(answer, 404)
            return None if answer.status == 404 else answers.created(answer, product_id)

        return self._connection.read(f"/catalog/products/{product_id}/images/{image_id}", "", parse)

    # -- writing -----------------------------------------------------------------------------------

    def create(self, upload: Upload) -> StoreImage:
        """Send one image, once.

        Raises `Rejected`, `ProductNotFound`, `ProductFull` (nothing was stored), `StoreBusy`,
        `StopRun`, or `Ambiguous`, whose `wait` says how long to let the store be before looking.
        """
        product_id = upload.product_id
        body = _body(upload)
        with self._lock:
            self._unsettled.discard(product_id)
        try:
            return self._connection.write("POST", f"/catalog/products/{product_id}/images",
                                          lambda answer: answers.created(answer, product_id), product_id=product_id,
                                          **body)
        except Ambiguous:
            with self._lock:
                self._unsettled.add(product_id)
            raise

    def update(self, product_id: int, image_id: int, **changes: Any) -> StoreImage:
        """Change `sort_order`, `is_thumbnail`, `description`. Repeating it is harmless, so it is repeated.

        Raises `Rejected`, `ProductNotFound`, `StopRun`, `StoreBusy`.
        """
        unknown = sorted(changes.keys() - {"sort_order", "is_thumbnail", "description"})
        if unknown:
            raise ConfigurationError(f"an image has no {', '.join(unknown)} that could be changed")

        def parse(answer: Answer) -> StoreImage | None:
            self._expect(answer, 404)
            return None if answer.status == 404 else answers.created(answer, product_id)

        image = self._connection.repeat("PUT", f"/catalog/products/{product_id}/images/{image_id}", parse, changes)
        if image is None:
            self.images(product_id)  # raises where it is the product that is gone
            raise Rejected(f"product {product_id} has no image {image_id} any more")
        return image

    def delete(self, product_id: int, image_id: int) -> None:
        """Delete one image; one that is gone already is well.

        Raises `Rejected`, `ProductNotFound`, `StopRun`, `StoreBusy`.
        """

        def parse(answer: Answer) -> bool:
            self._expect(answer, 404, 410)
            return answer.status == 204

        done = self._connection.repeat("DELETE", f"/catalog/products/{product_id}/images/{image_id}", parse)
        # 204 is how a deletion is answered; what else there is may come from something in between, and proves nothing
        if not done and any(image.id == image_id for image in self.images(product_id)):
            raise StoreBusy(f"the store did not delete image {image_id} of product {product_id}, which it still lists")

    def _expect(self, answer: Answer, *also: int) -> None:
        """Raise where an answer that is not to be repeated is neither a success nor one of `also`."""
        if answer.is_web_page:
            raise Nonsense("the answer is a web page")
        if not 200 <= answer.status < 300 and answer.status not in also:
            raise Rejected(f"the store refuses it: {answers.explained(answer, self._connection.token)}")


def _body(upload: Upload) -> dict[str, Any]:
    """Return the body of a POST, as the HTTP library takes it; raise `Rejected` where there is none."""
    values: dict[str, Any] = {"sort_order": upload.sort_order, "is_thumbnail": upload.is_thumbnail,
                              "description": upload.description, "date_modified": upload.date_modified,
                              "product_id": upload.product_id if upload.send_product_id else None}
    values = {name: value for name, value in values.items() if value is not None}
    for name, value in values.items():
        if isinstance(value, str) and re.search("[\ud800-\udfff]", value):
            raise Rejected(f"{name} holds characters that are no text: {plain(value)[:80]}")
    if upload.image_url is not None:
        if upload.data is not None:
            raise ConfigurationError("an image is sent as data or as an image_url, not both")
        if len(upload.image_url) > LONGEST_URL:
            raise Rejected(f"the address of the image has {len(upload.image_url)} characters, and the store takes "
                           f"{LONGEST_URL}; send the picture itself (without --by-url), or use a shorter address")
        return {"json": {"image_url": upload.image_url, **values}}
    if not upload.data:
        raise Rejected("there is no picture to send: it has no bytes")
    texts = {name: ("true" if value else "false") if isinstance(value, bool) else str(value)
             for name, value in values.items()}
    return {"data": texts, "files": {"image_file": (upload.name, upload.data, upload.media_type)}}


def _root(store_hash: str, base_url: str | None) -> str:
    """Return the API's root without a slash at its end; raise `ConfigurationError` where it can be none."""
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", store_hash):
        raise ConfigurationError(f"the store's hash is {plain(store_hash)[:80]!r}, and can hold letters and digits "
                                 "only; it is what stands after /stores/ in the API path, like 'abc123def'")
    if base_url is None:
        return f"{API}/stores/{store_hash}/v3"
    root = base_url.rstrip("/")
    try:
        parts = urlsplit(root)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise ConfigurationError(f"the API root (--base-url) cannot be understood ({error})") from None
    if "@" in parts.netloc or parts.query or parts.fragment or not host or port == 0:
        raise ConfigurationError("the API root (--base-url) must be plain: scheme, host and path, without a user, "
                                 "a query or a fragment")
    if not re.fullmatch(r"(?![-.])[A-Za-z0-9_.-]{1,253}(?<![.-])|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*", host) or ".." in host:
        raise ConfigurationError(f"the API root (--base-url) {plain(root)[:200]} has no host that could be found")
    if re.search(r"[^\x21-\x7e]", root) or not parts.path.endswith(f"/stores/{store_hash}/v3"):
        raise ConfigurationError(f"the API root (--base-url) {plain(root)[:200]} does not end in "
                                 f"/stores/{store_hash}/v3")
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(host)):
        raise ConfigurationError(f"the API root (--base-url) {plain(root)[:200]} is not https, and the token would go "
                                 "over the network in the open; plain http works for this machine only")
    return root


def _token(token: str) -> Secret:
    """Return the token as what is never shown; raise `ConfigurationError`, without it, where it can be none."""
    text = token.strip()
    if not re.fullmatch(r"[\x21-\x7e]+", text):
        raise ConfigurationError("the access token (BIGCOMMERCE_ACCESS_TOKEN) is empty, or holds a space, a line end "
                                 "or another character that a token does not have")
    return Secret(text)


def _identity(store_hash: str, root: str) -> str:
    parts = urlsplit(root)
    if f"{parts.scheme}://{parts.netloc}".lower() == API:
        return store_hash
    host = parts.hostname or ""
    return f"{store_hash}@localhost" if is_loopback(host) else f"{store_hash}@{parts.scheme}://{parts.netloc.lower()}"
