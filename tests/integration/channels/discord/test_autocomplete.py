"""While somebody types behind `/model`, Discord is told which models it may become."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from agent.core.channel import ChannelSettings
from agent.core.words.model_lists import MAX_MENU, ModelList
from channels.discord.commands import definition
from channels.services import names_of
from tests.support.platforms.discord import DiscordServer
from tests.support.platforms.discord.listening import Core, make_channel, running

LONG = "x" * 101
"""Longer than what Discord takes."""


class Models:
    """Models of two providers, one of which is away."""

    async def listed(self, seconds: float) -> dict[str, ModelList]:
        many = tuple(f"m{n:03}" for n in range(100))
        return {
            "lab": ModelList(("gpt-5", "qwen3", LONG)),
            "many": ModelList(many),
            "away": ModelList(problem="away cannot be reached.", answered=False),
        }

    async def objection(self, model: str, seconds: float) -> str:
        return ""


class Control:
    """What an operator set for every channel."""

    epoch = 0

    def __init__(self, allowed: Sequence[str] = ()) -> None:
        self._settings = ChannelSettings(allowed_models=tuple(allowed))

    def channel(self, name: str) -> ChannelSettings:
        return self._settings


@pytest.fixture
async def server() -> AsyncIterator[DiscordServer]:
    async with DiscordServer() as server:
        yield server


def typed(server: DiscordServer, text: str) -> dict[str, Any]:
    """What Discord sends at each letter."""
    use = server.state.use_command(
        server.state.add_direct("ada"), "model", text, user="ada"
    )
    for option in use["data"].get("options", ()):
        option["focused"] = True

    return use | {"type": 4}


def offered(response: Any) -> list[str]:
    assert 8 == response["type"]
    choices = response["data"]["choices"]
    assert choices == [
        {"name": each["value"], "value": each["value"]} for each in choices
    ]

    return [each["value"] for each in choices]


async def over_http(
    server: DiscordServer, text: str, allowed: Sequence[str] = ()
) -> list[str]:
    channel = make_channel(
        server,
        public_key=server.public_key,
        model_names=names_of(Models(), Control(allowed)),
    )
    answer = await channel.webhook(*server.signed(typed(server, text)))

    return offered(json.loads(answer.body))


@pytest.mark.parametrize(
    ("text", "first"),
    [("gpt", "lab:gpt-5"), ("gtp-5", "lab:gpt-5"), ("many:m01", "many:m010")],
)
async def test_what_is_near_is_offered(
    server: DiscordServer, text: str, first: str
) -> None:
    assert first == (await over_http(server, text))[0]


async def test_no_more_is_offered_than_discord_takes(server: DiscordServer) -> None:
    every = await over_http(server, "")
    same = await over_http(server, "many:")

    assert (MAX_MENU - 1, MAX_MENU) == (len(every), len(same))
    assert f"lab:{LONG}" not in every


async def test_only_what_is_allowed_is_offered(server: DiscordServer) -> None:
    allowed = ["lab:qwen3", "lab:gone"]
    assert ["lab:qwen3"] == await over_http(server, "", allowed)


async def test_over_the_gateway_it_is_no_message(server: DiscordServer) -> None:
    """The response goes to Discord's callback; nothing is taken in."""
    core = Core(server)
    names = names_of(Models(), Control())
    async with running(make_channel(server, model_names=names), core):
        use = typed(server, "qwen")
        server._dispatch("INTERACTION_CREATE", use)
        interaction = server.state.interactions[use["token"]]
        await server.until(lambda: interaction.response is not None)

    assert "lab:qwen3" == offered(interaction.response)[0]
    assert [] == core.accepted


def test_the_argument_of_model_alone_is_completed() -> None:
    completed = {
        command["name"]
        for command in definition()
        for option in command["options"]
        if option.get("autocomplete")
    }
    assert {"model"} == completed
