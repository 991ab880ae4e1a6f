"""Nobody knows whether a message arrived: it is looked for before it is sent again."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from agent.core.errors import DeliveryError, Undeliverable
from agent.core.messages import Address, Placed, Said
from tests.support.platforms.discord import DiscordServer
from tests.support.platforms.discord.listening import make_channel, reply_to
from tests.support.platforms.slack import Fault, SlackServer
from tests.support.platforms.slack.agent import slack
from tests.support.platforms.slack.answers import TURN, direct, screen

ANNOUNCED = Placed((), pending=True)
"""What the store knows: a draft was about to be shown."""

PASSING = ["", "internal_error", "token_expired"]
"""Why Slack may not say what stands there; "" cuts the line."""


@pytest.fixture
async def space() -> AsyncIterator[SlackServer]:
    async with SlackServer(frozen=True).running() as server:
        yield server


@pytest.fixture
async def discord() -> AsyncIterator[DiscordServer]:
    async with DiscordServer() as server:
        yield server


@pytest.fixture
def question(discord: DiscordServer) -> Said:
    chat = discord.state.add_channel("town")
    message = discord.state.say(chat, "what?", user="ada")["id"]
    address = Address("discord", chat, message=message, extra={"quote": "yes"})

    return Said(address, message, "1", "what?")


# --- a look-up that fails for now is made again -------------------------------


@pytest.mark.parametrize("repeat", [False, True])
async def test_discord_is_asked_again_what_stands_there(
    discord: DiscordServer, question: Said, *, repeat: bool
) -> None:
    chat = question.address.chat
    await reply_to(make_channel(discord), question).finish("Whole.")
    discord.state.nonces.clear()
    discord.faults.unread[chat] = 1

    placed = None if repeat else ANNOUNCED
    again = reply_to(make_channel(discord), question, placed, repeat=repeat)
    with pytest.raises(DeliveryError) as raised:
        await again.finish("Whole.")
    await again.finish("Whole.")

    assert not isinstance(raised.value, Undeliverable)
    assert ["Whole."] == discord.screen(chat)


@pytest.mark.parametrize("code", PASSING)
@pytest.mark.parametrize("repeat", [False, True])
async def test_slack_is_asked_again_what_stands_there(
    space: SlackServer, code: str, *, repeat: bool
) -> None:
    address = direct(space)
    await slack(space).reply(address, None, [TURN]).finish("Whole.")
    _hide(space, code)

    placed = None if repeat else ANNOUNCED
    again = slack(space).reply(address, placed, [TURN], repeat=repeat)
    with pytest.raises(DeliveryError) as raised:
        await again.finish("Whole.")
    await again.finish("Whole.")

    assert not isinstance(raised.value, Undeliverable)
    assert ["Whole."] == screen(space, address)


@pytest.mark.parametrize("code", PASSING)
async def test_slack_shows_no_draft_before_it_said_what_stands_there(
    space: SlackServer, code: str
) -> None:
    address = direct(space)
    await slack(space).reply(address, None, [TURN]).show("Half")
    _hide(space, code)

    again = slack(space).reply(address, ANNOUNCED, [TURN])
    await again.show("Someth")
    await again.finish("Something else.")

    assert ["Something else."] == screen(space, address)


def _hide(space: SlackServer, code: str) -> None:
    method = "conversations.history"
    space.space.faults.append(Fault(code, method=method, lost=not code))
