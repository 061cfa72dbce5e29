"""The HTTP server of the sandbox: strict about requests, patient with slow ones up to a limit, quiet."""

from __future__ import annotations

import io
import itertools
import logging
import os
import re
import socket
import socketserver
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol

from imagepipe.sandbox.answers import Answer, Refusal

log = logging.getLogger("imagepipe.sandbox")

MOST_BODY = 10_000_000  #: Bytes of a request's body; an image of 8 MB and its form are well within.
_MOST_LINE = 8_192  # bytes of a request line, as usual in front of APIs
_DRAINED = 64_000_000  # bytes that are read and dropped so that a client which is still sending sees its answer
_CONNECTIONS = 256  # at once; more are closed unanswered
_IDLE = 60.0  # seconds that a connection may wait for its next request
_HEADERS = 20.0  # seconds for the head of a request
_BODY = 600.0  # seconds for its body
_SILENCE = 30.0  # seconds without a byte, or for sending an answer
_HEX = re.compile(rb"[0-9A-Fa-f]{1,8}")


@dataclass(frozen=True, slots=True)
class Incoming:
    """A request as it came over the wire, its body read."""

    method: str
    path: str
    query: str
    headers: dict[str, str]  #: Names in lower case; of one that is given twice, the last.
    body: bytes
    connection: int  #: Number of the connection that it came over.


class Site(Protocol):
    """What a server serves; its methods may be called from several threads at once."""

    def early(self, request: Incoming) -> Answer | None:
        """Return the answer to a request that is refused by its head alone, without its body."""

    def answer(self, request: Incoming) -> Answer | None:
        """Return the answer to a request; None: close the connection without one."""

    def sent(self, request: Incoming, answer: Answer | None) -> list[tuple[str, str]]:
        """Take note of an answer, and return the headers to add to it."""


class Server(ThreadingHTTPServer):
    """Listens on 127.0.0.1; a thread a connection."""

    daemon_threads = True
    request_queue_size = 128
    allow_reuse_address = os.name != "nt"  # on Windows it would let two servers share a port

    def __init__(self, port: int, site: Site) -> None:
        self.site = site
        self.numbers = itertools.count(1)  #: Of connections; one call of `next` is safe in any thread.
        self._open: dict[socket.socket, threading.Thread | None] = {}
        self._guard = threading.Lock()
        super().__init__(("127.0.0.1", port), _Handler)

    def server_bind(self) -> None:
        """Bind without asking the name service who we are, as `HTTPServer` does."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]  # type: ignore[assignment]  # typed for IPv6 too

    def process_request(self, request: Any, client_address: Any) -> None:
        """Give a connection its thread, unless there are too many."""
        with self._guard:
            full = len(self._open) >= _CONNECTIONS
            if not full:
                self._open[request] = None
        if full:
            super().shutdown_request(request)
        else:
            super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve one connection."""
        with self._guard:
            if request in self._open:
                self._open[request] = threading.current_thread()
        super().process_request_thread(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Close one connection."""
        super().shutdown_request(request)
        with self._guard:
            self._open.pop(request, None)

    def close_connections(self) -> None:
        """Close all connections and wait a little for what is being answered."""
        with self._guard:
            still = list(self._open.items())
        for connection, _ in still:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # closed by its own thread meanwhile
        for _, thread in still:
            if thread is not None:
                thread.join(5)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a client that hangs up is no event. Faults of our own are logged where they are caught."""
        log.debug("a connection ended early", exc_info=True)


class _Wire(io.RawIOBase):
    """Reads from a socket, until a deadline and never waiting long for a byte."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._idle = False
        self._deadline = 0.0

    def readable(self) -> bool:
        return True

    def idle(self) -> None:
        """Wait for the next request, whose head has its own deadline from its first byte on."""
        self._idle = True
        self._deadline = time.monotonic() + _IDLE

    def allow(self, seconds: float) -> None:
        """Set the time for all that is read from now on."""
        self._idle = False
        self._deadline = time.monotonic() + seconds

    def readinto(self, buffer: Any) -> int:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the request takes too long")
        self._connection.settimeout(left if self._idle else min(left, _SILENCE))
        count = self._connection.recv_into(buffer)
        if self._idle:
            self.allow(_HEADERS)
        return count


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "imagepipe-sandbox"
    sys_version = ""
    disable_nagle_algorithm = True  # with it every answer takes 40 ms
    server: Server
    raw_requestline: bytes

    def setup(self) -> None:
        super().setup()
        self.rfile.close()
        self._wire = _Wire(self.connection)
        self.rfile = io.BufferedReader(self._wire, 65_536)
        self._number = next(self.server.numbers)

    def handle_one_request(self) -> None:
        self._wire.idle()
        try:
            super().handle_one_request()
        except (ConnectionError, TimeoutError, ValueError):  # ValueError: closed by us meanwhile
            self.close_connection = True

    def handle_expect_100(self) -> bool:
        return True  # said when the body is wanted, not before

    def log_message(self, format: str, *args: Any) -> None:
        log.debug(format, *args)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer a request that is no HTTP, in plain text."""
        self.close_connection = True
        self._send(Answer(code, f"{message or HTTPStatus(code).phrase}\n".encode(), "text/plain; charset=utf-8"), [])

    def _handle(self) -> None:
        if self.request_version == "HTTP/0.9":
            self.close_connection = True
            return
        if len(self.raw_requestline) > _MOST_LINE:
            self.send_error(414)
            return
        path, _, query = _target(self.path).partition("?")
        headers = {name.lower(): value.strip() for name, value in self.headers.items()}
        request = Incoming(self.command, path, query, headers, b"", self._number)
        site = self.server.site
        answer: Answer | None
        refused = False
        try:
            length = self._length()
            answer = site.early(request)
            body = self._body(length, wanted=answer is None)
            if answer is None:
                request = Incoming(self.command, path, query, headers, body, self._number)
                answer = _carefully(site.answer, request)
        except Refusal as refusal:
            self.close_connection = refused = True  # where its body ends is unknown, or too far off
            answer = refusal.answer
        more = site.sent(request, answer)
        if answer is None:
            self.close_connection = True
            return
        self._send(answer, more)
        if refused:
            self._drain()

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _handle  # looked up by name

    def _length(self) -> int | None:
        """Return how long the body is, None: in chunks; raises `Refusal` where it is not said properly."""
        lengths, codings = self.headers.get_all("Content-Length", []), self.headers.get_all("Transfer-Encoding", [])
        if codings:
            if lengths or self.request_version != "HTTP/1.1":
                raise Refusal(400, "Transfer-Encoding with Content-Length, or before HTTP/1.1")
            if [coding.strip().lower() for coding in codings] != ["chunked"]:
                raise Refusal(501, "The sandbox takes no Transfer-Encoding but chunked")
            return None
        if not lengths:
            if self.command in ("POST", "PUT", "PATCH"):
                raise Refusal(411, "Content-Length is missing")
            return 0
        if len(set(lengths)) > 1 or not re.fullmatch("[0-9]{1,18}", lengths[0].strip()):
            raise Refusal(400, "Content-Length is no number")
        return int(lengths[0])

    def _body(self, length: int | None, *, wanted: bool) -> bytes:
        """Return the body; one that is not wanted is read past, or left where the client waits to be asked for it."""
        if length == 0:
            return b""
        if length is not None and length > MOST_BODY:
            raise _too_large()
        if self.headers.get("Expect", "").lower() == "100-continue":
            if not wanted:
                self.close_connection = True
                return b""
            self.connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._wire.allow(_BODY)
        if length is None:
            return self._chunks()
        return self._exactly(length)

    def _exactly(self, length: int) -> bytes:
        data = self.rfile.read(length)
        if len(data) < length:
            raise ConnectionError("the client hung up in the middle of its body")
        return data

    def _chunks(self) -> bytes:
        pieces, total = list[bytes](), 0
        while True:
            size = self.rfile.readline(1_024).partition(b";")[0].strip()  # extensions are read past
            if not _HEX.fullmatch(size):
                raise Refusal(400, "a chunk without its size")
            if not (length := int(size, 16)):
                break
            total += length
            if total > MOST_BODY:
                raise _too_large()
            pieces.append(self._exactly(length))
            if self._exactly(2) != b"\r\n":
                raise Refusal(400, "a chunk that is longer than it says")
        for _ in range(32):
            if self.rfile.readline(8_192) in (b"\r\n", b"\n"):
                return b"".join(pieces)
        raise Refusal(400, "trailers without an end")

    def _drain(self) -> None:
        """Read and drop what a client still sends: closing at once would reset it before it sees the answer."""
        if self.headers.get("Expect", "").lower() == "100-continue":
            return
        self._wire.allow(5)
        self.connection.shutdown(socket.SHUT_WR)
        left = _DRAINED
        while left > 0 and (piece := self.rfile.read1(65_536)):
            left -= len(piece)

    def _send(self, answer: Answer, more: list[tuple[str, str]]) -> None:
        lines = [f"HTTP/1.1 {answer.status} {_phrase(answer.status)}", f"Date: {self.date_time_string()}",
                 f"Server: {self.server_version}"]
        if answer.status not in (204, 304):
            lines.append(f"Content-Length: {len(answer.body)}")
        if answer.content_type:
            lines += [f"Content-Type: {answer.content_type}", "X-Content-Type-Options: nosniff"]
        lines += [f"{name}: {value}" for name, value in (*answer.headers, *more)]
        if self.close_connection:
            lines.append("Connection: close")
        elif self.request_version == "HTTP/1.0":
            lines.append("Connection: keep-alive")
        head = "\r\n".join([*lines, "", ""]).encode("latin-1", "replace")
        self.connection.settimeout(_SILENCE)
        self.connection.sendall(head + (b"" if self.command == "HEAD" else answer.body))


def _carefully(answer: Callable[[Incoming], Answer | None], request: Incoming) -> Answer | None:
    try:
        return answer(request)
    except Exception as error:  # a fault of our own is a 500 to the client, and no end of the server
        log.error("%s %s failed: %s", request.method, request.path, error, exc_info=True)
        return Refusal(500, "The sandbox has a fault of its own; its log tells more").answer


def _target(target: str) -> str:
    """Return the path and query of a request target, which may be a whole address (RFC 9112, section 3.2.2)."""
    found = re.fullmatch(r"(?i:https?)://[^/?#]*(.*)", target)
    return (found[1] or "/") if found else target


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"


def _too_large() -> Refusal:
    return Refusal(413, f"The body is larger than {MOST_BODY:,} bytes")
