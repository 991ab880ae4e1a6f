"""`/sign-in/oidc`: to the provider, and back from it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from agent.core.errors import AgentError
from agent.web.console.cookies import Cookies
from agent.web.console.errors import Stopped
from agent.web.console.oidc.claims import UNKNOWN, name_of, role_of
from agent.web.console.oidc.journey import SECONDS, Journey, cookie_of, journeys_of
from agent.web.console.oidc.provider import DOUBTFUL, Provider
from agent.web.console.rendering import stopped
from agent.web.console.services import Services
from agent.web.console.sign_in import address_of, limit, same, signed_in
from storage.control.operators.outside import OutsideSignIn

BACK = "/sign-in/oidc/back"

OFF = "Signing in this way is not set up here. Sign in with your password."
UNNAMED = (
    "OIDC_CLIENT_ID is not set: the sign-in service would not know who asks. Set it, and "
    "restart the agent."
)
LOST = (
    "This sign-in was begun in another browser, or too long ago. Sign in again from the "
    "page of this agent."
)
DENIED = "The sign-in service let nobody in. Sign in again, or with your password."


async def leave(
    request: Request,
    services: Services,
) -> Response:
    """To the provider. Another site cannot begin this: it would sign people in unasked."""
    provider = _provider(services)
    if request.headers.get("sec-fetch-site") in ("cross-site", "same-site"):
        return RedirectResponse("/sign-in", 303)

    await limit(services, address_of(request), what="oidc")
    journey = Journey.begun(request.query_params.get("next", "/"))
    response = RedirectResponse(await provider.address(journey, _back(request)), 303)
    _keep(request, response, [*_under_way(request), journey])

    return response


async def come_back(
    request: Request,
    services: Services,
) -> Response:
    """From the provider. However that ends, the journey is over: its secrets are good once.
    Those of other tabs go on.
    """
    state, under_way = request.query_params.get("state", ""), _under_way(request)
    journey = next((one for one in under_way if same(state, one.state)), None)
    try:
        response = await _arrived(request, services, journey)
    except (Stopped, AgentError) as error:
        response = stopped(error)
    if journey is not None:
        _keep(request, response, [one for one in under_way if one != journey])

    return response


def _under_way(request: Request) -> Sequence[Journey]:
    return journeys_of(Cookies.of(request).get("oidc"))


def _keep(
    request: Request,
    response: Response,
    journeys: Sequence[Journey],
) -> None:
    seconds = SECONDS if journeys else 0
    Cookies.of(request).put(response, "oidc", cookie_of(journeys), seconds)


async def _arrived(
    request: Request,
    services: Services,
    journey: Journey | None,
) -> Response:
    """Raises Stopped when anything is not as it was begun. Only what this browser began is
    counted as a try: any page may send it here.
    """
    provider = _provider(services)
    query = request.query_params
    if journey is None:
        raise Stopped(403, LOST)

    await limit(services, address_of(request))
    if "iss" in query and query["iss"].rstrip("/") != _issuer(services):
        raise Stopped(403, DOUBTFUL.format("another issuer"))
    if not query.get("code"):
        raise Stopped(403, DENIED)

    token = await _session(request, services, provider, journey)

    return signed_in(request, token, journey.wanted)


async def _session(
    request: Request,
    services: Services,
    provider: Provider,
    journey: Journey,
) -> str:
    code = request.query_params["code"]
    claims = await provider.claims(journey, code, _back(request))
    name = name_of(claims, services.settings)
    role = role_of(claims, services.settings)

    signing_in = OutsideSignIn(services.stores.database, services.stores.pipe)
    token = await signing_in.begin(
        name,
        role,
        f"console from {address_of(request)}",
        any_case=services.settings.oidc_name_claim == "email",
    )
    if token is None:
        raise Stopped(403, UNKNOWN.format(name))

    return token


def _provider(services: Services) -> Provider:
    if services.settings.oidc_issuer is None:
        raise Stopped(404, OFF)
    if services.settings.oidc_client_id is None:
        raise Stopped(503, UNNAMED)

    return Provider(services.settings)


def _issuer(services: Services) -> str:
    return (services.settings.oidc_issuer or "").rstrip("/")


def _back(request: Request) -> str:
    return f"{request.url.scheme}://{request.url.netloc}{BACK}"


ROUTES: Sequence[tuple[str, str, Any]] = (
    ("GET", "/sign-in/oidc", leave),
    ("GET", BACK, come_back),
)
"""As in `agent.web.console.sign_in`."""
