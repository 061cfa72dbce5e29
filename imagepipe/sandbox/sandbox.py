"""The sandbox as a whole: a store on this machine, and a view into it for Python."""

from __future__ import annotations

import re
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from imagepipe.errors import ConfigurationError
from imagepipe.sandbox import pages
from imagepipe.sandbox.answers import INT32, Answer, Refusal, as_text, whole_number
from imagepipe.sandbox.api import Api, Asked, query_of
from imagepipe.sandbox.catalog import Catalog
from imagepipe.sandbox.faults import Fault, Faults
from imagepipe.sandbox.folder import StoreFolder
from imagepipe.sandbox.images import Fetch, Images
from imagepipe.sandbox.quota import Quota
from imagepipe.sandbox.renditions import CONTENT_TYPES, SIZES, rendition, rendition_extension
from imagepipe.sandbox.server import Incoming, Server
from imagepipe.sandbox.state import Image, Product, State

_LOGGED = 100_000  # requests that are remembered
_ROOT = re.compile(r"/stores/[^/]*/v3(/.*)?")
_RENDITION = re.compile(r"/products/([0-9]{1,10})/images/([0-9]{1,10})/([^/]+)\.([0-9]+)\.([0-9]+)\.[a-z]+")


@dataclass(frozen=True, slots=True)
class Request:
    """One request that the API was sent, and how it ended."""

    method: str
    path: str  #: Behind the API root, without the query: `/catalog/products/77/images`.
    query: str
    status: int  #: 0: the connection was cut, as a test had asked for.
    received: int  #: Bytes of its body that were read.
    sent: int  #: Bytes of the answer's body.
    content_type: str  #: Without parameters.
    user_agent: str
    connection: int  #: Equal for requests over the same connection.


class Sandbox:
    """A BigCommerce-like store on 127.0.0.1, over real HTTP; a context manager.

    >>> with Sandbox(products=["SHIRT-1"]) as sandbox:  # doctest: +SKIP
    ...     client = BigCommerce(sandbox.store_hash, sandbox.token, base_url=sandbox.base_url)

    `folder` keeps it, with a hash and token of its own; without, it is gone in the end. `port` 0 is
    any free one. `products` are SKUs, or mappings with the arguments of `add_product`; ids that are
    not given rise from 101. With `create_missing`, a product that is asked for by id or SKU is made;
    ids for SKUs then rise from 1,000,001, clear of those that people ask for. `quota` requests are
    answered every `window_seconds`; None: any number. `max_images` is the most that a product takes.
    `fetch` returns the bytes of an `image_url`; without, an address is noted and not fetched. Names
    of files are cut to `longest_name` characters. Raises `ConfigurationError` where the folder or
    the port is in use.
    """

    def __init__(self, folder: Path | None = None, *, port: int = 0, token: str | None = None,
                 store_hash: str | None = None, create_missing: bool = False,
                 products: Iterable[str | Mapping[str, Any]] = (), quota: int | None = 150,
                 window_seconds: float = 30.0, max_images: int = 1_000, fetch: Fetch | None = None,
                 longest_name: int = 100, clock: Callable[[], float] = time.monotonic) -> None:
        self._port = port
        self._products = tuple(products)
        self._quota = Quota(quota, window_seconds, clock)
        self._faults = Faults()
        self._log: deque[Request] = deque(maxlen=_LOGGED)
        self._closing = ExitStack()
        self.url = ""  #: The page to look at; known once it is started, as is `base_url`.
        self.base_url = ""  #: The API root, up to and including `/stores/{hash}/v3`.
        with ExitStack() as undo:
            self._folder = StoreFolder(Path(folder) if folder is not None else None)
            undo.callback(self._folder.close)
            self.store_hash, self.token = self._folder.access(store_hash, token)
            if not re.fullmatch("[A-Za-z0-9_-]+", self.store_hash):
                raise ConfigurationError(f"{self.store_hash!r} cannot be a store hash: letters and digits only")
            self._state = State(self._folder.path, first_id=1_000_001 if create_missing else 101,
                                max_images=max_images, durable=self._folder.is_kept)
            undo.callback(self._state.close)
            self._catalog = Catalog(self._state, create_missing, lambda: self.url)
            self._images = Images(self._state, lambda: self.url, fetch, longest_name)
            for product in self._products:
                self._add(product)
            self._closing = undo.pop_all()

    def start(self) -> Self:
        """Begin to listen."""
        site = _Site(self)
        try:
            server = Server(self._port, site)
        except OSError as error:
            self.close()
            raise ConfigurationError(f"the sandbox cannot listen on port {self._port}: {error.strerror}") from error
        self.url = f"http://127.0.0.1:{server.server_port}/"
        self.base_url = f"{self.url}stores/{self.store_hash}/v3"
        self._folder.tell(self.url)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="imagepipe-sandbox", daemon=True)
        thread.start()

        def stop() -> None:
            server.shutdown()
            thread.join()
            server.close_connections()
            server.server_close()

        self._closing.callback(stop)
        return self

    def close(self) -> None:
        """Stop listening, and let go of the folder. May be called again."""
        self._closing.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None,
                 traceback: TracebackType | None) -> None:
        self.close()

    # The view for tests

    @property
    def requests(self) -> list[Request]:
        """The requests to the API so far, in the order of their answers."""
        return list(self._log)

    def add_product(self, sku: str = "", *, name: str = "", variants: Iterable[str] = (),
                    product_id: int | None = None) -> int:
        """Add a product, with the SKUs of its variants, and return its id."""
        skus = tuple(variants)
        for taken in (sku, *skus):
            if taken and self._state.has_sku(taken):
                raise ConfigurationError(f"the SKU {taken} is taken")
        if product_id is not None and (not 1 <= product_id <= INT32[1] or self._state.product(product_id)):
            raise ConfigurationError(f"the product id {product_id} is taken, or none")
        return self._state.add_product(sku, name, skus, product_id)

    def products(self) -> list[Product]:
        """Return all products, by id."""
        return self._state.products()[0]

    def images(self, product_id: int) -> list[Image]:
        """Return the images of a product as a shopper sees them: by sort order, then by id."""
        return self._state.images(product_id, order="sort_order, id")

    def received(self, image_id: int) -> bytes:
        """Return the bytes of an image as they arrived; FileNotFoundError where there are none."""
        return self._state.original(image_id).read_bytes()

    def spend(self, requests: int) -> None:
        """Use up some of the quota, as another app on the store does."""
        self._quota.spend(requests)

    def fail(self, kind: int | Literal["cut"], *, method: str | None = None, path: str = "", after: int = 0,
             times: int | None = 1, carried_out: bool = False, body: str | None = None,
             headers: Mapping[str, str] | None = None) -> None:
        """Let requests go wrong: answer a status, or cut the connection.

        `method` and `path` (a part of it) choose which; the first `after` of them pass, the next
        `times` fail, or all from then on with None. With `carried_out` the store has done what was
        asked before it fails. `body` is sent as a page of HTML instead of the API's error. The answer
        has the `headers` that are given, and none that tell of the quota.
        """
        fault = Fault(kind, carried_out, method, path, body, tuple((headers or {}).items()))
        self._faults.add(fault, after, times)

    def heal(self) -> None:
        """Let nothing go wrong any more."""
        self._faults.clear()

    def _add(self, product: str | Mapping[str, Any]) -> None:
        values = {"sku": product} if isinstance(product, str) else dict(product)
        sku, product_id = str(values.get("sku", "")), int(values.get("product_id") or 0)
        there = self._state.has_sku(sku) if sku else self._state.product(product_id) is not None
        if not there:  # a kept store has them from the last time
            self.add_product(**values)


class _Site:
    """Puts the API, its quota and faults, and the pages behind one server."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._state = sandbox._state
        self._api = Api(sandbox._state, sandbox._catalog, sandbox._images, sandbox.store_hash, sandbox.token)

    def early(self, request: Incoming) -> Answer | None:
        if request.path.startswith("/stores/"):
            refused = self._api.refused(request.path, request.headers.get("x-auth-token"))
            if refused is None and not self._sandbox._quota.take():
                return Refusal(429, "Too many requests").answer
            return refused
        port = self._sandbox.url.rpartition(":")[2].rstrip("/")
        if request.headers.get("host", "").lower() not in (f"127.0.0.1:{port}", f"localhost:{port}"):
            # a page of the web whose name was made to point at this machine must not read the store
            return as_text(421, "This server answers to 127.0.0.1 and localhost only.\n")
        if request.method not in ("GET", "HEAD"):
            return as_text(501, "Pages can only be read.\n")
        return None

    def answer(self, request: Incoming) -> Answer | None:
        if not request.path.startswith("/stores/"):
            return self._page(request)
        fault = self._sandbox._faults.next(request.method, request.path)
        if fault is not None and not fault.carried_out:
            return fault.answer
        answer = self._api.answer(Asked(request.method, _below_root(request.path), request.query,
                                        request.headers.get("content-type", ""), request.body))
        return answer if fault is None else fault.answer

    def sent(self, request: Incoming, answer: Answer | None) -> list[tuple[str, str]]:
        if not request.path.startswith("/stores/"):
            return []
        status = answer.status if answer else 0
        self._sandbox._log.append(Request(
            request.method, _below_root(request.path), request.query, status, len(request.body),
            len(answer.body) if answer else 0, request.headers.get("content-type", "").partition(";")[0].strip(),
            request.headers.get("user-agent", ""), request.connection))
        if answer is not None and not answer.tells_quota:
            return []
        return self._sandbox._quota.headers(refused=status == 429)

    def _page(self, request: Incoming) -> Answer:
        path, sandbox = request.path, self._sandbox
        try:
            number = max(1, whole_number(query_of(request.query).get("page", "1")) or 1)
        except Refusal as refusal:
            return as_text(refusal.status, f"{refusal.title}\n")
        if path == "/":
            return pages.front(self._state, sandbox.url, sandbox.base_url, number)
        if path == "/favicon.ico":
            return Answer(204)
        if found := _RENDITION.fullmatch(path):
            return self._rendition(int(found[1]), int(found[2]), (int(found[4]), int(found[5])))
        if path.startswith("/product_images/"):
            return self._original(path.removeprefix("/product_images/"))
        product = self._state.product(whole_number(path.removeprefix("/products/")) or 0)
        if path.startswith("/products/") and product is not None:
            return pages.of_product(self._state, sandbox.url, product, number)
        return pages.missing()

    def _rendition(self, product_id: int, image_id: int, size: tuple[int, int]) -> Answer:
        image = self._state.image(image_id, product_id)
        if image is None or size not in SIZES.values():
            return pages.missing()
        try:
            data = rendition(self._state, image, *size)
        except FileNotFoundError:
            return pages.missing()
        return Answer(200, data, CONTENT_TYPES[rendition_extension(image)], pages.SAFETY)

    def _original(self, image_file: str) -> Answer:
        """Return the bytes as they were received; looked up by name in the store, never on the disk."""
        image = self._state.image_at(image_file)
        try:
            data = self._state.original(image.id).read_bytes() if image else None
        except FileNotFoundError:
            data = None
        if image is None or data is None:
            return pages.missing()
        return Answer(200, data, CONTENT_TYPES[image.format], pages.SAFETY)


def _below_root(path: str) -> str:
    found = _ROOT.fullmatch(path)
    return (found[1] or "/") if found else path
