"""Which proxy a connection goes through: read in one place for every library.

The variables as curl reads them (https://curl.se/docs/manpage.html, "PROXY ENVIRONMENT"),
with addresses and ranges in NO_PROXY as Go and curl have them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from urllib.parse import urlsplit
from urllib.request import getproxies

from msgspec import Struct

from agent.core.errors import ConfigurationError
from agent.settings.tidy import tidy

VARIABLES = {"http": "HTTP_PROXY", "https": "HTTPS_PROXY", "all": "ALL_PROXY"}
_SCHEMES = {"http": "http", "ws": "http", "https": "https", "wss": "https"}
_HOST = re.compile(r"(?!.*\.\.)[^\s.<>{}$|\\^`\"'*,;][^\s<>{}$|\\^`\"'*,;]*")
"""No empty label, and no sign that only a blank of a form has."""

_LONGEST_LABEL = 63
_PORTS = {"http": 80, "https": 443}

Exempts = Callable[[str, int], bool]


class Proxies(Struct, frozen=True):
    """What the environment says, or the system where the environment is silent."""

    by_scheme: Mapping[str, str]  # may hold passwords
    exempt: tuple[Exempts, ...]
    unreadable: tuple[str, ...] = ()
    """Entries of NO_PROXY that are no host, address or range."""

    def __repr__(self) -> str:
        """Without addresses, which may hold passwords."""
        return f"Proxies({sorted(self.by_scheme)})"

    @classmethod
    def of_environment(cls) -> Proxies:
        """Raises ConfigurationError with the name of a variable that names no proxy."""
        found = getproxies()
        named = {
            scheme: _address(found[scheme], VARIABLES[scheme])
            for scheme in VARIABLES
            if found.get(scheme)
        }
        entries = list(filter(None, re.split(r"[,;|\s'\"]+", found.get("no", ""))))
        unreadable = filter(_is_unreadable, entries)

        return cls(named, tuple(map(_exempts, entries)), tuple(unreadable))

    def for_url(self, url: str) -> str | None:
        """The proxy that a request to this address goes through; None: it goes there directly."""
        if self.is_exempt(url):
            return None

        return self.by_scheme.get(_scheme(url)) or self.by_scheme.get("all")

    def is_exempt(self, url: str) -> bool:
        """Whether NO_PROXY names this address."""
        parts = urlsplit(url)
        host = (parts.hostname or "").rstrip(".")
        port = parts.port or _PORTS.get(_scheme(url), 0)

        return any(exempts(host, port) for exempts in self.exempt)


def _scheme(url: str) -> str:
    scheme = urlsplit(url).scheme

    return _SCHEMES.get(scheme, scheme)


def _address(written: str, variable: str) -> str:
    """With its scheme. Raises ConfigurationError."""
    written = tidy(written, is_secret=False)
    address = written if "://" in written else f"http://{written}"
    if address.lower().startswith("socks"):
        raise ConfigurationError(
            f"{variable} names a SOCKS proxy, which is not possible: name one with http://."
        )
    if not is_address(address):
        raise ConfigurationError(
            f"{variable} is not a proxy's address. It looks like http://proxy.example:3128."
        )

    return address


def is_address(text: str) -> bool:
    """Whether this can be the address of an HTTP server: a scheme, a host, perhaps a port."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return False

    host = parts.hostname or ""
    return (
        parts.scheme in ("http", "https")
        and bool(_HOST.fullmatch(host))
        and max(map(len, host.split("."))) <= _LONGEST_LABEL
        and port != 0
        and "://" not in parts.path
        and not parts.path.startswith("//" if parts.netloc.endswith(":") else " ")
        and not re.search(r"\s", text)
    )


def _exempts(entry: str) -> Exempts:
    """One entry of NO_PROXY: `*`, a host with all below it, an address, a range.

    A port may follow.
    """
    if entry == "*":
        return lambda host, port: True
    if "/" in entry and (network := _network(entry)):
        return network

    name, only = _split_port(entry.rpartition("://")[2].rstrip("/").lower())
    if (address := _ip(name)) is not None:
        return lambda host, port: _ip(host) == address and only in (None, port)

    name = name.removeprefix("*").strip(".")
    if "*" in name:  # as Java and Windows write it: 10.*, db-*.lan
        return lambda host, port: fnmatchcase(host, name) and only in (None, port)

    return lambda host, port: (
        (host == name or host.endswith(f".{name}")) and only in (None, port)
    )


def _is_unreadable(entry: str) -> bool:
    name, _ = _split_port(entry.rpartition("://")[2].rstrip("/"))

    return not (
        ("/" in entry and _network(entry))
        or _ip(name)
        or re.fullmatch(r"[*\w.-]*[*\w][\w.-]*", name)
    )


def _network(entry: str) -> Exempts | None:
    try:
        network = ip_network(
            entry.translate({ord("["): None, ord("]"): None}), strict=False
        )
    except ValueError:
        return None
    return lambda host, port: (
        (address := _ip(host)) is not None and address in network
    )


def _split_port(entry: str) -> tuple[str, int | None]:
    if match := re.fullmatch(r"\[([^\]]*)\](?::(\d{1,5}))?", entry):
        return match[1], int(match[2]) if match[2] else None
    if match := re.fullmatch(r"([^:]*):(\d{1,5})", entry):
        return match[1], int(match[2])
    return entry, None


def _ip(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host.partition("%")[0])
    except ValueError:
        return None
