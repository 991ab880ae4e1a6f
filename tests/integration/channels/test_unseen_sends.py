"""Nobody knows whether a message arrived: it is looked for before it is sent again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from agent.core.errors import DeliveryError, Undeliverable
from agent.core.messages import Address, Placed, Said
from agent.ports import Reply
from channels.unseen import MOST_UNSEEN
from tests.support.platforms.discord import DiscordServer
from tests.support.platforms.discord.listening import make_channel, reply_to
from tests.support.platforms.slack import Fault, SlackServer
from tests.support.platforms.slack.agent import slack
from tests.support.platforms.slack.answers import (
    TURN,
    direct,
    methods,
    screen,
    thread,
)
from tests.support.platforms.telegram import TelegramServer
from tests.support.platforms.telegram.answers import patient_channel
from tests.support.platforms.telegram.answers import reply as telegram_reply

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
async def telegram() -> AsyncIterator[TelegramServer]:
    async with TelegramServer() as server:
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


# --- copies are few, where nobody can look ------------------------------------


@pytest.mark.parametrize("in_group", [False, True])
async def test_telegram_gets_few_copies_of_an_answer(
    telegram: TelegramServer, *, in_group: bool
) -> None:
    chat = telegram.group("Engines") if in_group else telegram.private("ada")
    telegram.cut("sendMessage", times=99)
    answer = telegram_reply(patient_channel(telegram), chat)
    if in_group:
        for text in ("Who", "Whol", "Whole"):
            await answer.show(text)

    error = await _insist(answer)

    assert "may have it" in error.sentence
    assert MOST_UNSEEN == telegram.count("sendMessage") == len(chat.screen())


async def test_telegram_gets_no_copy_before_its_replies_arrive_again(
    telegram: TelegramServer,
) -> None:
    ada = telegram.private("ada")
    for method in ("sendMessage", "getMe"):
        telegram.cut(method, times=3)
    answer = telegram_reply(patient_channel(telegram), ada)
    for _ in range(4):
        with pytest.raises(DeliveryError):
            await answer.finish("Whole.")

    assert 1 == telegram.count("sendMessage")


async def test_slack_gets_few_copies_where_nobody_may_look(
    space: SlackServer,
) -> None:
    address = direct(space)
    space.space.scopes -= {"im:history"}
    _lose(space, "chat.postMessage")
    answer = slack(space).reply(address, None, [TURN])
    await answer.show("Who")

    error = await _insist(answer)

    assert "may have it" in error.sentence
    assert MOST_UNSEEN == len(screen(space, address))


async def test_slack_is_tried_on_where_the_history_tells(space: SlackServer) -> None:
    """Lost on the way there, not on the way back: nothing arrived."""
    address = direct(space)
    answer = slack(space).reply(address, None, [TURN])
    for _ in range(2 * MOST_UNSEEN):
        _lose(space, "chat.postMessage", times=1)
        with pytest.raises(DeliveryError) as raised:
            await answer.finish("Whole.")
        assert not isinstance(raised.value, Undeliverable)
        space.space.chats[address.chat].pop()
    await answer.finish("Whole.")

    assert ["Whole."] == screen(space, address)


async def test_slack_gets_few_copies_of_a_commands_answer(space: SlackServer) -> None:
    address = thread(space)
    command = replace(address, extra={**address.extra, "command": "1"})
    _lose(space, "chat.postEphemeral")

    error = await _insist(slack(space).reply(command, None, [TURN]))

    assert "may have it" in error.sentence
    assert MOST_UNSEEN == methods(space).count("chat.postEphemeral")


def _lose(space: SlackServer, method: str, *, times: int = 99) -> None:
    space.space.faults.append(Fault("", method=method, lost=True, times=times))


async def _insist(answer: Reply) -> Undeliverable:
    """Tries until the answer is given up."""
    for _ in range(3 * MOST_UNSEEN):
        try:
            await answer.finish("Whole.")
        except Undeliverable as error:
            return error
        except DeliveryError:
            continue

        break

    pytest.fail("The answer was not given up.")
