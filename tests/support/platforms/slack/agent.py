"""The real channel against the server, and an inbox in place of the core."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from agent.core.errors import StoreUnavailable
from agent.core.messages import Inbound
from channels.pacing import Governor
from channels.slack.channel import Slack
from tests.support.platforms.slack.server import SlackServer
from tests.support.platforms.slack.state import APP_TOKEN, BOT_TOKEN, SIGNING_SECRET


class Inbox:
    """Takes messages like the core: durable once it returns. `broken` stores nothing."""

    def __init__(self) -> None:
        self.taken: list[Inbound] = []
        self.tried = 0
        self.broken = False
        self._changed = asyncio.Condition()

    async def __call__(self, inbound: Inbound) -> bool:
        self.tried += 1
        if not self.broken:
            self.taken.append(inbound)

        async with self._changed:
            self._changed.notify_all()

        if self.broken:
            raise StoreUnavailable("The database cannot be reached.")

        return True

    async def until(
        self, condition: Callable[[], bool], deadline: float = 10.0
    ) -> None:
        """Waits for an attempt that makes this true."""
        async with asyncio.timeout(deadline), self._changed:
            await self._changed.wait_for(condition)

    async def next(self, count: int = 1) -> list[Inbound]:
        """The first `count` messages, once they are there."""
        await self.until(lambda: len(self.taken) >= count)
        return self.taken[:count]


def slack(server: SlackServer, **changes: Any) -> Slack:
    """The channel, signed in to this server; states of an answer follow each other without
    a pause.
    """
    settings: dict[str, Any] = {
        "bot_token": BOT_TOKEN,
        "app_token": APP_TOKEN,
        "api_url": server.api_url,
        "governor": Governor(),
        "slash_commands": lambda: True,
        "interval": 0.0,
        "clock": server.clock,
    }
    return Slack(**{**settings, **changes})


def direct_chat(server: SlackServer, name: str = "ada") -> tuple[str, str]:
    """A person's direct chat with the agent, and the person."""
    user = server.space.person(name)
    return server.space.chat("D" + user[1:], "im", user), user


def channel_of(
    server: SlackServer, *names: str, kind: str = "channel"
) -> tuple[str, list[str]]:
    """A channel with these people, and the people."""
    users = [server.space.person(name) for name in names]
    return server.space.chat("C0GENERAL", kind, *users), users


@asynccontextmanager
async def connected(
    server: SlackServer, **changes: Any
) -> AsyncIterator[tuple[Slack, Inbox]]:
    """The channel running over Socket Mode."""
    channel, inbox = slack(server, **changes), Inbox()
    async with _running(channel, inbox):
        await server.sockets.until(lambda: server.sockets.connections > 0)
        yield channel, inbox


@asynccontextmanager
async def hooked(
    server: SlackServer, **changes: Any
) -> AsyncIterator[tuple[Slack, Inbox]]:
    """The channel behind an HTTP server, reached by signed requests."""
    app = web.Application()
    runner = web.AppRunner(app, shutdown_timeout=1)
    holder: list[Slack] = []

    async def receive(request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        reply = await holder[0].webhook(headers, await request.read())
        return web.Response(
            status=reply.status, body=reply.body, content_type=reply.content_type
        )

    app.router.add_post("/webhooks/slack", receive)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    url = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"  # type: ignore[union-attr]
    channel = slack(
        server,
        public_url=url,
        signing_secret=SIGNING_SECRET,
        **changes,
    )
    holder.append(channel)
    server.post_to(f"{url}/webhooks/slack")
    inbox = Inbox()

    try:
        async with _running(channel, inbox):
            await _listening(channel)
            yield channel, inbox
    finally:
        await runner.cleanup()


@asynccontextmanager
async def _running(channel: Slack, inbox: Inbox) -> AsyncIterator[None]:
    task = asyncio.create_task(channel.run(inbox))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _listening(channel: Slack) -> None:
    """Until webhooks are taken: before, the channel answers 503."""
    async with asyncio.timeout(10):
        while not channel.listening:
            await asyncio.sleep(0)
