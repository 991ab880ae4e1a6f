"""Where a request comes from: this machine, a network of one's own, or anywhere."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

from starlette.requests import Request

Address = IPv4Address | IPv6Address

API = "/api/v1"
"""Below it is what programs ask for."""


def peer_of(request: Request) -> Address | None:
    """Who asks; None: a socket of this machine. Raises ValueError for what is no address."""
    if request.client is None:
        return None

    address = ip_address(request.client.host)
    # A socket for both families shows an IPv4 address within an IPv6 one.
    mapped = getattr(address, "ipv4_mapped", None)

    return mapped or address


def is_inside(request: Request) -> bool:
    """Whether it comes from this machine or a private network, by the connection itself."""
    try:
        address = peer_of(request)
    except ValueError:
        return False

    return address is None or not address.is_global
