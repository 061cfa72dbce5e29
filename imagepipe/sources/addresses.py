"""Addresses of pictures: which are allowed, how they are shown, and by which key they are known."""

from __future__ import annotations

import hashlib
import ipaddress
import posixpath
import re
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from imagepipe.errors import SourceError
from imagepipe.plain import plain

LONGEST = 255  #: Characters of an `image_url` that BigCommerce takes.

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_NAME = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_NUMBER = re.compile(r"[0-9]+|0[xX][0-9a-fA-F]*")
#: Names that never lead out of a house (RFC 6761, RFC 6762, RFC 8375, and what routers and clouds use).
_AT_HOME = ("localhost", "local", "internal", "intranet", "lan", "home", "corp", "home.arpa", "localdomain", "onion")
#: Query parameters that sign a link: they differ each time the same picture is asked for.
_SIGNATURES = re.compile(
    r"x-(amz|goog)-.*|signature|expires|key-pair-id|policy|awsaccesskeyid|googleaccessid|"
    r"sig|se|sp|sv|sr|st|spr|skoid|sktid|skt|ske|sks|skv|token|access_token", re.IGNORECASE)
#: Not for the public, whatever this version of Python says of them (IANA special-purpose registries).
_SPECIAL = tuple(ipaddress.ip_network(network) for network in (
    "0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.88.99.0/24", "198.18.0.0/15", "240.0.0.0/4",
    "64:ff9b:1::/48", "100::/64", "2001:2::/48", "2001:db8::/32", "3fff::/20", "5f00::/16", "fc00::/7", "fec0::/10"))
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052
_COMPATIBLE = ipaddress.IPv6Network("::/96")  # RFC 4291 2.5.5.1: deprecated, and still routed by some


@dataclass(frozen=True, slots=True)
class Address:
    """An address that was looked at part by part. Nothing in it is secret but `target`."""

    scheme: str  #: `https` or `http`.
    host: str  #: Lower case, ASCII (a name in IDNA form), or an IP address without brackets.
    port: int
    target: str = field(repr=False)  #: Path and query, percent-encoded: what is asked for on the wire.
    shown: str  #: Without query, fragment and userinfo.

    @property
    def at(self) -> str:
        """Host and port, as the `Host` header has them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == {"https": 443, "http": 80}[self.scheme] else f"{host}:{self.port}"


def scheme_of(text: str) -> str | None:
    r"""Return the scheme of an address in lower case; None where `text` is no address, but perhaps a path.

    >>> scheme_of("HTTPS://a.example/1.jpg"), scheme_of("photos/1.jpg"), scheme_of("C:\\1.jpg")
    ('https', None, None)
    """
    match = _SCHEME.match(text)
    return match[1].lower() if match else None


def shown_url(url: str) -> str:
    """Return an address without what may be secret in it: user and password, query, fragment.

    What is no address is returned as it is.

    >>> shown_url("https://me:pass@cdn.example/a.jpg?sig=SECRET#x")
    'https://cdn.example/a.jpg'
    """
    match = _SCHEME.match(url)
    if match is None:
        return url
    rest = re.split(r"[?#]", url[match.end():], maxsplit=1)[0]
    authority, slash, path = re.sub(r"\\", "/", rest).partition("/")
    return f"{match[0]}{authority.rpartition('@')[2]}{slash}{path}"


def has_secrets(url: str) -> bool:
    """Tell whether `shown_url` leaves something of the address out."""
    return shown_url(url) != url


def url_key(url: str) -> str:
    """Return the key by which a picture at an address is known: the address, or a hash where it may hold secrets.

    What signs a link (`X-Amz-Signature`, `Expires`, …) does not count, so that the same picture
    under a fresh signature is the same place.

    >>> url_key("https://cdn.example/a.jpg")
    'https://cdn.example/a.jpg'
    >>> url_key("https://cdn.example/a.jpg?v=2&Signature=x") == url_key("https://cdn.example/a.jpg?Signature=y&v=2")
    True
    """
    if not has_secrets(url):
        return url
    parts = urlsplit(url)
    query = [(name, value) for name, value in parse_qsl(parts.query, keep_blank_values=True)
             if not _SIGNATURES.fullmatch(name)]
    digest = hashlib.sha256(f"{shown_url(url)}?{urlencode(query, errors='surrogatepass')}"
                            .encode("utf-8", "surrogatepass")).hexdigest()
    stem, extension = posixpath.splitext(posixpath.basename(parts.path))
    return f"{stem or 'image'}-{digest[:32]}{extension}"


def parse_address(url: str) -> Address:
    """Return the parts of an http or https address, or raise `SourceError` saying what is wrong with it.

    Refuses what parsers disagree about (control characters, spaces, backslashes, numbers that are
    no full IPv4 address: `127.1`, `0x7f.1`, `2130706433`), and users and passwords. Says nothing
    about whether the host is public: see `is_public` and `check_literal_host`.
    """
    shown = plain(shown_url(url))
    if re.search(r"[\x00-\x20\x7f-\xa0\u2028\u2029\ud800-\udfff\\]", url):
        raise SourceError(f"the address {shown} has a space, a line end or another character that no address has; "
                          "correct it", "bad_address")
    scheme = scheme_of(url)
    if scheme not in ("https", "http"):
        raise SourceError(f"{shown} cannot be read: only https:// addresses can; download it, and give the file",
                          "bad_address")
    try:
        parts = urlsplit(url)
        port, authority = parts.port, parts.netloc
    except ValueError as error:
        raise SourceError(f"the address {shown} cannot be understood ({error})", "bad_address") from None
    if "@" in authority:
        raise SourceError(f"the address {shown} holds a user name or password, which would be passed on; "
                          "give an address without one", "bad_address")
    if port == 0 or not authority or authority.endswith(":"):
        raise SourceError(f"the address {shown} has no host, or no valid port", "bad_address")
    host = _host(parts.hostname or "", shown)
    target = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._")
    if parts.query:
        target += "?" + quote(parts.query, safe="/%:@!$&'()*+,;=~-._?[]{}|^`")
    return Address(scheme, host, port or {"https": 443, "http": 80}[scheme], target, shown)


def _host(host: str, shown: str) -> str:
    """Return a host name in ASCII, or an IP address; raise where it is an odd one."""
    odd = SourceError(f"the host of the address {shown} is written in an unusual way; "
                      "give its name, or its address as four plain numbers", "bad_address")
    if ":" in host:
        try:
            return str(ipaddress.IPv6Address(host))
        except ValueError:
            raise odd from None
    try:
        # IDNA folds full-width digits and dots into plain ones, so what follows sees them as they will be looked up
        name = host if host.isascii() else host.encode("idna").decode("ascii")
    except UnicodeError:
        raise odd from None
    name = name.lower().removesuffix(".")
    labels = name.split(".")
    if _NUMBER.fullmatch(labels[-1]):  # "ends in a number": an IPv4 address to every resolver (WHATWG URL, 3.5)
        try:
            return str(ipaddress.IPv4Address(name))
        except ValueError:
            raise odd from None
    if len(name) > 253 or not all(_NAME.fullmatch(label) for label in labels):
        raise odd
    return name


def is_public(address: str) -> bool:
    """Tell whether an IP address is one of the public Internet, also inside.

    IPv4 addresses that are wrapped in IPv6 (mapped, compatible, NAT64, 6to4, Teredo) are unwrapped.

    >>> is_public("93.184.215.14"), is_public("::ffff:10.0.0.1"), is_public("64:ff9b::7f00:1")
    (True, False, False)
    """
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.scope_id:
            return False
        inner = [ip.ipv4_mapped, ip.sixtofour, *(ip.teredo or ())]
        if ip in _NAT64 or ip in _COMPATIBLE:
            inner.append(ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF))
        wrapped = [v4 for v4 in inner if v4 is not None]
        if wrapped:
            return all(is_public(str(v4)) for v4 in wrapped)
    return ip.is_global and not ip.is_multicast and not ip.is_reserved and not ip.is_unspecified and not any(
        ip in network for network in _SPECIAL if network.version == ip.version)


def check_literal_host(address: Address) -> None:
    """Raise `SourceError` (`private_address`) where the host can be seen to be private without asking anyone."""
    host = address.host
    numeric = ":" in host or host.replace(".", "").isdigit()
    private = (not is_public(host)) if numeric else (
        "." not in host or any(host == name or host.endswith(f".{name}") for name in _AT_HOME))
    if private:
        raise private_address(address.shown)


def private_address(shown: str) -> SourceError:
    """Return the error for an address that leads to this machine or its network."""
    return SourceError(f"{shown} is an address of this machine or of a private network, which is never fetched; "
                       "give the picture as a file", "private_address")


def check_image_url(url: str) -> None:
    """Raise `SourceError` where an address cannot be handed to the store; sends nothing.

    The store takes http and https and at most 255 characters; private hosts are refused as far as
    they can be seen without asking, since it is the store that fetches.
    """
    address = parse_address(url)
    if len(url) > LONGEST:
        raise SourceError(f"the address {address.shown} has {len(url)} characters, and the store takes {LONGEST}; "
                          "send the picture itself (without --by-url), or use a shorter address", "bad_address")
    check_literal_host(address)
