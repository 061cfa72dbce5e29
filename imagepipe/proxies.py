"""Which proxy a connection goes through: decided on purpose, and said."""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import re
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from imagepipe.errors import ConfigurationError
from imagepipe.plain import plain
from imagepipe.sources.addresses import shown_url

log = logging.getLogger("imagepipe")


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
    if not _is_clear(proxy):  # nothing of it can be shown: what looks like a host may be part of the password
        raise ConfigurationError(f"the environment names a proxy in {parts.scheme.upper()}_PROXY or ALL_PROXY whose "
                                 "address cannot be understood; it is like http://user:password@proxy.example:3128, "
                                 "with / ? # and @ in user or password written as %2F %3F %23 and %40")
    shown = plain(shown_url(proxy))
    if urlsplit(proxy).scheme != "http":
        raise ConfigurationError(f"the environment names the proxy {shown}, and only http:// proxies can be used; "
                                 f"set NO_PROXY={host} to do without, or name another in {parts.scheme.upper()}_PROXY")
    log.warning("connecting to %s through the proxy %s, which the environment names", host, shown)
    return proxy


def _is_clear(proxy: str) -> bool:
    """Tell whether it is certain which part of a proxy's address is its host, and which its password."""
    try:
        parts = urlsplit(proxy)
        _, host = parts.port, parts.hostname
    except ValueError:
        return False
    return bool(host) and parts.netloc.count("@") <= 1 and not re.search(r"[@?#]", proxy.partition(parts.netloc)[2])


def is_loopback(host: str) -> bool:
    """Tell whether a host is this machine, without asking anyone."""
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host.lower() == "localhost"
