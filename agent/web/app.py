"""The web application: its parts, its one form of errors, and the headers of every response."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from agent.web import health, metrics, webhooks
from agent.web.addresses import API
from agent.web.failures import UNEXPECTED, note_failure
from agent.web.state import InstanceState

if TYPE_CHECKING:
    from agent.web.console.services import Find

FOR_MACHINES = ("/health", "/metrics", "/webhooks")
"""The first part of addresses that no person opens."""

HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}
"""Unless a response sets its own (https://owasp.org/www-project-secure-headers/)."""

_SENTENCES = {
    404: "There is nothing at this address.",
    405: "This address does not take that method.",
}


def web_app(
    state: InstanceState,
    *,
    trusted_proxies: Sequence[str] = (),
    metrics_token: str = "",
    find_services: Find | None = None,
) -> ASGIApp:
    """Health, metrics, webhooks, the API and the console of one instance. Errors are JSON:
    `{"error": "<one sentence>"}`, in the API problems, and for browsers pages.

    The API and the console are made for their first request: they are a tenth of the process,
    and many instances are never asked for them.

    `trusted_proxies`: addresses and networks whose `X-Forwarded-For` is believed.
    `find_services`: what the console and the API stand on; None: what the instance has opened.
    """
    machines = Starlette(
        routes=[
            *health.routes(state),
            metrics.route(state, token=metrics_token),
            webhooks.route(state),
        ],
        exception_handlers=_ERRORS,
    )
    pages = when_asked(partial(_pages, state, find_services))
    programs = when_asked(partial(_programs, state, find_services), _problem)
    whole = secured(apart(machines, pages, programs))
    if not trusted_proxies:
        return whole

    behind = ProxyHeadersMiddleware(
        cast(Any, whole),
        list(trusted_proxies),
    )

    return cast(ASGIApp, behind)


def _pages(state: InstanceState, find: Find | None) -> ASGIApp:
    from agent.web.console.router import routes
    from agent.web.console.services import services_of

    pages = routes(find or partial(services_of, state))

    return Starlette(routes=pages, exception_handlers=_ERRORS)


def _programs(state: InstanceState, find: Find | None) -> ASGIApp:
    from agent.web.api.router import api
    from agent.web.console.services import services_of

    return api(find or partial(services_of, state))


def _sentence() -> Response:
    """No page, even for browsers: what makes pages may be what failed."""
    return JSONResponse({"error": UNEXPECTED}, 500)


def _problem() -> Response:
    """The API's own form: what makes it may be what failed."""
    status = HTTPStatus.INTERNAL_SERVER_ERROR
    body = {
        "type": "about:blank",
        "title": status.phrase,
        "status": status,
        "detail": UNEXPECTED,
    }

    return JSONResponse(body, status, media_type="application/problem+json")


def when_asked(
    make: Callable[[], ASGIApp], unmade: Callable[[], Response] = _sentence
) -> ASGIApp:
    """The application that `make` makes, for its first request and in a thread: what is said
    meanwhile is answered. If it fails, the answer is `unmade`, and the next request tries again.
    """
    made: asyncio.Future[ASGIApp] | None = None

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal made
        if made is None or (made.done() and made.exception()):
            made = asyncio.ensure_future(asyncio.to_thread(make))
        try:
            app = await asyncio.shield(made)
        except Exception as error:
            note_failure(Request(scope), error)
            app = unmade()
        await app(scope, receive, send)

    return answer


def apart(machines: ASGIApp, pages: ASGIApp, programs: ASGIApp) -> ASGIApp:
    """The three applications by address. A mount would leave out addresses with a line break,
    which then went past the API's gate.
    """

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        if scope["type"] != "http" or _below(path, *FOR_MACHINES):
            await machines(scope, receive, send)
        elif _below(path, API):
            root = scope.get("root_path", "") + API
            await programs({**scope, "root_path": root}, receive, send)
        else:
            await pages(scope, receive, send)

    return answer


def _below(path: str, *parts: str) -> bool:
    return any(path == part or path.startswith(f"{part}/") for part in parts)


def secured(app: ASGIApp) -> ASGIApp:
    """The application with `HEADERS`, also on what goes wrong outside of its own middleware."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_secured(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await app(scope, receive, send_secured)

    return answer


async def _refused(request: Request, error: Exception) -> Response:
    refusal = cast(HTTPException, error)
    written = refusal.detail.endswith(
        "."
    )  # by us; Starlette's own are the status in words
    sentence = (
        refusal.detail
        if written
        else _SENTENCES.get(refusal.status_code, f"{refusal.detail}.")
    )

    return _answer(request, refusal.status_code, sentence, refusal.headers)


async def _failed(request: Request, error: Exception) -> Response:
    note_failure(request, error)

    return _answer(request, 500, UNEXPECTED)


def _answer(
    request: Request,
    status: int,
    sentence: str,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """A page for browsers, which ask for one; JSON for programs."""
    if "text/html" in request.headers.get("accept", ""):
        from agent.web.console.errors import Stopped
        from agent.web.console.rendering import stopped

        return stopped(Stopped(status, sentence, headers))

    return JSONResponse({"error": sentence}, status, headers)


_ERRORS: Mapping[Any, Any] = {HTTPException: _refused, Exception: _failed}
