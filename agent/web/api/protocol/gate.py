"""The one way in: before anything else is read, a request shows a token that is good now."""

from __future__ import annotations

import math
from collections.abc import Sequence

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agent.core.errors import AgentError
from agent.core.limits import Limit, Rule, waiting
from agent.web.api.protocol.caller import Caller
from agent.web.api.protocol.problems import AWAY_SECONDS, Problem, problem_of
from agent.web.console.cookies import is_private
from agent.web.console.services import Find, Services
from agent.web.console.sign_in import address_of, network_of
from agent.web.failures import UNEXPECTED, note_failure
from storage.control.operators.api_tokens import ApiTokens

PER_TOKEN = Limit(600, 60)
"""Requests with one token, on all instances together."""

PER_ADDRESS = Limit(60, 60)
"""Requests from one address without a token that is good."""

MAX_BODY = 1_000_000
"""Bytes: the longest system prompt and the longest list of a channel fit into it."""

STARTING = "The agent is starting, or it stops. Ask again in a moment."
PLAIN = (
    "The API is not open over plain http: others could read the token. Use https, or "
    "127.0.0.1 on the machine itself. Behind a proxy that ends TLS, name the proxy in "
    "TRUSTED_PROXIES."
)
MISSING = "Send a token: `Authorization: Bearer agent_…`."
TOO_LARGE = f"A request has at most {MAX_BODY:,} bytes."
NUL = "The address has a NUL character, which nothing here has in its name."
NO_JSON = "A body is sent as `Content-Type: application/json`."


class Gate:
    """The API with its lock. Everything behind it finds a Caller in the request's state."""

    def __init__(
        self,
        app: ASGIApp,
        find: Find,
    ) -> None:
        self._app = app
        self._find = find

    async def __call__(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        request = Request(scope, receive)
        try:
            caller = await self._caller(request)
            body = await _body(request)
        except Problem as problem:
            await problem.response()(scope, receive, send)
            return
        except AgentError as error:
            await problem_of(error).response()(scope, receive, send)
            return
        except Exception as error:
            note_failure(request, error)
            await Problem(500, UNEXPECTED).response()(scope, receive, send)
            return

        inside = {**scope, "state": {**scope.get("state", {}), "caller": caller}}
        await self._app(inside, _again(body, receive), send)

    async def _caller(
        self,
        request: Request,
    ) -> Caller:
        services = self._find()
        if services is None:
            raise Problem(503, STARTING, {"retry-after": AWAY_SECONDS})
        if not is_private(request):
            raise Problem(403, PLAIN)

        address = address_of(request)
        token = _token(request)
        tokens = ApiTokens(services.stores.database)
        holder = await tokens.find(token) if token else MISSING
        if isinstance(holder, str):
            network = network_of(address)
            await _limit(
                services, [Rule("api-address", network, PER_ADDRESS, network)]
            )
            raise Problem(401, holder, {"www-authenticate": "Bearer"})

        subject = str(holder.id)
        await _limit(services, [Rule("api-token", subject, PER_TOKEN, subject)])
        _check_address(request)

        return Caller(holder, services, address)


def _token(request: Request) -> str:
    """Empty: there is none."""
    kind, _, token = request.headers.get("authorization", "").partition(" ")

    return token.strip() if kind.lower() == "bearer" else ""


def _check_address(request: Request) -> None:
    """Raises Problem for what Postgres could not look up."""
    query = request.query_params
    texts = [request.url.path, request.scope["path"], *query.keys(), *query.values()]
    if any("\0" in text for text in texts):
        raise Problem(400, NUL)


async def _limit(
    services: Services,
    rules: Sequence[Rule],
) -> None:
    """Raises Problem when there were too many requests."""
    limited = await services.judge(rules)
    if limited is not None:
        wait = waiting(limited.wait)
        seconds = str(math.ceil(limited.wait) or 1)
        raise Problem(
            429, f"Too many requests. Ask again in {wait}.", {"retry-after": seconds}
        )


async def _body(request: Request) -> bytes:
    """All of it, since it is small. Raises Problem before more than that is read."""
    declared = request.headers.get("content-length", "0")
    if declared.isdecimal() and int(declared) > MAX_BODY:
        raise Problem(413, TOO_LARGE)

    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > MAX_BODY:
            raise Problem(413, TOO_LARGE)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if body and kind != "application/json":
        raise Problem(415, NO_JSON)

    return bytes(body)


def _again(
    body: bytes,
    receive: Receive,
) -> Receive:
    """What was read, once more for the application."""
    messages: list[Message] = [
        {"type": "http.request", "body": body, "more_body": False}
    ]

    async def received() -> Message:
        return messages.pop() if messages else await receive()

    return received
