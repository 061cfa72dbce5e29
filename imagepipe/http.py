"""The one module that knows the HTTP library: one request, one answer, and what can go wrong.

Nothing is repeated here, no redirect is followed, no cookie kept. An answer is read to its end
under a size cap, before and after decompression. What the library raises becomes `NoConnection`
(nothing was sent) or `BrokenOff` (something may have arrived), in one place, in words of ours: the
library's quote what the other side sent.

The library logs for itself, under `httpcore`, at DEBUG only and nothing unless somebody asks for
it. That shows hosts, and the head of each answer as it came, but no request's headers or address.
The token, and a proxy's password, are blanked out of all that comes in over connections made here,
so a store or proxy that tells them back does not get them into that log either. What else an
answer's head holds does stand there, such as the signed address that a picture's host redirects
to: to look into what goes on, turn on the logger `imagepipe` alone, which shows no secret at any
level. A caller's own client logs what it likes.

httpx2 continues httpx under the same names: to swap, change the two imports.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import socket
import ssl
import threading
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

import httpcore
import httpx

from imagepipe.answer import Answer, BrokenOff, NoConnection, Secret, TooMuch, unpacker
from imagepipe.deadlines import Deadline, Line, Pace, Resolve, deadline_of

BaseTransport = httpx.BaseTransport
MockTransport = httpx.MockTransport
Request = httpx.Request
Response = httpx.Response


# -- below the library: streams with a deadline ----------------------------------------------------

_LONGEST_SECRET = 4096  # bytes; a header that is longer is not taken by servers
_SECRET = "imagepipe.secret"  # in a request's `extensions`: what its answer must not show

class _Exchange(Deadline):
    """The end of one exchange, and what its answer must not show."""

    secret: Secret | None = None


class _Stream(httpcore.NetworkStream):
    """A line, as the library wants it. No secret comes in by it: neither one of `hidden` nor of the exchange."""

    def __init__(self, line: Line, hidden: tuple[Secret, ...] = ()) -> None:
        self._line, self._hidden = line, hidden
        self._before = b""  # the end of what came last, where a secret may have begun

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        try:
            data = self._line.receive(max_bytes, deadline_of(timeout))
        except TimeoutError as error:
            raise httpcore.ReadTimeout(str(error) or "timed out") from error
        except OSError as error:
            raise httpcore.ReadError(str(error)) from error
        secret = timeout.secret if isinstance(timeout, _Exchange) else None
        hidden = self._hidden if secret is None else (secret, *self._hidden)
        if not hidden:
            return data
        before, self._before = self._before, (self._before + data)[-_LONGEST_SECRET:]
        for one in hidden:
            data = one.blank(data, before)
        return data

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

    def __init__(self, resolve: Resolve | None, hidden: tuple[Secret, ...] = ()) -> None:
        self._resolve, self._hidden = resolve, hidden

    def connect_tcp(self, host: str, port: int, timeout: float | None = None, local_address: str | None = None,
                    socket_options: Iterable[Any] | None = None) -> httpcore.NetworkStream:
        with _connecting():
            return _Stream(Line.to(host, port, timeout, self._resolve), self._hidden)


@contextlib.contextmanager
def _connecting() -> Iterator[None]:
    try:
        yield
    except TimeoutError as error:
        raise httpcore.ConnectTimeout(str(error) or "timed out") from error
    except OSError as error:
        raise httpcore.ConnectError(str(error)) from error


@functools.cache
def _trusting(*_named: str | None) -> ssl.SSLContext:
    return httpx.create_ssl_context()


def _trusted() -> ssl.SSLContext:
    """Return whom we trust; SSL_CERT_FILE and SSL_CERT_DIR name a company's own authority.

    Made once for what they name: reading the authorities takes longer than many an upload.
    """
    return _trusting(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))


class Transport(BaseTransport):
    """Sends requests over connections whose exchanges have a deadline. TLS is verified, always.

    Each exchange has a connection to itself. The library's own pool shares them among threads, and
    may take one that another thread has just been given for one that the server hung up on: its
    check and the first answer's arrival race, which costs an upload its answer now and then.
    """

    def __init__(self, *, pace: Pace | None = None, connections: int = 4, proxy: str | None = None,
                 resolve: Resolve | None = None) -> None:
        self.pace = pace or Pace()
        parts = urlsplit(proxy or "")
        self._proxy = f"http://{parts.netloc.rpartition('@')[2]}" if proxy else None
        self._proxy_user = unquote(parts.username or "")
        self._proxy_password = Secret(unquote(parts.password or ""))
        # as it is sent (RFC 7617), and by itself
        hidden = (Secret(b64encode(f"{self._proxy_user}:{self._proxy_password.reveal()}".encode()).decode()),
                  self._proxy_password) if parts.username else ()
        self._settings: dict[str, Any] = {
            "ssl_context": _trusted(),
            "max_connections": 1,
            "keepalive_expiry": 15.0,  # well below what servers allow: a request on a closed connection looks lost
            "network_backend": _Backend(resolve, hidden),
        }
        self._places = threading.BoundedSemaphore(connections)
        self._free: list[httpcore.ConnectionPool] = []  # each with one connection; the last used comes first
        self._lock = threading.Lock()

    def _open(self) -> httpcore.ConnectionPool:
        if self._proxy is None:
            return httpcore.ConnectionPool(**self._settings)
        # the password is in no variable, which a traceback could show
        return httpcore.HTTPProxy(proxy_url=self._proxy, **self._settings, proxy_auth=(
            self._proxy_user.encode(), self._proxy_password.reveal().encode()) if self._proxy_user else None)

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
        deadline = _Exchange(self.pace)
        deadline.secret = request.extensions.get(_SECRET)
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
        request = None
    if request is None:
        raise BrokenOff("the address is none")
    if secret is not None:
        request.headers[secret[0]] = secret[1].reveal()
        request.extensions[_SECRET] = secret[1]
    try:
        response = send(request)
        try:
            return _shown(response, _read(response, cap), None if secret is None else secret[1])
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


def _shown(response: httpx.Response, body: bytes, secret: Secret | None) -> Answer:
    """Return an answer that does not hold the secret, were it told back, packed or over whatever transport."""
    headers: httpx.Headers = response.headers
    if secret is not None:
        headers = httpx.Headers([(name, secret.hide(value)) for name, value in headers.multi_items()])
        body = secret.blank(body)
    return Answer(response.status_code, headers, body)


def _problem(error: Exception) -> NoConnection | BrokenOff:
    """Return what an error of the library means for us. Its text is not passed on: it may quote the other side."""
    if isinstance(error, httpx.ConnectTimeout):
        return NoConnection("no connection in time", "timeout")
    if isinstance(error, httpx.PoolTimeout):
        return NoConnection("no connection was free in time", "timeout")
    if isinstance(error, httpx.ProxyError):
        status = re.match(r"[1-9][0-9]{2}(?![0-9])", str(error))
        # 4xx: wants a password, or forbids it; anything else, it could not connect itself
        kind = "proxy" if status and status[0].startswith("4") else "network"
        return NoConnection(f"the proxy refuses{f' ({status[0]})' if status else ''}", kind)
    if isinstance(error, httpx.ConnectError):
        return NoConnection(_reason(error) or "it did not come about", _kind(error))
    if isinstance(error, (httpx.UnsupportedProtocol, httpx.LocalProtocolError)):
        return BrokenOff("the request could not be sent")
    if isinstance(error, httpx.TimeoutException):
        return BrokenOff("no answer in time", slow=True)
    if isinstance(error, httpx.RemoteProtocolError):
        # h11's and httpcore's words for an end that came too early; others are about what was sent instead
        early = str(error).startswith(("Server disconnected", "peer closed connection"))
        return BrokenOff("the connection ended before the answer did" if early else "the answer is not one in HTTP")
    reason = _reason(error)
    return BrokenOff(f"the connection broke off ({reason})" if reason else "the connection broke off")


def _reason(error: BaseException) -> str:
    """Return what the operating system or the TLS library says was the cause; empty where neither did."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"the certificate is not good: {cause.verify_message}"  # of a fixed set, with the name we asked for
        if isinstance(cause, ssl.SSLError):
            return f"TLS: {(cause.reason or 'failed').replace('_', ' ').lower()}"
        if isinstance(cause, socket.gaierror):
            return cause.strerror or "no such name"  # of a fixed set (gai_strerror)
        if isinstance(cause, OSError) and cause.errno is not None:
            return os.strerror(cause.errno)
        cause = cause.__cause__ or cause.__context__
    return ""


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
