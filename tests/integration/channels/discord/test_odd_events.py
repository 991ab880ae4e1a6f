"""One odd event ends no session, holds up no chat and takes no message with it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from agent.core.messages import Said
from tests.support.platforms.discord import DiscordServer
from tests.support.platforms.discord.listening import Core, make_channel, running
from tests.support.platforms.discord.odd import (
    ODD_AUTHORS,
    ODD_EVENTS,
    ODD_FIELDS,
    ODD_FRAMES,
)


@pytest.fixture
async def server() -> AsyncIterator[DiscordServer]:
    async with DiscordServer() as server:
        yield server


@pytest.fixture
def core(server: DiscordServer) -> Core:
    return Core(server)


def author(server: DiscordServer, changes: dict[str, Any]) -> dict[str, Any]:
    """Ada, with these fields; `...` takes one away."""
    fields = {**server.state.person("ada"), **changes}
    return {key: value for key, value in fields.items() if value is not ...}


def odd_messages(server: DiscordServer) -> list[dict[str, Any]]:
    """The fields of every odd message."""
    return [
        *ODD_FIELDS.values(),
        *({"author": author(server, changes)} for changes in ODD_AUTHORS.values()),
    ]


def first_lines(core: Core) -> list[str]:
    return [text.partition("\n")[0] for text in core.texts]


def sessions(server: DiscordServer) -> tuple[int, int]:
    """How many were begun, and how often one was resumed."""
    return server.gateway.identified, server.gateway.resumed


@pytest.mark.parametrize("name", ODD_FIELDS)
async def test_a_message_with_an_odd_field_says_what_it_says(
    server: DiscordServer, core: Core, name: str
) -> None:
    chat = server.state.add_direct("ada")
    async with running(make_channel(server), core):
        server.state.say(chat, "hello", user="ada", **ODD_FIELDS[name])
        server.state.say(chat, "and more", user="ada")
        await server.until(lambda: "and more" in core.texts)

        assert ["hello", "and more"] == first_lines(core)
        assert (1, 0) == sessions(server)


@pytest.mark.parametrize("name", ODD_AUTHORS)
async def test_an_author_with_an_odd_field_is_heard(
    server: DiscordServer, core: Core, name: str
) -> None:
    ada = author(server, ODD_AUTHORS[name])
    chat = server.state.add_direct("ada")
    async with running(make_channel(server), core):
        server.state.say(chat, "hello", user="ada", author=ada)
        await server.until(lambda: core.accepted)

        assert [("hello", str(ada["id"]))] == [
            (inbound.text, inbound.user_id)
            for inbound in core.accepted
            if isinstance(inbound, Said)
        ]
        assert (1, 0) == sessions(server)


async def test_a_catch_up_goes_around_odd_messages(
    server: DiscordServer, core: Core
) -> None:
    """They are read from what is readable; one without an author is passed over."""
    chat = server.state.add_direct("ada")
    async with running(make_channel(server, last_accepted=core.last_accepted), core):
        server.state.say(chat, "before", user="ada")
        await server.until(lambda: core.accepted)

    for fields in odd_messages(server):
        server.state.add_message(
            chat, {"author": server.state.person("ada"), "content": "hello", **fields}
        )

    for broken in (None, {}, {"id": None}):
        server.state.add_message(chat, {"content": "who?", "author": broken})

    server.state.add_message(
        chat, {"author": server.state.person("ada"), "content": "after"}
    )
    async with running(make_channel(server, last_accepted=core.last_accepted), core):
        await server.until(lambda: "after" in core.texts)

    hellos = ["hello"] * len(odd_messages(server))
    assert ["before", *hellos, "after"] == first_lines(core)


@pytest.mark.parametrize("name", ODD_EVENTS)
async def test_an_odd_event_is_passed_over(
    server: DiscordServer, core: Core, name: str
) -> None:
    kind, data = ODD_EVENTS[name]
    chat = server.state.add_direct("ada")
    async with running(make_channel(server), core):
        server.gateway.push({"op": 0, "t": kind, "d": data})
        server.state.say(chat, "hello", user="ada")
        await server.until(lambda: core.accepted)

        assert ["hello"] == core.texts
        assert (1, 0) == sessions(server)


@pytest.mark.parametrize("name", ODD_FRAMES)
async def test_an_odd_frame_is_passed_over(
    server: DiscordServer, core: Core, name: str
) -> None:
    chat = server.state.add_direct("ada")
    async with running(make_channel(server), core):
        server.gateway.push(ODD_FRAMES[name])
        server.state.say(chat, "hello", user="ada")
        await server.until(lambda: core.accepted)

        assert ["hello"] == core.texts
        assert (1, 0) == sessions(server)


async def test_a_session_that_began_oddly_hears_what_follows(
    server: DiscordServer, core: Core
) -> None:
    """The event READY lacks almost everything, the server's own event too."""
    chat = server.state.add_direct("ada")
    server.gateway.odd_start = {"user": None, "application": None, "guilds": [5]}
    async with running(make_channel(server), core):
        server.state.say(chat, "hello", user="ada")
        await server.until(lambda: core.accepted)

        assert (1, 0) == sessions(server)


async def test_signing_in_needs_no_more_than_an_id(
    server: DiscordServer, core: Core
) -> None:
    chat = server.state.add_direct("ada")
    for key in set(server.state.bot) - {"id"}:
        del server.state.bot[key]

    server.state.application = {"flags": server.state.application["flags"]}
    async with running(make_channel(server), core):
        server.state.say(chat, "hello", user="ada")
        await server.until(lambda: core.accepted)

    assert ["hello"] == core.texts


@pytest.mark.parametrize("name", ["no JSON", "a greeting without an interval"])
async def test_after_a_greeting_that_cannot_be_read_it_connects_again(
    server: DiscordServer, core: Core, name: str
) -> None:
    """Without the interval in it there would be no heartbeat."""
    server.gateway.odd_greetings = [ODD_FRAMES[name]]
    chat = server.state.add_direct("ada")
    async with running(make_channel(server), core):
        server.state.say(chat, "hello", user="ada")
        await server.until(lambda: core.accepted)

    assert ["hello"] == core.texts


async def test_an_answer_to_signing_in_without_an_id_is_waited_out(
    server: DiscordServer, core: Core
) -> None:
    """A proxy in between may answer anything."""
    chat, id = server.state.add_direct("ada"), server.state.bot.pop("id")
    channel = make_channel(server, last_accepted=core.last_accepted)
    task = asyncio.create_task(channel.run(core.accept))
    await server.until(lambda: server.asked_who_i_am == 1)
    server.state.bot["id"] = id
    await server.until(lambda: server.gateway.connected)
    server.state.say(chat, "hello", user="ada")
    await server.until(lambda: core.accepted)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    assert ["hello"] == core.texts


async def test_what_could_not_be_read_is_noted_by_its_kind(
    server: DiscordServer, core: Core
) -> None:
    noted: list[tuple[str, str]] = []
    channel = make_channel(
        server, note_unreadable=lambda name, kind: noted.append((name, kind))
    )
    chat = server.state.add_direct("ada")
    async with running(channel, core):
        server.gateway.push({"op": 0, "t": "MESSAGE_CREATE", "d": {"id": "5"}})
        server.gateway.push("no JSON")
        server.state.say(chat, "hello", user="ada")
        await server.until(lambda: core.accepted)

    assert [("discord", "MESSAGE_CREATE"), ("discord", "frame")] == noted
