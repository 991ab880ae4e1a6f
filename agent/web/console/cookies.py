"""Cookies of the console, and from where it may be used at all."""

from __future__ import annotations

from typing import Literal
from urllib.parse import quote, unquote

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from agent.web.addresses import peer_of

Name = Literal["session", "form", "told", "oidc"]
"""session: the token. form: holds the sign-in form. told: what the next page says. oidc: an
attempt to sign in elsewhere.
"""

TOLD_CHARS = 600
TOLD_SECONDS = 60

_LOOPBACK = ("127.0.0.1", "localhost", "[::1]", "::1")
_FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip")
"""What proxies add when they ask for somebody else."""

PLAIN = (
    "The console is not shown over plain http. Open it over https, or on the machine itself "
    "at 127.0.0.1. Behind a proxy that ends TLS, name the proxy in TRUSTED_PROXIES."
)


class Cookies(Struct, frozen=True):
    """Those of one request. A name with `__Host-` keeps other hosts of the domain out
    (https://www.rfc-editor.org/rfc/rfc6265bis section 4.1.3.2); browsers take it over https only.
    """

    _sent: dict[str, str]
    _is_secure: bool

    @classmethod
    def of(
        cls,
        request: Request,
    ) -> Cookies:
        return cls(request.cookies, is_secure(request))

    def get(
        self,
        name: Name,
    ) -> str:
        """Empty: there is none."""
        return unquote(self._sent.get(self._full(name), ""))

    def put(
        self, response: Response, name: Name, value: str, seconds: int | None = None
    ) -> None:
        """`seconds` None: until the browser ends."""
        response.set_cookie(
            self._full(name),
            quote(value),
            max_age=seconds,
            path="/",
            secure=self._is_secure,
            httponly=True,
            samesite="lax",
        )

    def drop(
        self,
        response: Response,
        name: Name,
    ) -> None:
        self.put(response, name, "", 0)

    def tell(
        self,
        response: Response,
        told: str,
    ) -> None:
        """The next page says this, once."""
        self.put(response, "told", told[:TOLD_CHARS], TOLD_SECONDS)

    def _full(
        self,
        name: Name,
    ) -> str:
        prefix = "__Host-" if self._is_secure else ""

        return f"{prefix}agent-{name}"


def is_secure(request: Request) -> bool:
    """Whether it came over https. The address is not read: a host may be no host."""
    return request.scope.get("scheme") == "https"


def is_private(request: Request) -> bool:
    """Whether nobody on the way can read along: https, or this very machine.

    The host is what the browser asked for, so that no name of a stranger leads here. But a proxy
    may write its own there: then somebody from elsewhere asks, or it says for whom it asks.
    """
    if is_secure(request):
        return True

    try:
        host = request.url.hostname
    except ValueError:  # a host that cannot be one
        return False

    return host in _LOOPBACK and _is_near(request)


def _is_near(request: Request) -> bool:
    address = peer_of(request)
    if address is None:
        return True
    if address.is_loopback:
        return not any(name in request.headers for name in _FORWARDED)

    return address.is_private  # a container's own proxy


def is_own(request: Request) -> bool:
    """Whether a form was sent from this site, as far as the browser says.

    The token of the form decides; this is a second lock. `Origin: null` says nothing: a
    proxy's own `Referrer-Policy` is enough for it. Nor does a host that a proxy rewrote.
    """
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site in ("same-origin", "none")

    origin = request.headers.get("origin", "null")

    return origin in ("null", f"{request.url.scheme}://{request.url.netloc}")


def local_path(wanted: str) -> str:
    """Where to go after signing in: a path of this site, else its first page."""
    plain = wanted.isprintable() and "\\" not in wanted
    is_path = wanted.startswith("/") and not wanted.startswith("//")

    return wanted if plain and is_path else "/"
