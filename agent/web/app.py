"""The web application: its parts, its one form of errors, and the headers of every response."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, cast

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from agent.web import health, metrics, webhooks
from agent.web.api.router import PATH as API
from agent.web.api.router import UNTRACED, api
from agent.web.console.errors import Stopped
from agent.web.console.rendering import stopped
from agent.web.console.router import router as console
from agent.web.console.services import Find, services_of
from agent.web.failures import UNEXPECTED, note_failure
from agent.web.state import InstanceState

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

    `trusted_proxies`: addresses and networks whose `X-Forwarded-For` is believed.
    `find_services`: what the console and the API stand on; None: what the instance has opened.
    """
    app = FastAPI(
        title="Simple AI Agent",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        telemetry=UNTRACED,
    )
    app.include_router(health.router(state))
    app.include_router(metrics.router(state, token=metrics_token))
    app.include_router(webhooks.router(state))
    find = find_services or partial(services_of, state)
    app.include_router(console(find))
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(Exception, _failed)
    whole = secured(beside(app, api(find)))
    if not trusted_proxies:
        return whole

    behind = ProxyHeadersMiddleware(
        cast(Any, whole),
        list(trusted_proxies),
    )

    return cast(ASGIApp, behind)


def beside(app: ASGIApp, programs: ASGIApp) -> ASGIApp:
    """Both applications: whatever is below `API` goes to the second. A mount would leave out
    addresses with a line break, which then went past the gate.
    """

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        if scope["type"] == "http" and (path == API or path.startswith(f"{API}/")):
            root = scope.get("root_path", "") + API
            await programs({**scope, "root_path": root}, receive, send)
        else:
            await app(scope, receive, send)

    return answer


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
        return stopped(Stopped(status, sentence, headers))

    return JSONResponse({"error": sentence}, status, headers)
