"""`/sign-in`, `/sign-out`, and one-time links: what is there for somebody not signed in yet."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from hashlib import sha256
from ipaddress import ip_address, ip_network
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from agent.core.errors import Rejected
from agent.core.limits import Limit, Rule, waiting
from agent.web.console.cookies import Cookies, local_path
from agent.web.console.errors import Stopped
from agent.web.console.forms import read_form
from agent.web.console.page import Fields
from agent.web.console.rendering import html
from agent.web.console.services import Services
from storage.control.operators.invitations import Invitation
from storage.control.operators.passwords import MIN_CHARS

PER_ACCOUNT = Limit(10, 900)
"""Tries to sign in under one name, wherever they come from."""

PER_ADDRESS = Limit(30, 900)
"""Tries from one address, under whatever names."""

WRONG = (
    "The name, the password or the code is wrong. `agent operators link NAME` on the "
    "server makes a link to set a new password."
)
USED = (
    "This link is not good any more: it was used, or its time is over. "
    "`agent operators link NAME` on the server makes another."
)
ENDED = "You are signed out."


async def show_sign_in(
    request: Request,
    services: Services,
) -> Response:
    wanted = local_path(request.query_params.get("next", "/"))

    told = Cookies.of(request).get("told")

    return _form(request, services, wanted, told=told)


async def sign_in(
    request: Request,
    services: Services,
) -> Response:
    form = await _checked(request)
    wanted = local_path(form["next"])
    name, address = form["name"], address_of(request)
    await limit(services, address, name)
    token = await services.sign_in.by_password(
        name, form.raw("password"), form["code"], f"console from {address}"
    )
    if token is None:
        return _form(request, services, wanted, status=401, problem=WRONG, name=name)

    return signed_in(request, token, wanted)


async def show_link(
    request: Request,
    services: Services,
) -> Response:
    found = await _invited(request, services)

    return _link(request, found)


async def use_link(
    request: Request,
    services: Services,
) -> Response:
    form = await _checked(request)
    address = address_of(request)
    await limit(services, address)
    found = await _invited(request, services)
    token, origin = request.path_params["token"], f"console from {address}"
    name, invitations = found.operator, services.invitations

    if found.purpose == "sign-in":
        return signed_in(request, await invitations.sign_in(token, name, origin), "/")

    password = form.raw("password")
    if password != form.raw("again"):
        return _link(request, found, problem="The two passwords differ.")
    try:
        session = await invitations.set_password(token, name, password, origin)
    except Rejected as error:
        return _link(request, found, problem=error.sentence)

    return signed_in(request, session, "/")


async def sign_out(
    request: Request,
    services: Services,
) -> Response:
    """Whoever holds the cookie may end its session; the form's token is asked, too."""
    cookies = Cookies.of(request)
    session = await services.sessions.find(cookies.get("session"))
    form = await read_form(request)
    response = RedirectResponse("/sign-in", 303)
    if session is not None and same(form["csrf"], session.csrf):
        everywhere = form["everywhere"] == "yes"
        only = None if everywhere else session.id
        await services.sessions.end(session.operator, only=only)
        cookies.drop(response, "session")
        cookies.tell(response, ENDED)

    return response


def same(
    one: str,
    other: str,
) -> bool:
    """Whether two secrets are equal, in a time that does not tell how far."""
    return bool(one) and secrets.compare_digest(one.encode(), other.encode())


def address_of(request: Request) -> str:
    return request.client.host if request.client else "unknown"


def network_of(address: str) -> str:
    """What one subscriber has: an address, or the half of an IPv6 address that is theirs."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if parsed.version == 4:
        return address

    return str(ip_network(f"{parsed}/64", strict=False).network_address)


async def _invited(
    request: Request,
    services: Services,
) -> Invitation:
    found = await services.invitations.look(request.path_params["token"])
    if found is None:
        raise Stopped(410, USED)

    return found


async def limit(
    services: Services,
    address: str,
    name: str = "",
    *,
    what: str = "sign-in",
) -> None:
    """Raises Stopped when there were too many tries of `what`, which are counted apart.
    Names are kept as hashes.
    """
    network = network_of(address)
    rules = [Rule(f"{what}-address", network, PER_ADDRESS, network)]
    if name:
        hashed = sha256(name.encode("utf-8", "replace")).hexdigest()[:32]
        rules.append(Rule("sign-in", hashed, PER_ACCOUNT, hashed))

    limited = await services.judge(rules)
    if limited is not None:
        wait = waiting(limited.wait)
        raise Stopped(
            429,
            f"Too many tries to sign in. Please try again in {wait}.",
            {"retry-after": str(int(limited.wait) + 1)},
        )


async def _checked(request: Request) -> Fields:
    """The form. Raises Stopped when it was not this browser that asked for it."""
    form = await read_form(request)
    if not same(form["csrf"], Cookies.of(request).get("form")):
        raise Stopped(
            403,
            "This form is too old, or cookies are switched off. Go back, load the page "
            "again, and send it once more.",
        )

    return form


def _form(
    request: Request,
    services: Services,
    wanted: str,
    *,
    status: int = 200,
    problem: str = "",
    name: str = "",
    told: str = "",
) -> Response:
    oidc = services.settings.oidc_issuer is not None
    values: dict[str, Any] = {"wanted": wanted, "problem": problem, "oidc": oidc}
    values |= {"name": name, "told": told}
    response = _outside(request, "sign_in.html", status, **values)
    if told:
        Cookies.of(request).drop(response, "told")

    return response


def _link(
    request: Request,
    found: Invitation,
    problem: str = "",
) -> Response:
    status = 422 if problem else 200
    values = {"invitation": found, "problem": problem, "min_chars": MIN_CHARS}

    return _outside(request, "link.html", status, **values)


def _outside(
    request: Request,
    template: str,
    status: int,
    **values: Any,
) -> Response:
    """A page for somebody who is not signed in: its form carries what a cookie holds, too."""
    cookies = Cookies.of(request)
    csrf = cookies.get("form") or secrets.token_urlsafe(32)
    response = html(template, status, csrf=csrf, **values)
    cookies.put(response, "form", csrf)

    return response


def signed_in(
    request: Request,
    token: str,
    wanted: str,
) -> Response:
    """A new token each time: one that somebody planted before is worth nothing."""
    cookies = Cookies.of(request)
    response = RedirectResponse(wanted, 303)
    cookies.put(response, "session", token)
    cookies.drop(response, "form")

    return response


ROUTES: Sequence[tuple[str, str, Any]] = (
    ("GET", "/sign-in", show_sign_in),
    ("POST", "/sign-in", sign_in),
    ("GET", "/link/{token}", show_link),
    ("POST", "/link/{token}", use_link),
    ("POST", "/sign-out", sign_out),
)
"""Method, path and function of each."""
