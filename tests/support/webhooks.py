"""An instance with a channel of webhooks, behind its real HTTP server."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any
from uuid import UUID

import httpx

from agent.app import App, ChannelBuilders, open_app
from agent.core.channel import WebhookReply
from agent.core.errors import StoreUnavailable
from agent.core.messages import Address, Placed, Said
from agent.ports import Accept
from agent.settings import Settings
from agent.web.app import web_app
from agent.web.server import http_server
from agent.web.state import InstanceState, Service
from channels.services import ChannelServices

DEADLINE = 20.0


class Post:
    """A channel whose messages come by webhook and whose answers stay in a list once `gate`
    is open.
    """

    def __init__(self, name: str = "post", *, error: Exception | None = None) -> None:
        self.name = name
        self.error = error
        self.delivered: list[tuple[Mapping[str, str], bytes]] = []
        self.answers: list[str] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.finishing = asyncio.Event()
        self.ran = asyncio.Event()
        self.drafts_stand = False
        self._accept: Accept | None = None

    async def run(self, accept: Accept) -> None:
        self._accept = accept
        self.ran.set()
        if self.error is not None:
            raise self.error
        await asyncio.Event().wait()

    def reply(
        self,
        address: Address,
        placed: Placed | None,
        turns: Sequence[UUID],
        *,
        repeat: bool = False,
    ) -> Post:
        return self

    async def show(self, text: str) -> Placed | None:
        return None

    async def finish(self, text: str) -> Placed:
        self.finishing.set()
        await self.gate.wait()
        self.answers.append(text)
        return Placed(("1",))

    async def webhook(self, headers: Mapping[str, str], body: bytes) -> WebhookReply:
        """Takes `message id:text` as a message of Ada."""
        self.delivered.append((headers, body))
        if headers.get("x-signature") != "ours":
            return WebhookReply(401)
        if body == b"fail":
            raise RuntimeError("a fault of the channel")
        assert self._accept is not None
        message, _, text = body.decode().partition(":")
        try:
            await self._accept(
                Said(
                    Address(self.name, "chat-of-ada"),
                    message,
                    "ada-4711",
                    text,
                    username="Ada",
                )
            )
        except StoreUnavailable:
            return WebhookReply(503)
        return WebhookReply(200, b'{"ok": true}', "application/json")


def settings(database_url: str, redis_url: str, **more: object) -> Settings:
    values = {
        "database_url": database_url,
        "redis_url": redis_url,
        "http_port": free_port(),
        **more,
    }
    return Settings.model_validate(values)


def free_port() -> int:
    """A port on which nothing listens just now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@asynccontextmanager
async def listening(
    state: InstanceState, **more: Any
) -> AsyncIterator[httpx.AsyncClient]:
    """The web application behind its real server, and a client."""
    async with (
        http_server(web_app(state, **more), "127.0.0.1", 0) as port,
        client_of(port) as client,
    ):
        yield client


def client_of(port: int) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{port}", timeout=DEADLINE, trust_env=False
    )


def built(channels: Sequence[Post]) -> ChannelBuilders:
    """These channels, whatever the settings and services."""
    return {channel.name: partial(_the, channel) for channel in channels}


@asynccontextmanager
async def running(
    channel: Post, database_url: str, redis_url: str, **more: Any
) -> AsyncIterator[tuple[httpx.AsyncClient, App]]:
    """An instance with this channel, taking messages, and its HTTP server."""
    state = InstanceState([Service(channel.name, channel)])
    async with (
        listening(state, **more) as client,
        open_app(settings(database_url, redis_url), built([channel])) as app,
    ):
        state.run(app)
        state.services[0].tell(None)
        intake = asyncio.create_task(channel.run(app.engine.accept))
        await channel.ran.wait()
        try:
            yield client, app
        finally:
            intake.cancel()
            await asyncio.wait({intake})


def _the(channel: Post, _settings: Settings, _services: ChannelServices) -> Post:
    return channel
