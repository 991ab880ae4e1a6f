"""`/webhooks/<channel>`: deliveries of the platforms, handed to their channel as they came."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import structlog
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from agent.core.channel import Webhook, WebhookReply
from agent.ports.tracing import CAME_WITH, TRACE_HEADERS
from agent.web.rate_limit import limit_unsigned
from agent.web.state import InstanceState

MOST_BYTES = 1_000_000
"""The largest body read. Telegram's updates and Slack's events stay far below."""

SECONDS = 2.4
"""Body and answer together. Slack and Discord stop listening after 3 seconds
(https://docs.slack.dev/apis/events-api, https://docs.discord.com/developers/interactions):
what is not durable by then is delivered again.
"""

AT_ONCE = 500
"""Deliveries that are being stored, also those whose request has ended. The surplus is put off at
once, so that a store that is away holds neither all connections nor all memory.
"""

Deliver = Callable[[Mapping[str, str], bytes], Awaitable[WebhookReply]]
"""`agent.ports.Webhook.webhook` of a channel."""

log = structlog.get_logger()

_TOO_LARGE = HTTPException(
    413, f"A delivery has at most {MOST_BYTES} bytes.", {"connection": "close"}
)
_SENTENCES = {
    400: "This is not what the platform sends.",
    401: "The signature is not the platform's.",
    404: "Webhooks of this channel are not switched on.",
    503: "The message could not be stored; please deliver it again.",
}


def route(state: InstanceState) -> Route:
    """Of all channels."""
    places = asyncio.Semaphore(AT_ONCE)

    async def deliver(request: Request) -> Response:
        webhook = _webhook(state, request.path_params["name"])
        try:
            async with asyncio.timeout(SECONDS):
                body = await _body(request)
                reply = await _delivered(webhook, request, body, places)
                if reply.status == 401:
                    await limit_unsigned(state, request)
        except TimeoutError:
            raise HTTPException(
                503, "This took too long; please deliver it again."
            ) from None
        except ClientDisconnect:
            raise HTTPException(400, "The body ended early.") from None

        return _response(reply)

    return Route("/webhooks/{name}", deliver, methods=["POST"])


async def _delivered(
    webhook: Deliver,
    request: Request,
    body: bytes,
    places: asyncio.Semaphore,
) -> WebhookReply:
    if places.locked():
        raise HTTPException(
            503, "Too many deliveries at once; please deliver it again."
        )

    async def store() -> WebhookReply:
        async with places:
            return await webhook(dict(request.headers), body)

    CAME_WITH.set(
        {one: request.headers[one] for one in TRACE_HEADERS if one in request.headers}
    )
    # What has begun to be stored runs to its end, and keeps its place until then.
    work = asyncio.create_task(store())
    work.add_done_callback(_seen)

    return await asyncio.shield(work)


def _seen(work: asyncio.Task[WebhookReply]) -> None:
    """Nobody waits for it any more, perhaps: its error is no news then."""
    if not work.cancelled() and work.exception() is not None:
        log.info("delivery not stored", error=type(work.exception()).__name__)


def _webhook(
    state: InstanceState,
    name: str,
) -> Deliver:
    for service in state.services:
        channel = service.channel
        if service.name != name or not isinstance(channel, Webhook | None):
            continue
        if channel is None or state.phase != "running":
            raise HTTPException(
                503, f"The agent is {state.phase}; please deliver it again."
            )

        return channel.webhook

    raise HTTPException(404, "No channel that takes webhooks runs under this name.")


async def _body(request: Request) -> bytes:
    """The raw body. Raises HTTPException when it is too large, before more of it is read."""
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > MOST_BYTES:
        raise _TOO_LARGE
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_BYTES:
            raise _TOO_LARGE
    return bytes(body)


def _response(reply: WebhookReply) -> Response:
    """An error without a body gets a sentence: people read it when they try their settings."""
    if reply.status >= 400 and not reply.body:
        sentence = _SENTENCES.get(reply.status, "This delivery was refused.")
        return JSONResponse({"error": sentence}, reply.status)
    return Response(reply.body, reply.status, media_type=reply.content_type)
