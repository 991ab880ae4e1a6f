"""Telegram, messages in: nothing is acknowledged before it is stored, nothing stops the others."""

from __future__ import annotations

import asyncio
import json
import logging
import random
from collections.abc import AsyncIterator, Callable
from functools import partial

import aiohttp
import pytest
from aiohttp import web

from agent.core.commands import COMMANDS
from agent.core.errors import ConfigurationError
from agent.core.messages import Inbound
from channels.pacing import Governor
from channels.telegram.channel import Telegram
from tests.support.platforms.telegram import TelegramServer
from tests.support.platforms.telegram.inbox import Inbox, listening, until

PRIVATE_HEADER = "x-telegram-bot-api-secret-token"


@pytest.fixture
async def server() -> AsyncIterator[TelegramServer]:
    async with TelegramServer() as running:
        yield running


def channel(
    server: TelegramServer,
    *,
    token: str | None = None,
    public_url: str | None = None,
    slash_commands: Callable[[], bool] = lambda: True,
) -> Telegram:
    return Telegram(
        token=token or server.token,
        api_url=server.url,
        governor=Governor(),
        public_url=public_url,
        slash_commands=slash_commands,
        retry=0.01,
        check=0.01,
    )


# --- polling ------------------------------------------------------------------


async def test_what_was_said_while_the_agent_was_down_is_fetched_in_order(
    server: TelegramServer,
) -> None:
    said = [f"message {number}" for number in range(250)]  # more than one fetch brings
    for text in said:
        server.say(server.private("ada"), text)

    inbox = Inbox()
    async with listening(channel(server), inbox):
        await inbox.until(250)
        await until(lambda: not server.state.updates)

    assert inbox.texts == said


async def test_an_update_is_acknowledged_only_after_it_is_stored(
    server: TelegramServer,
) -> None:
    inbox = Inbox()
    inbox.gate.clear()

    async with listening(channel(server), inbox):
        server.say(server.private("ada"), "hello")
        await until(lambda: server.count("getUpdates") > 0)
        server.say(server.private("bob"), "hello too")
        assert len(server.state.updates) == 2
        inbox.gate.set()
        await until(lambda: not server.state.updates)

    assert sorted(inbox.texts) == ["hello", "hello too"]


async def test_what_could_not_be_stored_is_fetched_again_and_nothing_is_lost(
    server: TelegramServer,
) -> None:
    inbox = Inbox()
    inbox.down = True

    async with listening(channel(server), inbox):
        for text in ("one", "two"):
            server.say(server.private("ada"), text)

        await until(lambda: inbox.refused >= 3)
        assert len(server.state.updates) == 2
        inbox.down = False
        await until(lambda: not server.state.updates)

    assert inbox.texts == ["one", "two"]


async def test_a_chat_whose_message_is_slow_to_store_does_not_hold_back_others(
    server: TelegramServer,
) -> None:
    inbox, slow = Inbox(), asyncio.Event()

    class Slow(Inbox):
        async def accept(self, inbound: Inbound) -> bool:
            if inbound.username == "Slow":
                await slow.wait()

            return await inbox.accept(inbound)

    server.say(server.private("slow"), "first", user="slow")
    server.say(server.private("ada"), "second")

    async with listening(channel(server), Slow()):
        await inbox.until(1)
        assert inbox.texts == ["second"]
        slow.set()
        await inbox.until(2)


async def test_an_update_that_nobody_can_read_does_not_stop_the_next(
    server: TelegramServer,
) -> None:
    broken = server.say(server.private("ada"), "broken")
    del broken["date"]
    server.say(server.private("ada"), "whole")
    inbox = Inbox()
    async with listening(channel(server), inbox):
        await until(lambda: not server.state.updates)

    assert inbox.texts == ["whole"]


async def test_two_instances_without_public_url_fetch_by_turns_and_lose_nothing(
    server: TelegramServer,
) -> None:
    first, second = Inbox(), Inbox()
    async with listening(channel(server), first), listening(channel(server), second):
        for number in range(50):
            server.say(server.private("ada"), f"message {number}")
            await until(lambda: not server.state.updates)

    assert {f"message {number}" for number in range(50)} == {
        *first.texts,
        *second.texts,
    }


async def test_a_conflict_is_told_in_one_sentence(
    server: TelegramServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with listening(channel(server), Inbox()), listening(channel(server), Inbox()):
        await until(
            lambda: "Another program fetches this bot's messages" in caplog.text
        )

    assert "PUBLIC_URL" in caplog.text


async def test_network_trouble_is_waited_out(server: TelegramServer) -> None:
    server.refuse("getMe", 502, "Bad Gateway")
    inbox = Inbox()

    async with listening(channel(server), inbox):
        await until(lambda: server.count("getMe") >= 2)
        server.allow("getMe")
        server.refuse("getUpdates", 500, "Internal Server Error")
        await until(lambda: server.count("getUpdates") >= 2)
        server.allow("getUpdates")
        server.say(server.private("ada"), "still there?")
        await inbox.until(1)


@pytest.mark.parametrize(
    "token", ["nonsense", "700000001:AAF-a_token_that_was_revoked_0123456"]
)
async def test_a_wrong_token_is_named_with_the_page_that_mends_it(
    server: TelegramServer, token: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        await channel(server, token=token).run(Inbox().accept)

    assert "TELEGRAM_TOKEN" in caught.value.sentence
    assert "https://t.me/BotFather" in caught.value.sentence
    assert token not in str(caught.value)


async def test_a_token_that_is_revoked_while_the_agent_runs_ends_it_with_the_same_sentence(
    server: TelegramServer,
) -> None:
    async with listening(channel(server), Inbox()) as task:
        await until(lambda: server.count("getUpdates") > 0)
        server.token = "700000001:AAF-another_token_0123456789"
        server.say(server.private("ada"), "wake up")  # ends the fetch that waits
        with pytest.raises(ConfigurationError, match="TELEGRAM_TOKEN"):
            await task


async def test_neither_token_nor_text_is_logged(
    server: TelegramServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server.refuse("getMyCommands", 500, "Internal Server Error")
    inbox = Inbox()

    async with listening(channel(server), inbox):
        server.say(server.private("ada"), "a secret of mine")
        await inbox.until(1)
        await until(lambda: not server.state.updates)

    assert "telegram" in caplog.text
    assert server.token not in caplog.text
    assert "secret of mine" not in caplog.text


# --- menu ---------------------------------------------------------------------


async def test_the_menu_is_set_once_and_not_again_while_it_is_right(
    server: TelegramServer,
) -> None:
    asked = 0
    for _ in range(2):
        async with listening(channel(server), Inbox()):
            asked += 1
            await until(partial(_asked, server, asked))
            await until(lambda: bool(server.methods.menu))

    assert [(c.name, c.summary) for c in COMMANDS] == [
        (entry["command"], entry["description"]) for entry in server.methods.menu
    ]
    assert server.count("setMyCommands") == 1


def _asked(server: TelegramServer, times: int) -> bool:
    return server.count("getMyCommands") >= times


async def test_the_menu_follows_its_flag_while_the_agent_runs(
    server: TelegramServer,
) -> None:
    flag = {"on": False}
    async with listening(channel(server, slash_commands=lambda: flag["on"]), Inbox()):
        await until(lambda: server.count("getMyCommands") > 0)
        assert server.methods.menu == []
        flag["on"] = True
        await until(lambda: bool(server.methods.menu))
        flag["on"] = False
        await until(lambda: not server.methods.menu)


# --- webhook ------------------------------------------------------------------


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
            forged = secret[:at] + rng.choice(["", "g", "é", secret]) + secret[at + 1 :]
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
    assert statuses == [
        400,
        400,
        400,
        200,
        200,
        200,
    ]
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
