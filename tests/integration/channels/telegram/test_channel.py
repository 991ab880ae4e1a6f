"""Telegram, messages in: nothing is acknowledged before it is stored, nothing stops the others."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from functools import partial

import pytest

from agent.core.commands import COMMANDS
from agent.core.errors import ConfigurationError
from agent.core.messages import Inbound
from tests.support.platforms.telegram import TelegramServer
from tests.support.platforms.telegram.inbox import Inbox, channel, listening, until


@pytest.fixture
async def server() -> AsyncIterator[TelegramServer]:
    async with TelegramServer() as running:
        yield running


# --- polling ------------------------------------------------------------------


async def test_what_was_said_while_the_agent_was_down_is_fetched_in_order(
    server: TelegramServer,
) -> None:
    texts = [
        f"message {number}" for number in range(250)
    ]  # more than one fetch brings
    for text in texts:
        server.say(server.private("ada"), text)

    inbox = Inbox()
    async with listening(channel(server), inbox):
        await inbox.until(250)
        await until(lambda: not server.state.updates)

    assert inbox.texts == texts


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
    del broken["message_id"]
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
    async with (
        listening(channel(server), Inbox()),
        listening(channel(server), Inbox()),
    ):
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
