"""An instance died over a draft before it recorded where: what finally stands in the chat."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from agent.core.messages import Address, Placed, Said
from channels.discord.reply import PART as DISCORD_PART
from channels.slack.reply import PART as SLACK_PART
from channels.telegram.reply import PART as TELEGRAM_PART
from tests.support.platforms.discord import DiscordServer
from tests.support.platforms.discord.listening import make_channel, reply_to
from tests.support.platforms.slack import SlackServer
from tests.support.platforms.slack.agent import slack
from tests.support.platforms.slack.answers import direct, screen, thread
from tests.support.platforms.telegram import TelegramServer
from tests.support.platforms.telegram.answers import patient_channel, reply

ANNOUNCED = Placed((), pending=True)
"""What the store knows: a draft was about to be shown."""

OTHERS = "Another answer."

places = pytest.mark.parametrize("place", [direct, thread])


# --- Slack: looked up by metadata, and by streams that are open ---------------


@places
@pytest.mark.parametrize("also_shows", [False, True])
async def test_slack_finds_the_draft_and_goes_on_with_it(
    space: SlackServer, place: Any, *, also_shows: bool
) -> None:
    address = place(space)
    turns = [uuid4(), uuid4()]
    await slack(space).reply(address, None, turns).show("Half")

    again = slack(space).reply(address, ANNOUNCED, turns)
    if also_shows:
        await again.show("Someth")
    await again.finish("Something else.")

    assert ["Something else."] == screen(space, address)
    assert not [m for m in space.space.of_agent(address.chat) if m.streaming_since]


@pytest.mark.parametrize("covers", [[0], [1], [0, 1, 2]])
async def test_slack_finds_it_by_each_turn_that_it_answers(
    space: SlackServer, covers: list[int]
) -> None:
    address = direct(space)
    turns = [uuid4(), uuid4(), uuid4()]
    await slack(space).reply(address, None, turns[:2]).show("Half")

    again = slack(space).reply(address, ANNOUNCED, [turns[n] for n in covers])
    await again.finish("Whole.")

    assert ["Whole."] == screen(space, address)


async def test_slack_removes_what_the_draft_had_more(space: SlackServer) -> None:
    address = direct(space)
    turns = [uuid4()]
    await slack(space).reply(address, None, turns).show("word " * 3_000)
    assert len(screen(space, address)) == 2

    await slack(space).reply(address, ANNOUNCED, turns).finish("Short.")

    assert ["Short."] == screen(space, address)


async def test_slack_leaves_other_answers_alone(space: SlackServer) -> None:
    address = direct(space)
    await slack(space).reply(address, None, [uuid4()]).finish(OTHERS)

    await slack(space).reply(address, ANNOUNCED, [uuid4()]).finish("Whole.")

    assert [OTHERS, "Whole."] == screen(space, address)


async def test_slack_says_so_where_it_may_not_look(space: SlackServer) -> None:
    address = direct(space)
    turns = [uuid4()]
    await slack(space).reply(address, None, turns).show("Half")
    space.space.scopes -= {"im:history"}

    again = slack(space).reply(address, ANNOUNCED, turns)
    await again.show("Something")
    await again.finish("Something else.")

    assert ["Half", f"{SLACK_PART}Something else."] == screen(space, address)


# --- Discord: the same nonce, later the history -------------------------------


@pytest.fixture
def question(discord: DiscordServer) -> Said:
    chat = discord.state.add_channel("town")
    message = discord.state.say(chat, "what?", user="ada")["id"]
    address = Address("discord", chat, message=message, extra={"quote": "yes"})

    return Said(address, message, "1", "what?")


@pytest.mark.parametrize("also_shows", [False, True])
async def test_discord_goes_on_with_the_draft(
    discord: DiscordServer, question: Said, *, also_shows: bool
) -> None:
    await reply_to(make_channel(discord), question).show("Half")

    again = reply_to(make_channel(discord), question, ANNOUNCED)
    if also_shows:
        await again.show("Someth")
    await again.finish("Something else.")

    assert ["Something else."] == discord.screen(question.address.chat)


async def test_discord_finds_the_draft_in_the_history_later(
    discord: DiscordServer, question: Said
) -> None:
    await reply_to(make_channel(discord), question).show("Half")
    discord.state.nonces.clear()

    await reply_to(make_channel(discord), question, ANNOUNCED).finish(
        "Half and whole."
    )

    assert ["Half and whole."] == discord.screen(question.address.chat)


@pytest.mark.parametrize("also_shows", [False, True])
async def test_discord_says_so_where_nobody_can_tell(
    discord: DiscordServer, question: Said, *, also_shows: bool
) -> None:
    """The nonce is forgotten, and the model wrote something else this time."""
    await reply_to(make_channel(discord), question).show("Half")
    discord.state.nonces.clear()

    again = reply_to(make_channel(discord), question, ANNOUNCED)
    if also_shows:
        await again.show("Someth")
    for _ in range(2):
        await again.finish("Something else.")

    shown = discord.screen(question.address.chat)

    assert ["Half", f"{DISCORD_PART}Something else."] == shown


async def test_discord_says_so_where_it_may_not_look(
    discord: DiscordServer, question: Said
) -> None:
    discord.state.hidden_history.add(question.address.chat)

    await reply_to(make_channel(discord), question, ANNOUNCED).finish("Whole.")

    assert [f"{DISCORD_PART}Whole."] == discord.screen(question.address.chat)


async def test_discord_adds_no_label_where_nothing_stands(
    discord: DiscordServer, question: Said
) -> None:
    await reply_to(make_channel(discord), question, ANNOUNCED).finish("Whole.")

    assert ["Whole."] == discord.screen(question.address.chat)


# --- Telegram: a bot cannot look ----------------------------------------------


@pytest.mark.parametrize("also_shows", [False, True])
async def test_telegram_says_so_in_groups(
    telegram: TelegramServer, *, also_shows: bool
) -> None:
    group = telegram.group("Engines")
    await reply(patient_channel(telegram), group).show("Half")

    again = reply(patient_channel(telegram), group, placed=ANNOUNCED)
    if also_shows:
        await again.show("Someth")
    placed = await again.finish("Something else.")

    assert ["Half", f"{TELEGRAM_PART}Something else."] == group.screen()

    edited = reply(patient_channel(telegram), group, placed=placed)
    await edited.finish("Something else, edited.")

    assert ["Half", f"{TELEGRAM_PART}Something else, edited."] == group.screen()


async def test_telegram_says_so_where_more_may_stand_than_is_known(
    telegram: TelegramServer,
) -> None:
    group = telegram.group("Engines")
    known = await reply(patient_channel(telegram), group).show("Half")
    assert known is not None

    again = reply(
        patient_channel(telegram), group, placed=Placed(known.ids, pending=True)
    )
    await again.finish("word " * 1_600)

    assert [False, True] == [x.startswith(TELEGRAM_PART) for x in group.screen()]


async def test_private_drafts_of_telegram_leave_nothing(
    telegram: TelegramServer,
) -> None:
    ada = telegram.private("ada")
    first = reply(patient_channel(telegram), ada)
    await first.show("Half")
    assert not first.drafts_stand

    await reply(patient_channel(telegram), ada).finish("Something else.")

    assert ["Something else."] == ada.screen()
