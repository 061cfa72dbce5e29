"""A store that fails on request: raw sockets and a real image table, sharing nothing with the sandbox.

It knows what it holds, counts every POST by its file name, and can do each fault of a bad network
or a bad server at any request number, once or from then on, before or after it has carried the
request out.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import gzip
import json
import os
import re
import signal
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

TOKEN = "CANARY-0f3a-token"  # must be seen by this store, and nowhere else


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes


class Hangup(Exception):
    """The connection is over."""


@dataclass
class FaultyStore:
    """Serves `/stores/faulty/v3` on 127.0.0.1. `fault(store, connection, request, answer)` stands in for answering.

    `at` is the number of the request (from 1) that goes wrong, and with `onwards` all that follow.
    """

    products: dict[int, str] = field(default_factory=lambda: {1: "SHIRT", 2: "MUG"})
    mangle: Callable[[str], str] = lambda name: name
    lag: int = 0  #: So many listings do not show a new image yet.

    def __post_init__(self) -> None:
        self.images: dict[int, dict[int, dict[str, Any]]] = {product: {} for product in self.products}
        self.hidden: Counter[int] = Counter()  # image -> listings that still do not show it
        self.sent: list[str] = []  # file names of the POSTs that were carried out
        self.bodies: dict[int, bytes] = {}
        self.requests: list[Request] = []
        self.wrong: list[str] = []  # what a correct client never does
        self.fault: Fault | None = None
        self.at, self.onwards = 0, False
        self.next_id = 100
        self.on_commit: Callable[[], None] = lambda: None
        self.lock = threading.RLock()
        self.connections = 0  # open at the moment

    # -- the wire ------------------------------------------------------------------------------

    def __enter__(self) -> FaultyStore:
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        self.base_url = f"http://127.0.0.1:{self.port}/stores/faulty/v3"
        self.open = True
        threading.Thread(target=self._accept, args=(self.listener,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.open = False
        self._close_listener()

    def _close_listener(self) -> None:
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self.lock:
                self.connections += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        connection.settimeout(20)
        with self._counting(), contextlib.suppress(OSError, Hangup), connection:
            buffer = b""
            while self.open:
                request, buffer = self._read(connection, buffer)
                if request is None:
                    return
                fault = self._fault_for(request)
                if "x-kill" in request.headers:  # the client wants to die with its request carried out, unanswered
                    self.answer(request)
                    os.kill(int(request.headers["x-kill"]), signal.SIGKILL)
                    return
                if fault is not None:
                    fault(self, connection, request)
                else:
                    connection.sendall(rendered(*self.answer(request)))

    @contextlib.contextmanager
    def _counting(self) -> Iterator[None]:
        try:
            yield
        finally:
            with self.lock:
                self.connections -= 1

    def _read(self, connection: socket.socket, buffer: bytes) -> tuple[Request | None, bytes]:
        while b"\r\n\r\n" not in buffer:
            more = connection.recv(65536)
            if not more:
                return None, b""
            buffer += more
        head, _, rest = buffer.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ")
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = int(headers.get("content-length", 0))
        with self.lock:
            early = self._peek()
        if early is not None and early.early and method == "POST":
            with self.lock:
                self.requests.append(Request(method, target, {}, headers, b""))
            early.do(self, connection, None)
            raise Hangup
        while len(rest) < length:
            more = connection.recv(min(1 << 20, length - len(rest)))
            if not more:
                raise Hangup
            rest += more
        parts = urlsplit(target)
        request = Request(method, parts.path, parse_qs(parts.query), headers, rest[:length])
        return request, rest[length:]

    def _peek(self) -> Fault | None:
        number = len(self.requests) + 1
        due = self.fault is not None and (number == self.at or (self.onwards and number > self.at))
        return self.fault if due else None

    def _fault_for(self, request: Request) -> Callable[[FaultyStore, socket.socket, Request], None] | None:
        with self.lock:
            fault = self._peek()
            self.requests.append(request)
            if request.headers.get("x-auth-token") != TOKEN:
                self.wrong.append(f"{request.method} {request.path} without the token")
        return fault.do if fault is not None and not fault.early else None

    # -- the store -----------------------------------------------------------------------------

    def answer(self, request: Request) -> tuple[int, object]:
        """Carry a request out; return its status and JSON, or None for no body."""
        with self.lock:
            path = request.path.removeprefix("/stores/faulty/v3")
            if path == "/catalog/products":
                return 200, self._products(request.query)
            if path == "/catalog/variants":
                return 200, page([])
            match = re.fullmatch(r"/catalog/products/(\d+)/images(?:/(\d+))?", path)
            if not match or int(match[1]) not in self.products:
                return 404, {"status": 404, "title": "not found", "type": "x", "errors": {}}
            product, image = int(match[1]), int(match[2]) if match[2] else None
            return getattr(self, f"_{request.method.lower()}")(product, image, request)

    def _products(self, query: dict[str, list[str]]) -> object:
        if "id:in" in query:
            ids = [int(id_) for id_ in query["id:in"][0].split(",")]
            return page([{"id": id_, "sku": self.products[id_], "images": self._shown(id_)[:10]} for id_ in ids
                         if id_ in self.products])
        names = [unquote(name) for name in (query.get("sku:in") or query.get("sku") or [""])[0].split(",")]
        return page([{"id": id_, "sku": sku} for id_, sku in self.products.items() if sku in names])

    def _shown(self, product: int) -> list[dict[str, Any]]:
        shown = []
        for image in self.images[product].values():
            if self.hidden[image["id"]] > 0:
                self.hidden[image["id"]] -= 1
            else:
                shown.append(image)
        return shown

    def _get(self, product: int, image: int | None, request: Request) -> tuple[int, object]:
        if image is not None:
            found = self.images[product].get(image)
            return (200, {"data": found, "meta": {}}) if found else (404, {"status": 404, "title": "no image"})
        number, limit = int(request.query.get("page", ["1"])[0]), int(request.query.get("limit", ["50"])[0])
        shown = self._shown(product)
        if not shown:
            return 204, None
        return 200, page(shown, number, limit)

    def _post(self, product: int, image: int | None, request: Request) -> tuple[int, object]:
        name, fields, data = multipart(request)
        key = re.search(r"[0-9a-f]{16}-[0-9a-f]{8}", name)
        if key is None:
            self.wrong.append(f"a POST without a marker: {name}")
        elif any(key[0] in held["name"] for held in self.images[product].values()):
            self.wrong.append(f"a second POST of {name} to product {product}, which holds it")
        self.next_id += 1
        stem, _, extension = self.mangle(name).rpartition(".")
        made = {"id": self.next_id, "product_id": product, "name": name,
                "image_file": f"a/{product}/{stem.lower()}__{self.next_id:05}.{extension}",
                "is_thumbnail": fields.get("is_thumbnail") == "true" or not self.images[product],
                "sort_order": int(fields.get("sort_order", 0)), "description": fields.get("description", ""),
                "url_zoom": f"http://127.0.0.1/{self.next_id}", "date_modified": "2026-01-01T00:00:00+00:00"}
        if made["is_thumbnail"]:
            for other in self.images[product].values():
                other["is_thumbnail"] = False
        self.images[product][self.next_id] = made
        self.bodies[self.next_id] = data
        self.hidden[self.next_id] = self.lag
        self.sent.append(name)
        self.on_commit()
        return 200, {"data": made, "meta": {}}

    def _put(self, product: int, image: int | None, request: Request) -> tuple[int, object]:
        found = self.images[product].get(image or 0)
        if found is None:
            return 404, {"status": 404, "title": "no image"}
        changes = json.loads(request.body)
        if changes.get("is_thumbnail"):
            for other in self.images[product].values():
                other["is_thumbnail"] = False
        found.update(changes)
        return 200, {"data": found, "meta": {}}

    def _delete(self, product: int, image: int | None, request: Request) -> tuple[int, object]:
        gone = self.images[product].pop(image or 0, None)
        if gone is None:
            return 404, {"status": 404, "title": "no image"}
        if gone["is_thumbnail"] and self.images[product]:
            next(iter(self.images[product].values()))["is_thumbnail"] = True
        return 204, None

    # -- for the tests -------------------------------------------------------------------------

    def held(self, product: int) -> list[bytes]:
        return [self.bodies[image] for image in self.images[product]]

    def wait_until_alone(self) -> None:
        """Return when the last client has hung up and all that it sent is dealt with."""
        # those who came before this one are accepted before it
        with socket.create_connection(("127.0.0.1", self.port)) as last:
            last.sendall(f"GET /alone HTTP/1.1\r\nX-Auth-Token: {TOKEN}\r\n\r\n".encode())
            last.recv(65536)
        deadline = time.monotonic() + 60
        while self.connections:
            assert time.monotonic() < deadline, "a client that should be dead is still connected"
            time.sleep(0.001)

    def kept(self) -> Any:
        """Return all that the store holds, for `become`."""
        with self.lock:
            return copy.deepcopy((self.images, self.hidden, self.sent, self.bodies, self.next_id))

    def become(self, kept: Any) -> None:
        """Hold what this store, or another, held when it was `kept`."""
        with self.lock:
            self.images, self.hidden, self.sent, self.bodies, self.next_id = copy.deepcopy(kept)
            self.requests.clear()

    def snapshot(self) -> Callable[[], None]:
        """Return a function that makes the store what it is now."""
        return functools.partial(self.become, self.kept())

    @contextlib.contextmanager
    def failing(self, fault: Fault, at: int, *, onwards: bool = False) -> Iterator[None]:
        """Let requests go wrong inside the `with`, counting from here."""
        self.requests.clear()
        self.fault, self.at, self.onwards = fault, at, onwards
        try:
            yield
        finally:
            self.fault = None
            if self.listener.fileno() < 0:
                self._listen_again()

    def stop_listening(self, connection: socket.socket) -> None:
        """Refuse connections from now on, until the fault is over."""
        self._close_listener()
        reset(connection)

    def _listen_again(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", self.port), backlog=64)
        threading.Thread(target=self._accept, args=(self.listener,), daemon=True).start()


def page(items: list[Any], number: int = 1, limit: int = 50) -> object:
    """Return a page of a listing with its `meta`."""
    some = items[(number - 1) * limit:number * limit]
    return {"data": some, "meta": {"pagination": {
        "total": len(items), "count": len(some), "per_page": limit, "current_page": number,
        "total_pages": max(1, -(-len(items) // limit)), "links": {}}}}


def rendered(status: int, body: object, headers: tuple[str, ...] = (), *, content: bytes | None = None) -> bytes:
    """Return an HTTP answer."""
    data = content if content is not None else b"" if body is None else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} X", *headers]
    if not any(line.lower().startswith("content-type") for line in headers) and data:
        lines.append("Content-Type: application/json")
    if status != 204:
        lines.append(f"Content-Length: {len(data)}")
    return "\r\n".join((*lines, "", "")).encode() + data


def multipart(request: Request) -> tuple[str, dict[str, str], bytes]:
    """Return the file's name, the other fields and the file's bytes."""
    boundary = re.search(r"boundary=(\S+)", request.headers.get("content-type", ""))
    if boundary is None:
        return "", {}, b""
    name, fields, data = "", {}, b""
    for part in request.body.split(b"--" + boundary[1].encode())[1:-1]:
        head, _, content = part[2:-2].partition(b"\r\n\r\n")
        named = re.search(rb'[; ]name="([^"]*)"', head)
        filed = re.search(rb'filename="([^"]*)"', head)
        assert named
        if filed:
            name, data = filed[1].decode(), content
        else:
            fields[named[1].decode()] = content.decode()
    return name, fields, data


def reset(connection: socket.socket) -> None:
    """End a connection with RST, as a crashed process or a broken middle does."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
    raise Hangup


@dataclass(frozen=True)
class Fault:
    """What goes wrong. `do(store, connection, request)`; an `early` one happens before the body is read."""

    name: str
    act: Callable[[FaultyStore, socket.socket, Request | None], None]
    commits: bool = False  #: The request is carried out first.
    early: bool = False
    permanent: bool = False  #: Onwards, the run cannot succeed.

    def do(self, store: FaultyStore, connection: socket.socket, request: Request | None) -> None:
        if self.commits and request is not None:
            store.answer(request)
        self.act(store, connection, request)


def status(code: int, *headers: str, body: object = None, content: bytes | None = None) -> Any:
    """Return a fault that answers with a status."""
    said = body if body is not None else {"status": code, "title": "it went wrong", "type": "x", "errors": {"a": "b"}}

    def act(store: FaultyStore, connection: socket.socket, request: Request | None) -> None:
        connection.sendall(rendered(code, None if content is not None else said, headers, content=content))

    return act


def raw(data: bytes, *, then: str = "close") -> Any:
    """Return a fault that writes bytes, and then closes, resets or says nothing more."""

    def act(store: FaultyStore, connection: socket.socket, request: Request | None) -> None:
        with contextlib.suppress(OSError):
            connection.sendall(data)
            if then == "silence":
                while connection.recv(65536):
                    pass
        if then == "reset":
            reset(connection)
        raise Hangup

    return act


def dripping(store: FaultyStore, connection: socket.socket, request: Request | None) -> None:
    """A header that never ends, a byte at a time."""
    with contextlib.suppress(OSError):
        connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
        while store.open:
            connection.sendall(b"a")
            threading.Event().wait(0.02)
    raise Hangup


def endless(store: FaultyStore, connection: socket.socket, request: Request | None) -> None:
    """A body that never ends."""
    with contextlib.suppress(OSError):
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
        while store.open:
            connection.sendall(b"10000\r\n" + b" " * 65536 + b"\r\n")
    raise Hangup


def refuse(store: FaultyStore, connection: socket.socket, request: Request | None) -> None:
    store.stop_listening(connection)


HTML = b"<!doctype html><html><title>Sign in to the Wi-Fi</title></html>"
BOMB = gzip.compress(b" " * 60_000_000)
GZIPPED = ("Content-Encoding: gzip", "Content-Type: application/json")
