"""What reaches Discord's interactions endpoint counts only if Discord signed it lately."""

from __future__ import annotations

import json
import random
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from agent.core.errors import ConfigurationError
from channels.discord.channel import Discord
from tests.support.inbound import text_of
from tests.support.platforms.discord import DiscordServer, payload
from tests.support.platforms.discord.listening import Core, make_channel, running

Headers = dict[str, str]


@pytest.fixture
async def server() -> AsyncIterator[DiscordServer]:
    async with DiscordServer() as server:
        yield server


@pytest.fixture
def core(server: DiscordServer) -> Core:
    return Core(server)


@pytest.fixture
async def channel(server: DiscordServer, core: Core) -> AsyncIterator[Discord]:
    channel = make_channel(server, public_key=server.public_key)
    async with running(channel, core):
        yield channel


def command(server: DiscordServer) -> dict[str, Any]:
    return server.state.use_command(
        server.state.add_direct("ada"), "help", "", user="ada"
    )


async def test_a_ping_is_answered(server: DiscordServer) -> None:
    """Discord sends it when the address is set, even before the agent takes messages in."""
    channel = make_channel(server, public_key=server.public_key)
    answer = await channel.webhook(*server.signed(payload("interaction_ping")))

    assert (answer.status, json.loads(answer.body)) == (200, {"type": 1})


async def test_a_command_is_deferred_once_durable(
    server: DiscordServer, core: Core, channel: Discord
) -> None:
    answer = await channel.webhook(*server.signed(command(server)))

    assert (answer.status, answer.content_type) == (200, "application/json")
    assert (json.loads(answer.body), core.texts) == ({"type": 5}, ["/help"])


async def test_what_cannot_be_stored_is_not_deferred(
    server: DiscordServer, core: Core, channel: Discord
) -> None:
    core.down = 1
    answer = await channel.webhook(*server.signed(command(server)))

    assert (answer.status, core.accepted) == (503, [])


async def test_before_the_channel_runs_a_command_is_not_deferred(
    server: DiscordServer,
) -> None:
    channel = make_channel(server, public_key=server.public_key)
    assert (await channel.webhook(*server.signed(command(server)))).status == 503


async def test_while_commands_are_switched_off_the_person_is_told_so(
    server: DiscordServer,
) -> None:
    channel = make_channel(
        server, public_key=server.public_key, slash_commands=lambda: False
    )
    answer = await channel.webhook(*server.signed(command(server)))

    assert json.loads(answer.body)["data"]["flags"] == 64


async def test_a_command_in_a_server_names_its_author_there(
    server: DiscordServer, core: Core, channel: Discord
) -> None:
    use = server.state.use_command(
        server.state.add_channel("town"), "usage", "", user="ada"
    )
    use["member"]["nick"] = "Ada of Town"
    await channel.webhook(*server.signed(use))

    assert [(i.username, i.direct, text_of(i)) for i in core.accepted] == [
        ("Ada of Town", False, "/usage")
    ]


async def test_a_replayed_delivery_is_the_same_message(
    server: DiscordServer, core: Core, channel: Discord
) -> None:
    delivery = server.signed(command(server))
    for _ in range(4):
        await channel.webhook(*delivery)

    assert core.texts == ["/help"]


@pytest.mark.parametrize("seconds", [-301, 301])
async def test_a_stale_delivery_is_refused(
    server: DiscordServer,
    core: Core,
    channel: Discord,
    seconds: int,
) -> None:
    delivery = server.signed(command(server), at=time.time() + seconds)
    assert ((await channel.webhook(*delivery)).status, core.accepted) == (401, [])


async def test_another_applications_signature_is_refused(
    server: DiscordServer, core: Core, channel: Discord
) -> None:
    other = DiscordServer()
    delivery = other.signed(command(server))

    assert ((await channel.webhook(*delivery)).status, core.accepted) == (401, [])


async def test_none_of_ten_thousand_mutations_is_accepted(
    server: DiscordServer, core: Core, channel: Discord
) -> None:
    chance = random.Random(20261101)
    headers, body = server.signed(command(server))
    statuses = set()
    for _ in range(10_000):
        statuses.add((await channel.webhook(*mutate(chance, headers, body))).status)

    assert (statuses, core.offered) == ({401}, 0)
    assert (await channel.webhook(headers, body)).status == 200


def mutate(
    chance: random.Random, headers: Headers, body: bytes
) -> tuple[Headers, bytes]:
    """The delivery with one thing changed: a bit, a character's spelling, a header left
    out, bytes moved.
    """
    changed, name = dict(headers), chance.choice(sorted(headers))
    at = chance.randrange(len(body))

    match chance.randrange(6):
        case 0:
            body = (
                body[:at]
                + bytes([body[at] ^ 1 << chance.randrange(8)])
                + body[at + 1 :]
            )
        case 1:
            body = body[:at] + chance.choice([b" ", b"\0", b"}", b"\n"]) + body[at:]
        case 2:
            body = body[:at]
        case 3:
            del changed[name]
        case 4:
            value = headers[name]
            place = chance.randrange(len(value))
            other = chance.choice(
                [c for c in "0123456789abcdefABCDEF +" if c != value[place]]
            )
            changed[name] = value[:place] + other + value[place + 1 :]
        case _:
            changed[name] = chance.choice(
                [headers[name] + " ", " " + headers[name], headers[name] + "0"]
            )

    return changed, body


async def test_without_a_public_key_there_is_no_endpoint(
    server: DiscordServer,
) -> None:
    assert (
        await make_channel(server).webhook(*server.signed(command(server)))
    ).status == 404


@pytest.mark.parametrize("key", ["not hex", "abcd"])
def test_a_wrong_public_key_is_named(server: DiscordServer, key: str) -> None:
    with pytest.raises(ConfigurationError, match="DISCORD_PUBLIC_KEY"):
        make_channel(server, public_key=key)
