"""Messages that were written while nobody listened are fetched from Slack's history."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from agent.core.errors import StoreUnavailable
from tests.support.inbound import text_of
from tests.support.platforms.slack import AGENT, SlackServer
from tests.support.platforms.slack.agent import channel_of, connected, direct_chat


@pytest.fixture
async def server() -> AsyncIterator[SlackServer]:
    async with SlackServer(redeliver_after=0.1).running() as server:
        yield server


async def test_what_was_said_while_nobody_listened_is_fetched(
    server: SlackServer,
) -> None:
    """After Slack gave up its retries, chats with the agent are read from the last accepted
    message.
    """
    chat, ada = direct_chat(server)
    room, [bob] = channel_of(server, "bob")
    before = server.space.add(chat, ada, "seen")
    root = server.space.add(room, bob, f"<@{AGENT}> seen")
    for text in ("one", "two"):
        await server.say(chat, ada, text)

    await server.say(room, bob, "three", thread=root.ts)
    await server.say(room, bob, "not for the agent")
    await server.clock.advance(600)

    async def last_accepted(channel: str) -> dict[str, str]:
        return {chat: before.ts, room: root.ts} if channel == "slack" else {}

    async with connected(server, last_accepted=last_accepted) as (_, inbox):
        await inbox.next(3)

    assert [text_of(inbound) for inbound in inbox.taken] == ["one", "two", "three"]


async def test_what_was_said_is_fetched_once_the_store_knows_again_where_it_was_left(
    server: SlackServer,
) -> None:
    """The database is away at the reconnect; a message that comes with its return hides
    nothing said before.
    """
    chat, ada = direct_chat(server)
    before = server.space.add(chat, ada, "seen")
    server.space.add(chat, ada, "missed")
    away, ready = True, asyncio.Event()

    async def last_accepted(channel: str) -> dict[str, str]:
        if away:
            raise StoreUnavailable(StoreUnavailable.__doc__)

        return {chat: inbox.taken[-1].message_id if inbox.taken else before.ts}

    async def sleep(seconds: float) -> None:
        nonlocal away
        await ready.wait()
        away = False
        await server.say(chat, ada, "now")
        for _ in range(500):  # time enough to be accepted
            await asyncio.sleep(0)

    async with connected(server, last_accepted=last_accepted, sleep=sleep) as (
        _,
        inbox,
    ):
        ready.set()
        await inbox.until(
            lambda: {"missed", "now"} <= {text_of(inbound) for inbound in inbox.taken}
        )


async def test_what_is_caught_up_with_waits_for_a_store_that_goes_meanwhile(
    server: SlackServer,
) -> None:
    """However long that takes."""
    chat, ada = direct_chat(server)
    before = server.space.add(chat, ada, "seen")
    server.space.add(chat, ada, "missed")
    pauses, ready = 0, asyncio.Event()

    async def last_accepted(channel: str) -> dict[str, str]:
        await ready.wait()
        return {chat: before.ts}

    async def sleep(seconds: float) -> None:
        nonlocal pauses
        pauses += 1
        inbox.broken = pauses < 20

    async with connected(server, last_accepted=last_accepted, sleep=sleep) as (
        _,
        inbox,
    ):
        inbox.broken = True
        ready.set()
        await inbox.next()

    assert ["missed"] == [text_of(inbound) for inbound in inbox.taken]
