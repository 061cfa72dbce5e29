"""The one module that knows the HTTP library: one request, one answer, and what can go wrong.

Nothing is repeated here, no redirect is followed, no cookie kept. An answer is read to its end
under a size cap, before and after decompression. What the library raises becomes `NoConnection`
(nothing was sent) or `BrokenOff` (something may have arrived), in one place.

httpx2 continues httpx under the same names: to swap, change the two imports.
"""

from __future__ import annotations

import contextlib
import functools
import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

import httpcore
import httpx

from imagepipe.answer import Answer, BrokenOff, NoConnection, Secret, TooMuch, unpacker
from imagepipe.deadlines import Deadline, Line, Pace, Resolve, deadline_of
from imagepipe.plain import plain

BaseTransport = httpx.BaseTransport
MockTransport = httpx.MockTransport
Request = httpx.Request
Response = httpx.Response


# -- below the library: streams with a deadline ----------------------------------------------------


class _Stream(httpcore.NetworkStream):
    """A line, as the library wants it."""

    def __init__(self, line: Line) -> None:
        self._line = line

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        try:
            return self._line.receive(max_bytes, deadline_of(timeout))
        except TimeoutError as error:
            raise httpcore.ReadTimeout(str(error) or "timed out") from error
        except OSError as error:
            raise httpcore.ReadError(str(error)) from error

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        try:
            self._line.send(buffer, deadline_of(timeout))
        except OSError as error:
            # also where time ran out: after a WriteError the library looks for an answer that came early
            raise httpcore.WriteError(str(error)) from error

    def close(self) -> None:
        self._line.close()

    def start_tls(self, ssl_context: ssl.SSLContext, server_hostname: str | None = None,
                  timeout: float | None = None) -> httpcore.NetworkStream:
        with _connecting():
            return _Stream(self._line.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        sock = self._line.sock
        if info == "is_readable":
            return self._line.is_readable()
        if info == "ssl_object":
            return sock if isinstance(sock, ssl.SSLSocket) else None
        return sock if info == "socket" else None


class _Backend(httpcore.NetworkBackend):
    """Connects, to the addresses that `resolve` gives for a name."""

    def __init__(self, resolve: Resolve | None) -> None:
        self._resolve = resolve

    def connect_tcp(self, host: str, port: int, timeout: float | None = None, local_address: str | None = None,
                    socket_options: Iterable[Any] | None = None) -> httpcore.NetworkStream:
        with _connecting():
            return _Stream(Line.to(host, port, timeout, self._resolve))


@contextlib.contextmanager
def _connecting() -> Iterator[None]:
    try:
        yield
    except TimeoutError as error:
        raise httpcore.ConnectTimeout(str(error) or "timed out") from error
    except OSError as error:
        raise httpcore.ConnectError(str(error)) from error


@functools.cache
def _trusted() -> ssl.SSLContext:
    """Return whom we trust; SSL_CERT_FILE and SSL_CERT_DIR add a company's own authority.

    Made once in a process: reading the authorities takes longer than many an upload.
    """
    return httpx.create_ssl_context()



class Transport(BaseTransport):
    """Sends requests over connections whose exchanges have a deadline. TLS is verified, always.

    Each exchange has a connection to itself. The library's own pool shares them among threads, and
    may take one that another thread has just been given for one that the server hung up on: its
    check and the first answer's arrival race, which costs an upload its answer now and then.
    """

    def __init__(self, *, pace: Pace | None = None, connections: int = 4, proxy: str | None = None,
                 resolve: Resolve | None = None) -> None:
        self.pace = pace or Pace()
        self._settings: dict[str, Any] = {
            "ssl_context": _trusted(),
            "max_connections": 1,
            "keepalive_expiry": 15.0,  # well below what servers allow: a request on a closed connection looks lost
            "network_backend": _Backend(resolve),
        }
        self._proxy = proxy
        self._places = threading.BoundedSemaphore(connections)
        self._free: list[httpcore.ConnectionPool] = []  # each with one connection; the last used comes first
        self._lock = threading.Lock()

    def _open(self) -> httpcore.ConnectionPool:
        if self._proxy is None:
            return httpcore.ConnectionPool(**self._settings)
        parts = urlsplit(self._proxy)
        auth = (unquote(parts.username or "").encode(), unquote(parts.password or "").encode())
        return httpcore.HTTPProxy(proxy_url=f"http://{parts.netloc.rpartition('@')[2]}",
                                  proxy_auth=auth if parts.username else None, **self._settings)

    def _take(self) -> httpcore.ConnectionPool:
        if not self._places.acquire(timeout=self.pace.pool):
            raise httpx.PoolTimeout("no connection was free in time")
        with self._lock:
            return self._free.pop() if self._free else self._open()

    def _give_back(self, pool: httpcore.ConnectionPool) -> None:
        with self._lock:
            self._free.append(pool)
        self._places.release()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        deadline = Deadline(self.pace)
        times = {"connect": self.pace.connect, "read": deadline, "write": deadline, "pool": self.pace.pool}
        url = request.url
        pool = self._take()
        try:
            with _as_httpx():
                response = pool.handle_request(httpcore.Request(
                    method=request.method,
                    url=httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
                    headers=request.headers.raw, content=request.stream,
                    extensions={**request.extensions, "timeout": times}))
        except BaseException:
            self._give_back(pool)
            raise
        return httpx.Response(response.status, headers=response.headers,
                              stream=_Body(response.stream, lambda: self._give_back(pool)))

    def close(self) -> None:
        """Close the connections that are not in use."""
        with self._lock:
            while self._free:
                self._free.pop().close()


class _Body(httpx.SyncByteStream):
    """The body of an answer as it comes. Closing it ends the exchange."""

    def __init__(self, stream: Any, done: Callable[[], None]) -> None:
        self._stream, self._done = stream, done
        self._closed = False

    def __iter__(self) -> Iterator[bytes]:
        with _as_httpx():
            yield from self._stream

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            try:
                self._stream.close()
            finally:
                self._done()


@contextlib.contextmanager
def _as_httpx() -> Iterator[None]:
    """Raise what httpx raises for what the layer below it raised; both have the same names."""
    try:
        yield
    except (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError, httpcore.ProxyError,
            httpcore.UnsupportedProtocol) as error:
        raise getattr(httpx, type(error).__name__)(str(error)) from error


# -- above the library: one request, one answer ----------------------------------------------------


class Client(Protocol):
    """What an `httpx.Client`, or one like it, has that is used here."""

    def send(self, request: Any, *, stream: bool = False, follow_redirects: bool = False) -> Any: ...


class ClientTransport(BaseTransport):
    """A caller's own client as a transport. The caller made it, and closes it."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        response: httpx.Response = self._client.send(request, stream=True, follow_redirects=False)
        return response


def exchange(send: Callable[[httpx.Request], httpx.Response], method: str, url: str, *, headers: Mapping[str, str],
             cap: int, secret: tuple[str, Secret] | None = None, json: object = None,
             data: Mapping[str, str] | None = None, files: Mapping[str, tuple[str, bytes, str]] | None = None,
             extensions: Mapping[str, Any] | None = None) -> Answer:
    """Send one request and read its answer, of at most `cap` bytes; raise `NoConnection` or `BrokenOff`.

    `secret` names a header and its value, which no error shows.
    """
    try:
        request = httpx.Request(method, url, headers={"Accept-Encoding": "gzip", **headers}, json=json, data=data,
                                files=files, extensions=dict(extensions or {}))
    except httpx.InvalidURL:
        raise BrokenOff("the address is none") from None
    if secret is not None:
        request.headers[secret[0]] = secret[1].reveal()
    try:
        response = send(request)
        try:
            return Answer(response.status_code, response.headers, _read(response, cap))
        finally:
            response.close()
    except (httpx.HTTPError, httpx.StreamError, OSError) as error:
        problem = _problem(error)
    except BrokenOff as error:
        problem = error.with_traceback(None)
        problem.__context__ = None
    # Raised out here, with no cause: the frames below hold the bytes of the request, the secret among
    # them, and would be shown by whatever prints tracebacks with their variables.
    raise problem


def _problem(error: Exception) -> NoConnection | BrokenOff:
    """Return what an error of the library means for us."""
    said = plain(str(error))[:200] or type(error).__name__
    if isinstance(error, httpx.ConnectTimeout):
        return NoConnection("no connection in time", "timeout")
    if isinstance(error, httpx.PoolTimeout):
        return NoConnection("no connection was free in time", "timeout")
    if isinstance(error, httpx.ProxyError):
        # 4xx: wants a password, or forbids it; anything else, it could not connect itself
        return NoConnection(f"the proxy refuses ({said})", "proxy" if said.startswith("4") else "network")
    if isinstance(error, httpx.ConnectError):
        return NoConnection(said, _kind(error))
    if isinstance(error, (httpx.UnsupportedProtocol, httpx.LocalProtocolError)):
        return BrokenOff("the request could not be sent")  # what it says may show a header
    if isinstance(error, httpx.TimeoutException):
        return BrokenOff("no answer in time", slow=True)
    return BrokenOff(f"the connection broke off ({said})")


def _kind(error: BaseException) -> str:
    """Return which step of connecting failed, by what caused the error."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, socket.gaierror):
            return "name"
        if isinstance(cause, ssl.SSLError) and not isinstance(cause, (ssl.SSLEOFError, ssl.SSLZeroReturnError,
                                                                      ssl.SSLSyscallError)):
            return "tls"
        if isinstance(cause, ConnectionRefusedError):
            return "refused"
        cause = cause.__cause__ or cause.__context__
    return "network"


def _read(response: httpx.Response, cap: int) -> bytes:
    """Read a body, of which no more than `cap` bytes are held, compressed or not."""
    unpack = unpacker(response.headers.get("content-encoding", ""), cap)
    received, parts = 0, []
    # the stream itself, not `iter_bytes`: that unpacks whatever is in a piece before it can be counted
    for piece in response.stream:  # type: ignore[union-attr]  # of a synchronous client, so it is one that iterates
        received += len(piece)
        if received > cap:
            raise TooMuch(f"the answer has more than {cap:,} bytes")
        parts.append(unpack(piece))
    parts.append(unpack(None))
    return b"".join(parts)
