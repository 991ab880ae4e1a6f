"""A broken connection or a downtime loses nothing on Discord and repeats nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping

import pytest

from agent.core.errors import StoreUnavailable
from tests.support.platforms.discord import DiscordServer
from tests.support.platforms.discord.listening import Core, make_channel, running


@pytest.fixture
async def server() -> AsyncIterator[DiscordServer]:
    async with DiscordServer() as server:
        yield server


@pytest.fixture
def core(server: DiscordServer) -> Core:
    return Core(server)


async def test_what_was_said_during_a_short_break_is_replayed_once(
    server: DiscordServer, core: Core
) -> None:
    chat = server.state.add_direct("ada")
    async with running(make_channel(server), core):
        server.state.say(chat, "before", user="ada")
        await server.until(lambda: core.texts == ["before"])
        await server.gateway.drop(resumable=True)
        server.state.say(chat, "meanwhile", user="ada")
        await server.until(lambda: server.gateway.resumed == 1)
        server.state.say(chat, "after", user="ada")
        await server.until(lambda: len(core.texts) == 3)

    assert core.texts == ["before", "meanwhile", "after"]
    assert (server.gateway.identified, core.offered) == (1, 3)


async def test_discord_may_ask_to_reconnect(
    server: DiscordServer, core: Core
) -> None:
    chat = server.state.add_direct("ada")
    async with running(make_channel(server), core):
        await server.gateway.ask_to_reconnect()
        await server.until(lambda: server.gateway.resumed == 1)
        server.state.say(chat, "still there?", user="ada")
        await server.until(lambda: core.accepted)

    assert server.gateway.identified == 1


async def test_after_a_failed_resume_the_missed_comes_first_and_in_order(
    server: DiscordServer, core: Core
) -> None:
    chat = server.state.add_direct("ada")
    async with running(make_channel(server, last_accepted=core.last_accepted), core):
        server.state.say(chat, "before", user="ada")
        await server.until(lambda: core.texts == ["before"])
        await server.gateway.drop(resumable=False)
        for word in ("missed 1", "missed 2"):
            server.state.say(chat, word, user="ada")

        await server.until(lambda: server.gateway.identified == 2)
        server.state.say(chat, "after", user="ada")
        await server.until(lambda: len(core.texts) == 4)

    assert core.texts == ["before", "missed 1", "missed 2", "after"]


async def with_backlog(server: DiscordServer, core: Core) -> str:
    """A chat in which something was said that the agent heard, and something after it had gone."""
    chat = server.state.add_direct("ada")
    async with running(make_channel(server, last_accepted=core.last_accepted), core):
        server.state.say(chat, "before", user="ada")
        await server.until(lambda: core.accepted)

    server.state.say(chat, "backlog", user="ada")

    return chat


async def test_what_is_said_while_the_store_is_still_asked_comes_after_the_backlog(
    server: DiscordServer, core: Core
) -> None:
    chat = await with_backlog(server, core)

    async def slow(channel: str) -> Mapping[str, str]:
        last = await core.last_accepted(channel)
        server.state.say(chat, "live", user="ada")
        for _ in range(500):  # time enough for the gateway to tell of it
            await asyncio.sleep(0)

        return last

    async with running(make_channel(server, last_accepted=slow), core):
        await server.until(lambda: len(core.texts) == 3)

    assert core.texts == ["before", "backlog", "live"]


async def test_what_was_said_while_the_agent_was_down_is_answered_at_its_next_start(
    server: DiscordServer, core: Core
) -> None:
    """In every kind of chat that it knows; edits made meanwhile count, deleted messages do not."""
    mention = f"<@{server.state.bot['id']}>"
    town = server.state.add_channel("town")
    thread = server.state.add_thread(town, "plans")
    direct = server.state.add_direct("ada")

    async with running(make_channel(server, last_accepted=core.last_accepted), core):
        for chat in (direct, town, thread):
            server.state.say(chat, f"{mention} hello", user="ada")

        await server.until(lambda: len(core.accepted) == 3)

    slip = server.state.say(direct, "helo", user="ada")
    gone = server.state.say(direct, "never mind", user="ada")
    server.state.edit(slip["id"], "backlog, direct")
    server.state.delete(gone["id"])
    server.state.say(town, "among us", user="bob")
    server.state.say(town, f"{mention} backlog, town", user="bob")
    server.state.say(thread, "backlog, thread", user="bob")
    async with running(make_channel(server, last_accepted=core.last_accepted), core):
        await server.until(lambda: len(core.accepted) == 6)

    assert set(core.texts[3:]) == {
        "backlog, direct",
        "backlog, town",
        "backlog, thread",
    }
    assert core.offered == 6


async def test_the_backlog_is_fetched_once_the_store_knows_again_where_it_was_left(
    server: DiscordServer, core: Core
) -> None:
    chat = await with_backlog(server, core)
    away = True

    async def last_accepted(channel: str) -> Mapping[str, str]:
        nonlocal away
        if away:
            away = False
            server.state.say(chat, "live", user="ada")
            raise StoreUnavailable(StoreUnavailable.__doc__)

        return await core.last_accepted(channel)

    async with running(make_channel(server, last_accepted=last_accepted), core):
        await server.until(lambda: len(core.texts) == 3)

    assert core.texts == ["before", "backlog", "live"]


async def test_a_backlog_of_hundreds_is_taken_in_order_up_to_its_bound(
    server: DiscordServer, core: Core
) -> None:
    chat = server.state.add_direct("ada")
    async with running(make_channel(server, last_accepted=core.last_accepted), core):
        server.state.say(chat, "first", user="ada")
        await server.until(lambda: core.accepted)

    words = [f"backlog {number}" for number in range(350)]
    for word in words:
        server.state.say(chat, word, user="ada")

    async with running(make_channel(server, last_accepted=core.last_accepted), core):
        await server.until(lambda: len(core.accepted) == 301)

    assert core.texts[1:] == words[:300]
    assert server.histories == 3


async def test_a_chat_that_is_gone_does_not_keep_the_others_from_being_caught_up(
    server: DiscordServer, core: Core
) -> None:
    gone, there = server.state.add_direct("ada"), server.state.add_direct("bob")
    async with running(make_channel(server, last_accepted=core.last_accepted), core):
        for chat in (gone, there):
            server.state.say(chat, "hello", user="ada")

        await server.until(lambda: len(core.accepted) == 2)

    del server.state.channels[gone]
    server.state.say(there, "backlog", user="bob")
    async with running(make_channel(server, last_accepted=core.last_accepted), core):
        await server.until(lambda: len(core.accepted) == 3)

    assert core.texts[2] == "backlog"


async def test_two_instances_hear_the_same_and_the_store_keeps_one(
    server: DiscordServer, core: Core
) -> None:
    chat = server.state.add_direct("ada")
    async with (
        running(make_channel(server), core),
        running(make_channel(server), core),
    ):
        server.state.say(chat, "hello", user="ada")
        await server.until(lambda: core.offered == 2)

    assert core.texts == ["hello"]
