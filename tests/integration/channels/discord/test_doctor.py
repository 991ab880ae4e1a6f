"""`agent doctor` finds out why Discord is silent; `agent setup discord` leads to a bot that
is not.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any
from urllib.parse import parse_qs, urlparse

import pytest

from agent.core.errors import ConfigurationError
from channels.discord.permissions import (
    MESSAGE_CONTENT_LIMITED,
    PERMISSIONS,
    channel_bits,
    missing,
)
from channels.discord.setup import QUESTIONS, after, before
from tests.support.platforms.discord import DiscordServer
from tests.support.platforms.discord.listening import make_channel


@pytest.fixture
async def server() -> AsyncIterator[DiscordServer]:
    async with DiscordServer() as server:
        server.state.add_channel("town")
        yield server


async def problems(server: DiscordServer, **options: Any) -> str:
    """All findings as text; each names its remedy."""
    findings = await make_channel(server, **options).diagnose()
    assert all(finding.part == "discord" and finding.remedy for finding in findings)
    return "\n".join(f"{finding.problem} -> {finding.remedy}" for finding in findings)


async def seen(server: DiscordServer, channel: str) -> Mapping[str, str]:
    return dict.fromkeys(server.state.channels, "1")


async def test_nothing_is_said_when_all_is_well(server: DiscordServer) -> None:
    async def last_accepted(channel: str) -> Mapping[str, str]:
        return await seen(server, channel)

    server.state.add_thread(next(iter(server.state.channels)), "plans")
    server.state.add_direct("ada")

    assert (
        await problems(
            server, public_key=server.public_key, last_accepted=last_accepted
        )
        == ""
    )


async def test_a_wrong_token_is_named_and_not_shown(server: DiscordServer) -> None:
    found = await problems(server, token="secret-secret")

    assert "DISCORD_TOKEN" in found
    assert "secret-secret" not in found


async def test_a_missing_intent_is_named_with_its_page(server: DiscordServer) -> None:
    server.state.application["flags"] = 0
    found = await problems(server)

    assert "MESSAGE CONTENT INTENT" in found
    assert "https://discord.com/developers/applications/1/bot" in found


async def test_a_bot_that_was_not_invited_is_given_its_link(
    server: DiscordServer,
) -> None:
    server.state.in_guild = False
    assert "https://discord.com/oauth2/authorize?client_id=1" in await problems(
        server
    )


async def test_permissions_missing_in_the_server_are_named(
    server: DiscordServer,
) -> None:
    server.state.permissions &= ~PERMISSIONS["Send Messages in Threads"]
    assert (
        "In the server Town the agent lacks Send Messages in Threads."
        in await problems(server)
    )


async def test_permissions_that_a_channel_takes_away_are_named(
    server: DiscordServer,
) -> None:
    async def last_accepted(channel: str) -> Mapping[str, str]:
        return await seen(server, channel)

    town = next(iter(server.state.channels))
    denied = {
        "id": "10",
        "type": 0,
        "allow": "0",
        "deny": str(PERMISSIONS["Send Messages"]),
    }
    server.state.channels[town]["permission_overwrites"] = [denied]
    found = await problems(server, last_accepted=last_accepted)

    assert (
        found
        == "In the channel town the agent lacks Send Messages. -> Edit Channel > Permissions"
    )


async def test_a_channel_that_cannot_be_seen_any_more_is_named(
    server: DiscordServer,
) -> None:
    async def last_accepted(channel: str) -> Mapping[str, str]:
        return await seen(server, channel)

    town = next(iter(server.state.channels))
    server.state.refused[town] = (50001, "Missing Access")

    assert f"can no longer see the channel {town}" in await problems(
        server, last_accepted=last_accepted
    )


async def test_commands_that_go_elsewhere_are_found(server: DiscordServer) -> None:
    server.state.application["interactions_endpoint_url"] = (
        "https://old.example/webhooks/discord"
    )
    assert "https://old.example/webhooks/discord" in await problems(server)
    set_up = {"public_url": "https://bot.example", "public_key": server.public_key}
    found = await problems(server, **set_up)

    assert "does not send commands to https://bot.example/webhooks/discord" in found


async def test_another_applications_public_key_is_found(
    server: DiscordServer,
) -> None:
    assert "DISCORD_PUBLIC_KEY" in await problems(
        server, public_key=DiscordServer().public_key
    )


async def test_an_unreachable_server_is_named(server: DiscordServer) -> None:
    assert "DISCORD_API_URL" in await problems(
        server, api_url="http://127.0.0.1:9/api/v10"
    )


@pytest.mark.parametrize(
    ("overwrites", "lacking"),
    [
        ({"everyone": (0, "View Channels")}, ["View Channels"]),
        ({"everyone": (0, "View Channels"), "role": ("View Channels", 0)}, []),
        ({"role": (0, "Send Messages"), "member": ("Send Messages", 0)}, []),
        (
            {"member": (0, "Send Messages"), "everyone": ("Send Messages", 0)},
            ["Send Messages"],
        ),
    ],
)
def test_overwrites_count_foreveryone_then_roles_then_the_member(
    overwrites: dict[str, tuple[Any, Any]], lacking: list[str]
) -> None:
    """The order that Discord's documentation gives."""
    bits = channel_bits(
        sum(PERMISSIONS.values()),
        [
            {
                "id": id,
                "allow": str(PERMISSIONS.get(allow, 0)),
                "deny": str(PERMISSIONS.get(deny, 0)),
            }
            for id, (allow, deny) in overwrites.items()
        ],
        guild="everyone",
        member="member",
        roles=["role"],
    )
    assert missing(bits) == lacking


def test_an_administrator_lacks_nothing() -> None:
    assert missing(1 << 3) == []


async def test_setup_invites_with_exactly_what_is_needed(
    server: DiscordServer,
) -> None:
    answers = {"DISCORD_TOKEN": server.token, "DISCORD_API_URL": server.api_url}
    steps = await after(answers)
    link = next(
        word
        for word in steps.split()
        if word.startswith("https://discord.com/oauth2")
    )
    query = parse_qs(urlparse(link).query)

    assert query["permissions"] == [str(sum(PERMISSIONS.values()))]
    assert query["scope"] == ["bot applications.commands"]
    assert "MESSAGE CONTENT" not in steps


@pytest.mark.parametrize("may", [True, False])
async def test_setup_switches_the_intent_on_or_says_where(
    server: DiscordServer, may: bool
) -> None:
    server.state.application["flags"] = 0
    server.may_set_flags = may
    steps = await after(
        {"DISCORD_TOKEN": server.token, "DISCORD_API_URL": server.api_url}
    )

    assert bool(server.state.application["flags"] & MESSAGE_CONTENT_LIMITED) is may
    assert ("https://discord.com/developers/applications/1/bot" in steps) is not may


async def test_setup_refuses_a_wrong_token_without_showing_it(
    server: DiscordServer,
) -> None:
    with pytest.raises(ConfigurationError, match="DISCORD_TOKEN") as raised:
        await after(
            {"DISCORD_TOKEN": "secret-secret", "DISCORD_API_URL": server.api_url}
        )

    assert "secret-secret" not in raised.value.sentence


async def test_setup_says_when_discord_cannot_be_reached() -> None:
    with pytest.raises(ConfigurationError, match="DISCORD_API_URL"):
        await after(
            {"DISCORD_TOKEN": "x", "DISCORD_API_URL": "http://127.0.0.1:9/api/v10"}
        )


def test_setup_begins_with_numbered_steps_and_asks_for_the_token() -> None:
    assert [line[:2] for line in before().splitlines() if line[:1].isdigit()] == [
        "1.",
        "2.",
        "3.",
    ]
    assert [question.setting for question in QUESTIONS] == ["DISCORD_TOKEN"]
