"""Telegram's webhook: updates come in once they are stored, and only from Telegram."""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web

from agent.core.errors import ConfigurationError
from channels.telegram.channel import Telegram
from tests.support.platforms.telegram import TelegramServer
from tests.support.platforms.telegram.inbox import Inbox, channel, listening, until

PRIVATE_HEADER = "x-telegram-bot-api-secret-token"


@pytest.fixture
async def server() -> AsyncIterator[TelegramServer]:
    async with TelegramServer() as running:
        yield running


@pytest.fixture
async def hooked(
    server: TelegramServer,
) -> AsyncIterator[tuple[Telegram, web.AppRunner]]:
    """A channel behind an HTTP server, as `agent serve` runs it."""
    channels: list[Telegram] = []

    async def receive(request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        reply = await channels[0].webhook(headers, await request.read())
        return web.Response(status=reply.status, body=reply.body)

    application = web.Application()
    application.router.add_post("/webhooks/telegram", receive)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    channels.append(channel(server, public_url=f"http://{host}:{port}/"))
    yield channels[0], runner
    await runner.cleanup()


async def test_updates_come_by_webhook_and_are_repeated_until_they_are_stored(
    server: TelegramServer, hooked: tuple[Telegram, web.AppRunner]
) -> None:
    server.say(server.private("ada"), "said before the start")
    inbox = Inbox()
    inbox.down = True

    async with listening(hooked[0], inbox):
        await until(lambda: inbox.refused >= 2)
        assert len(server.state.updates) == 1
        inbox.down = False
        await until(lambda: not server.state.updates)

    assert inbox.texts == ["said before the start"]
    assert server.count("getUpdates") == 0


async def test_a_forged_webhook_is_refused_whatever_it_says(
    server: TelegramServer, hooked: tuple[Telegram, web.AppRunner]
) -> None:
    inbox = Inbox()
    rng = random.Random(7)  # the mutations are the same every time
    message = server.state.message(
        server.private("ada"), server.state.person("ada"), "forged"
    )
    body = json.dumps({"update_id": 1, "message": message}).encode()

    async with listening(hooked[0], inbox):
        await until(lambda: bool(server.delivery.secret))
        secret = server.delivery.secret
        refused = 0

        for _ in range(10_000):
            at = rng.randrange(len(secret))
            forged = (
                secret[:at] + rng.choice(["", "g", "é", secret]) + secret[at + 1 :]
            )
            refused += (
                await hooked[0].webhook({PRIVATE_HEADER: forged}, body)
            ).status == 401

        assert (await hooked[0].webhook({}, body)).status == 401

    assert refused == 10_000
    assert inbox.got == []


async def test_a_replayed_webhook_names_the_same_turn(
    server: TelegramServer, hooked: tuple[Telegram, web.AppRunner]
) -> None:
    inbox = Inbox()
    async with listening(hooked[0], inbox):
        server.say(server.private("ada"), "once", deliver=4)
        await until(lambda: not server.state.updates)

    assert inbox.texts == ["once"]


async def test_a_webhook_body_that_is_no_update_stores_nothing(
    server: TelegramServer, hooked: tuple[Telegram, web.AppRunner]
) -> None:
    inbox = Inbox()
    telegram = hooked[0]

    async with listening(telegram, inbox):
        await until(lambda: bool(server.delivery.secret))
        headers = {PRIVATE_HEADER: server.delivery.secret}
        bodies = [
            b"",
            b"\xff\xfe",
            b"{",
            b"[]",
            b"7",
            b'{"update_id": 1, "message": {"text": 3}}',
        ]
        statuses = [(await telegram.webhook(headers, body)).status for body in bodies]

    # 200: it would come again forever
    assert statuses == [200] * len(bodies)
    assert inbox.got == []


async def test_a_webhook_before_the_channel_runs_is_to_be_sent_again(
    server: TelegramServer, hooked: tuple[Telegram, web.AppRunner]
) -> None:
    async with listening(hooked[0], Inbox()):
        await until(lambda: bool(server.delivery.secret))

    assert (
        await hooked[0].webhook({PRIVATE_HEADER: server.delivery.secret}, b"{}")
    ).status == 503


async def test_a_webhook_that_somebody_else_changed_is_set_again(
    server: TelegramServer, hooked: tuple[Telegram, web.AppRunner]
) -> None:
    async with listening(hooked[0], Inbox()):
        await until(lambda: bool(server.delivery.url))
        mine = server.delivery.url
        server.delivery.url = "https://elsewhere.example/hook"
        await until(lambda: server.delivery.url == mine)


async def test_an_address_that_telegram_refuses_is_told_as_public_url(
    server: TelegramServer,
) -> None:
    with pytest.raises(ConfigurationError, match="PUBLIC_URL"):
        await channel(server, public_url="http://example.org").run(Inbox().accept)


async def test_polling_removes_a_webhook_that_was_left_and_keeps_what_waits(
    server: TelegramServer,
) -> None:
    async with aiohttp.ClientSession() as session:
        url = f"{server.url}/bot{server.token}/setWebhook"
        await session.post(url, json={"url": "http://127.0.0.1:9/hook"})

    server.say(server.private("ada"), "waiting")
    inbox = Inbox()
    async with listening(channel(server), inbox):
        await inbox.until(1)

    assert inbox.texts == ["waiting"]
