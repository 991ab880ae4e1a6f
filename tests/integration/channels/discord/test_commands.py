"""The core's commands are Discord's own: registered when they differ, acknowledged once
they are durable.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from agent.core.commands import COMMANDS
from channels.discord.commands import TRY_AGAIN, keep_registered, sync_commands
from channels.discord.interaction import SWITCHED_OFF
from channels.discord.rest import Rest
from tests.support.inbound import text_of
from tests.support.platforms.discord import DiscordServer
from tests.support.platforms.discord.listening import (
    Core,
    make_channel,
    reply_to,
    running,
)

NAMES = [command.name for command in COMMANDS]


@pytest.fixture
async def server() -> AsyncIterator[DiscordServer]:
    async with DiscordServer() as server:
        yield server


@pytest.fixture
def core(server: DiscordServer) -> Core:
    return Core(server)


def names(server: DiscordServer) -> list[str]:
    return [command["name"] for command in server.state.commands]


async def test_commands_are_registered_once_and_not_again(
    server: DiscordServer, core: Core
) -> None:
    for _ in range(2):
        async with running(make_channel(server), core):
            await server.until(lambda: names(server) == NAMES)

    rest = Rest(token=server.token, api_url=server.api_url)

    assert not await sync_commands(rest, "1", enabled=True)
    assert server.command_syncs == 1


async def test_a_changed_definition_is_registered_again(
    server: DiscordServer, core: Core
) -> None:
    rest = Rest(token=server.token, api_url=server.api_url)
    await sync_commands(rest, "1", enabled=True)
    server.state.commands[1]["description"] = "what it did before"

    assert await sync_commands(rest, "1", enabled=True)
    assert [c["description"] for c in server.state.commands] == [
        c.summary for c in COMMANDS
    ]


async def test_the_flag_takes_the_commands_away_and_brings_them_back(
    server: DiscordServer,
) -> None:
    """The flag is looked at again and again; here each look is one step of the test."""
    flags = [True, False, False, True]
    seen: list[list[str]] = []

    async def look(_: float) -> None:
        seen.append(names(server))
        if not flags:
            raise asyncio.CancelledError

    rest = Rest(token=server.token, api_url=server.api_url)

    with pytest.raises(asyncio.CancelledError):
        await keep_registered(
            rest, endpoint=None, enabled=lambda: flags.pop(0), sleep=look
        )

    assert seen == [NAMES, [], [], NAMES]
    assert (server.command_syncs, server.command_lists) == (3, 3)


async def test_a_discord_that_does_not_take_commands_is_left_alone_for_a_while() -> (
    None
):
    """Its API allows few registrations a day: after a failure the pause is longer than
    between two looks.
    """
    pauses: list[float] = []

    async def look(seconds: float) -> None:
        pauses.append(seconds)
        raise asyncio.CancelledError

    rest = Rest(token="t", api_url="http://127.0.0.1:1")  # nobody listens there
    with pytest.raises(asyncio.CancelledError):
        await keep_registered(
            rest,
            endpoint=None,
            enabled=lambda: True,
            sleep=look,
        )

    assert pauses == [TRY_AGAIN]


async def test_the_endpoint_is_set_when_discord_can_reach_it(
    server: DiscordServer, core: Core
) -> None:
    channel = make_channel(
        server, public_url="https://bot.example/", public_key=server.public_key
    )
    async with running(channel, core):
        await server.until(
            lambda: server.state.application["interactions_endpoint_url"]
        )

    assert (
        server.state.application["interactions_endpoint_url"]
        == "https://bot.example/webhooks/discord"
    )


async def test_a_command_becomes_its_text_and_is_deferred(
    server: DiscordServer, core: Core
) -> None:
    town, direct = server.state.add_channel("town"), server.state.add_direct("ada")
    async with running(make_channel(server), core):
        tokens = [
            server.use_command(town, "model", "openai:gpt-5-mini"),
            server.use_command(direct, "help"),
        ]
        uses = [server.state.interactions[token] for token in tokens]
        await server.until(lambda: all(use.response for use in uses))

    assert sorted(core.texts) == ["/help", "/model openai:gpt-5-mini"]
    assert {text_of(i): (i.direct, i.username) for i in core.accepted} == {
        "/model openai:gpt-5-mini": (False, "Ada"),
        "/help": (True, "Ada"),
    }
    assert [use.response for use in uses] == [{"type": 5}] * 2


async def test_a_command_is_not_acknowledged_before_it_is_durable(
    server: DiscordServer, core: Core
) -> None:
    chat = server.state.add_direct("ada")
    core.blocked[chat] = asyncio.Event()

    async with running(make_channel(server), core):
        use = server.state.interactions[server.use_command(chat, "help")]
        await server.until(lambda: core.offered)
        assert use.response is None
        core.blocked[chat].set()
        await server.until(lambda: use.response)


async def test_a_command_that_cannot_be_stored_is_not_acknowledged(
    server: DiscordServer, core: Core
) -> None:
    core.down = 1
    chat = server.state.add_direct("ada")

    async with running(make_channel(server), core):
        use = server.state.interactions[server.use_command(chat, "help")]
        server.state.say(chat, "hello", user="ada")
        await server.until(lambda: core.texts == ["hello"])

    assert use.response is None


async def test_two_instances_acknowledge_a_command_once(
    server: DiscordServer, core: Core
) -> None:
    chat = server.state.add_direct("ada")
    async with (
        running(make_channel(server), core),
        running(make_channel(server), core),
    ):
        use = server.state.interactions[server.use_command(chat, "help")]
        await server.until(lambda: use.response and core.offered == 2)

    assert core.texts == ["/help"]


async def test_while_commands_are_switched_off_the_person_is_told_so(
    server: DiscordServer, core: Core
) -> None:
    chat = server.state.add_direct("ada")
    async with running(make_channel(server, slash_commands=lambda: False), core):
        use = server.state.interactions[server.use_command(chat, "help")]
        await server.until(lambda: use.response)

    assert use.response is not None
    assert (use.response["data"]["content"], core.texts) == (SWITCHED_OFF, [])


async def test_a_command_is_answered_where_it_was_used(
    server: DiscordServer, core: Core
) -> None:
    town = server.state.add_channel("town")
    channel = make_channel(server)

    async with running(channel, core):
        use = server.state.interactions[server.use_command(town, "help")]
        await server.until(lambda: core.accepted)
        placed = await reply_to(channel, core.accepted[0]).finish(
            "This is what I can do."
        )

    assert placed.ids == (use.message,)
    assert server.screen(town) == ["This is what I can do."]
