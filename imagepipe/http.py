"""The one module that knows the HTTP library: one request, one answer, and what can go wrong.

Nothing is repeated here, no redirect is followed, no cookie kept. An answer is read to its end
under a size cap, before and after decompression. What the library raises becomes `NoConnection`
(nothing was sent) or `BrokenOff` (something may have arrived), in one place.

httpx2 continues httpx under the same names: to swap, change the two imports.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json as json_module
import logging
import socket
import ssl
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn, Protocol
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

import httpcore
import httpx

from imagepipe.deadlines import Deadline, Line, Pace, Resolve, deadline_of
from imagepipe.errors import ConfigurationError
from imagepipe.plain import plain
from imagepipe.sources.addresses import shown_url

log = logging.getLogger("imagepipe")

BaseTransport = httpx.BaseTransport
MockTransport = httpx.MockTransport
Request = httpx.Request
Response = httpx.Response


class NoConnection(Exception):
    """No connection came about, so nothing was sent.

    `kind`: `name` (not found), `refused`, `timeout`, `tls`, `proxy`, `network`.
    """

    def __init__(self, message: str, kind: str) -> None:
        super().__init__(message, kind)
        self.kind = kind

    def __str__(self) -> str:
        return str(self.args[0])


class BrokenOff(Exception):
    """The exchange broke off, or its answer cannot be read: what was sent may have been carried out."""

    def __init__(self, message: str, *, slow: bool = False) -> None:
        super().__init__(message)
        self.slow = slow  #: It ran out of time: the other side may still be at work.


class Nonsense(BrokenOff):
    """An answer came, and it is not one of this API: a web page, no JSON, too large, half a page."""


class TooMuch(Nonsense):
    """An answer has more bytes than it may have."""


class Secret:
    """A text that is sent and never shown."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        return self._text

    def hide(self, text: str) -> str:
        """Return `text` without the secret, where it holds it."""
        return text.replace(self._text, "***") if self._text else text

    def __repr__(self) -> str:
        return "Secret(***)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not pickled")


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, read to its end."""

    status: int
    headers: Mapping[str, str]  #: Names in any case.
    body: bytes = field(repr=False)

    @property
    def is_web_page(self) -> bool:
        """Tell whether this is a page for people: from a proxy, a portal, a wrong address."""
        start = self.body[:200].lstrip().lower()
        return "html" in self.headers.get("content-type", "").lower() or start.startswith((b"<!doctype", b"<html"))

    def json(self) -> Any:
        """Return what the body says; raise `Nonsense` where it is no JSON."""
        try:
            return json_module.loads(self.body)
        except (ValueError, RecursionError) as error:
            raise Nonsense(f"the answer is no JSON ({type(error).__name__})") from None


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


class Transport(BaseTransport):
    """Sends requests over connections whose exchanges have a deadline. TLS is verified, always."""

    def __init__(self, *, pace: Pace | None = None, connections: int = 4, proxy: str | None = None,
                 resolve: Resolve | None = None) -> None:
        self.pace = pace or Pace()
        common: dict[str, Any] = {
            "ssl_context": httpx.create_ssl_context(),  # SSL_CERT_FILE and SSL_CERT_DIR add a company's own authority
            "max_connections": connections,
            "keepalive_expiry": 15.0,  # well below what servers allow: a request on a closed connection looks lost
            "network_backend": _Backend(resolve),
        }
        if proxy is None:
            self._pool = httpcore.ConnectionPool(**common)
        else:
            parts = urlsplit(proxy)
            auth = (unquote(parts.username or "").encode(), unquote(parts.password or "").encode())
            self._pool = httpcore.HTTPProxy(proxy_url=f"http://{parts.netloc.rpartition('@')[2]}",
                                            proxy_auth=auth if parts.username else None, **common)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        deadline = Deadline(self.pace)
        times = {"connect": self.pace.connect, "read": deadline, "write": deadline, "pool": self.pace.pool}
        url = request.url
        with _as_httpx():
            response = self._pool.handle_request(httpcore.Request(
                method=request.method,
                url=httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
                headers=request.headers.raw, content=request.stream,
                extensions={**request.extensions, "timeout": times}))
        return httpx.Response(response.status, headers=response.headers, stream=_Body(response.stream))

    def close(self) -> None:
        self._pool.close()


class _Body(httpx.SyncByteStream):
    """The body of an answer as it comes."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __iter__(self) -> Iterator[bytes]:
        with _as_httpx():
            yield from self._stream

    def close(self) -> None:
        self._stream.close()


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
    request = httpx.Request(method, url, headers={"Accept-Encoding": "gzip", **headers}, json=json, data=data,
                            files=files, extensions=dict(extensions or {}))
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
    unpack = _unpacker(response.headers.get("content-encoding", ""), cap)
    received, parts = 0, []
    # the stream itself, not `iter_bytes`: that unpacks whatever is in a piece before it can be counted
    for piece in response.stream:  # type: ignore[union-attr]  # of a synchronous client, so it is one that iterates
        received += len(piece)
        if received > cap:
            raise TooMuch(f"the answer has more than {cap:,} bytes")
        parts.append(unpack(piece))
    parts.append(unpack(None))
    return b"".join(parts)


def _unpacker(encoding: str, cap: int) -> Callable[[bytes | None], bytes]:
    """Return a function that unpacks a body piece by piece, and is called with None at its end."""
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        return lambda piece: piece or b""
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise Nonsense(f"the answer is packed in an unknown way ({plain(encoding)[:20]})")
    unpacker = zlib.decompressobj(zlib.MAX_WBITS | 32)  # 32: finds out whether it is gzip or zlib
    size, touched = 0, False  # no body at all is well: a 204 may name an encoding

    def unpack(piece: bytes | None) -> bytes:
        nonlocal size, touched
        if piece is None:
            if touched and not unpacker.eof:
                raise Nonsense("the answer ends before its end")
            return b""
        touched = True
        try:
            data = unpacker.decompress(piece, cap - size + 1)
        except zlib.error:
            raise Nonsense("the answer cannot be unpacked") from None
        size += len(data)
        if size > cap:
            raise TooMuch(f"the answer has more than {cap:,} bytes when unpacked")
        return data

    return unpack


def proxy_for(url: str) -> str | None:
    """Return the proxy that the environment (or the system's settings) wants for an address, and say so.

    None for this machine, and for what NO_PROXY names. Raises `ConfigurationError` for a kind of
    proxy that cannot be used.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    if is_loopback(host):
        return None
    proxies = getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if not proxy or proxy_bypass(parts.netloc.rpartition("@")[2]):
        return None
    if "://" not in proxy:
        proxy = f"http://{proxy}"
    shown = plain(shown_url(proxy))
    if urlsplit(proxy).scheme != "http":
        raise ConfigurationError(f"the environment names the proxy {shown}, and only http:// proxies can be used; "
                                 f"set NO_PROXY={host} to do without, or name another in {parts.scheme.upper()}_PROXY")
    log.warning("connecting to %s through the proxy %s, which the environment names", host, shown)
    return proxy


def is_loopback(host: str) -> bool:
    """Tell whether a host is this machine, without asking anyone."""
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host.lower() == "localhost"
