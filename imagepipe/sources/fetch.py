"""Download a picture from an address that a stranger may have written.

https only; every address that the host's name leads to has to be public, and the connection goes
to the address that was looked at. Each redirect is looked at in the same way. No proxy is used: it
would look the name up by itself, and could be led to where we refuse to go.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import urljoin

from imagepipe.errors import FetchFailed, SourceError, TooLarge
from imagepipe.plain import plain
from imagepipe.sources.addresses import Address, check_literal_host, is_public, parse_address, private_address

if TYPE_CHECKING:
    from imagepipe.answer import Answer
    from imagepipe.http import BaseTransport

REDIRECTS = 5
ATTEMPTS = 3
PAUSES = (1.0, 4.0)  #: Seconds between attempts.
#: Statuses after which the same address may answer later.
TEMPORARY = frozenset({408, 425, 429, 500, 502, 503, 504})

#: Finds the IP addresses of a host and port.
Resolver = Callable[[str, int], Sequence[str]]


@dataclass(frozen=True, slots=True)
class Fetched:
    """What an address gave."""

    data: bytes
    etag: str | None = None  #: Its ETag, else its Last-Modified.
    media_type: str = ""  #: As the server says, which proves nothing.


@dataclass(frozen=True)
class Fetcher:
    """Downloads pictures over connections that are kept.

    `allowed` names IP addresses that may be fetched from although they are not public, and over
    plain http; it is there for tests, and no setting leads to it.
    """

    transport: BaseTransport
    allowed: frozenset[str] = frozenset()
    sleep: Callable[[float], object] = time.sleep

    def close(self) -> None:
        """Close the connections."""
        self.transport.close()

    def fetch(self, url: str, max_bytes: int) -> Fetched:
        """Return what is at an address.

        Raises `SourceError` (`bad_address`, `private_address`, `not_found`, `refused`,
        `not_an_image`), `TooLarge`, or `FetchFailed` where trying again later may help.
        """
        problem = FetchFailed("")
        for attempt in range(ATTEMPTS):
            if attempt:
                self.sleep(PAUSES[attempt - 1])
            try:
                return self._fetch(url, max_bytes)
            except FetchFailed as failed:
                problem = failed
        raise problem

    def etag(self, url: str) -> str | None:
        """Return the ETag, else the Last-Modified, of what is at an address, without fetching it.

        None where it has none, or does not answer as it should: then only fetching can tell.
        """
        try:
            _, answer = self._follow("HEAD", url, 0)
        except (SourceError, TooLarge):
            return None
        return _etag_of(answer) if answer.status == 200 else None

    def _fetch(self, url: str, max_bytes: int) -> Fetched:
        return self._picture(*self._follow("GET", url, max_bytes))

    def _follow(self, method: str, url: str, max_bytes: int) -> tuple[Address, Answer]:
        """Return what the address gives to which redirects lead, each of them checked."""
        address = self._checked(url)
        for _ in range(REDIRECTS + 1):
            answer = self._ask(method, address, max_bytes)
            if answer.status not in (301, 302, 303, 307, 308):
                return address, answer
            target = answer.headers.get("location", "")
            url = urljoin(f"{address.scheme}://{address.at}{address.target}", target)
            if not target:
                raise SourceError(f"{address.shown} leads on, and does not say where", "refused")
            address = self._checked(url)
        raise SourceError(f"{address.shown} is where more than {REDIRECTS} redirects lead; give the address at their "
                          "end", "refused")

    def _checked(self, url: str) -> Address:
        address = parse_address(url)
        if address.host in self.allowed:
            return address
        if address.scheme != "https":
            raise SourceError(f"{address.shown} is not https; download it, and give the file", "bad_address")
        check_literal_host(address)
        return address

    def _ask(self, method: str, address: Address, max_bytes: int) -> Answer:
        from imagepipe import __version__
        from imagepipe.answer import BrokenOff, NoConnection, TooMuch
        from imagepipe.http import exchange

        headers = {"Accept": "image/*,*/*;q=0.5", "Accept-Encoding": "identity",
                   "User-Agent": f"imagepipe/{__version__}"}
        url = f"{address.scheme}://{address.at}"
        try:
            return exchange(self.transport.handle_request, method, url, headers=headers, cap=max_bytes,
                            extensions={"target": address.target.encode("ascii")})
        except NoConnection as problem:
            said = {"name": "its host's name is not known", "tls": f"its certificate is not trusted ({problem})"}
            raise FetchFailed(f"{address.shown} cannot be reached: {said.get(problem.kind, str(problem))}") from None
        except TooMuch:
            raise TooLarge(f"{address.shown} has more than {max_bytes:,} bytes, which is the limit; raise it with "
                           "--max-source-bytes") from None
        except BrokenOff as problem:
            raise FetchFailed(f"{address.shown} could not be fetched: {problem}") from None

    def _picture(self, address: Address, answer: Answer) -> Fetched:
        """Return what was answered, if it can be a picture."""
        status = answer.status
        if status in TEMPORARY:
            raise FetchFailed(f"{address.shown} does not answer now ({_named(status)})")
        if status in (404, 410):
            raise SourceError(f"{address.shown} is not there ({_named(status)})", "not_found")
        if status in (401, 403):
            raise SourceError(f"{address.shown} is not for everyone ({_named(status)}); if its link was signed, get a "
                              "fresh one", "refused")
        if status != 200:
            raise SourceError(f"{address.shown} gives no picture ({_named(status)})", "refused")
        media_type = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type in ("application/xhtml+xml", "application/json") or answer.is_web_page:
            raise SourceError(f"{address.shown} is {'data' if media_type.endswith('json') else 'a web page'}, not a "
                              "picture; give the address of the picture itself", "not_an_image")
        if not answer.body:
            raise FetchFailed(f"{address.shown} is empty")
        return Fetched(answer.body, _etag_of(answer), plain(media_type)[:100])


def _etag_of(answer: Answer) -> str | None:
    etag = answer.headers.get("etag") or answer.headers.get("last-modified")
    return plain(etag)[:200] if etag else None


def _named(status: int) -> str:
    with contextlib.suppress(ValueError):
        return f"{status} {HTTPStatus(status).phrase}"
    return str(status)


def checking(resolver: Resolver, allowed: frozenset[str] = frozenset()) -> \
        Callable[[str, int], list[tuple[int, tuple[str, int]]]]:
    """Return a `deadlines.Resolve` that gives public addresses only.

    All that a name leads to have to be, lest it be answered differently the next time. Raises
    `SourceError` (`private_address`).
    """
    import ipaddress
    import socket

    def resolve(host: str, port: int) -> list[tuple[int, tuple[str, int]]]:
        found = resolver(host, port)
        if not found:
            raise socket.gaierror(socket.EAI_NONAME, "no address")
        if any(address not in allowed and not is_public(address) for address in found):
            raise private_address(plain(f"https://{host}"))
        return [(socket.AF_INET6 if ipaddress.ip_address(address).version == 6 else socket.AF_INET, (address, port))
                for address in dict.fromkeys(found)]

    return resolve


def look_up(host: str, port: int) -> list[str]:
    """Return the IP addresses of a host, as the system knows them."""
    from imagepipe.deadlines import addresses

    return [address[0] for _, address in addresses(host, port)]


def fetcher(*, resolver: Resolver = look_up, allowed: frozenset[str] = frozenset(), connections: int = 4) -> Fetcher:
    """Return a fetcher with connections of its own."""
    from imagepipe.http import Transport

    return Fetcher(Transport(connections=connections, resolve=checking(resolver, allowed)), allowed)


_shared: tuple[int, Fetcher] | None = None
_lock = threading.Lock()


def fetch(url: str, max_bytes: int = 256_000_000) -> Fetched:
    """Return what is at a public https address, over connections that this process keeps; see `Fetcher.fetch`."""
    return shared_fetcher().fetch(url, max_bytes)


def shared_fetcher() -> Fetcher:
    """Return the fetcher of this process."""
    global _shared
    with _lock:
        if _shared is None or _shared[0] != os.getpid():  # connections do not survive a fork
            _shared = os.getpid(), fetcher()
            atexit.register(_shared[1].close)
        return _shared[1]


def etags(urls: Sequence[str], at_once: int = 8) -> dict[str, str]:
    """Return the ETag or Last-Modified of each address that has one, asked for side by side."""
    from concurrent.futures import ThreadPoolExecutor

    ask = shared_fetcher().etag
    with ThreadPoolExecutor(at_once, thread_name_prefix="imagepipe-etags") as threads:
        return {url: etag for url, etag in zip(urls, threads.map(ask, urls), strict=True) if etag is not None}
