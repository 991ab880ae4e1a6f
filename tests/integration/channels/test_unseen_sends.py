"""Nobody knows whether a message arrived: it is looked for before it is sent again."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest
from msgspec.structs import replace

from agent.core.errors import DeliveryError, Undeliverable
from agent.core.messages import Address, Placed, Said
from agent.ports import Reply
from channels.discord.reply import REPEAT as DISCORD_REPEAT
from channels.pacing import Governor
from channels.slack.reply import EphemeralReply
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


@pytest.mark.parametrize(
    "reply", ["", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"]
)
async def test_slack_gets_a_commands_answer_in_another_way_when_its_url_goes_silent(
    space: SlackServer, reply: str
) -> None:
    """The line is cut before the platform's reply, or within it."""
    asked = 0

    async def cut(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        asked += 1
        writer.write(reply.encode())
        await writer.drain()
        writer.close()

    channel, address = slack(space), thread(space)
    async with await asyncio.start_server(cut, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        answer = EphemeralReply(
            api=channel._api,
            governor=Governor(),
            address=address,
            url=f"http://127.0.0.1:{port}",
        )
        _lose(space, "chat.postEphemeral", times=1)
        with pytest.raises(DeliveryError):
            await answer.finish("Whole.")
        await answer.finish("Whole.")

    assert (1, 2) == (asked, methods(space).count("chat.postEphemeral"))


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


# --- Discord forgets a nonce, and the history tells ---------------------------


class Clock:
    """A clock that the test moves, of the server and of the agent."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(discord: DiscordServer) -> Clock:
    moved = Clock()
    discord.state.clock = moved

    return moved


SHORT = "Whole."
LONG = "word " * 900  # three messages


@pytest.mark.parametrize("text", [SHORT, LONG])
@pytest.mark.parametrize("minutes", [0, 10])
@pytest.mark.parametrize("direct", [False, True])
async def test_discord_gets_no_second_copy_in_the_same_process(
    discord: DiscordServer,
    question: Said,
    clock: Clock,
    text: str,
    minutes: int,
    *,
    direct: bool,
) -> None:
    chat = question.address.chat
    asked = replace(question.address, extra={}) if direct else question.address
    answer = reply_to(
        make_channel(discord, clock=clock), replace(question, address=asked)
    )
    for _ in range(8):
        discord.faults.swallowed[chat] = 1
        with suppress(DeliveryError):
            await answer.finish(text)
        clock.now += 60 * minutes
    discord.faults.swallowed.clear()
    placed = await answer.finish(text)

    assert text.split() == " ".join(discord.screen(chat)).split()
    assert len(placed.ids) == len(discord.screen(chat))


async def test_discord_gets_no_second_copy_of_a_draft(
    discord: DiscordServer, question: Said, clock: Clock
) -> None:
    chat = question.address.chat
    discord.faults.swallowed[chat] = 1
    answer = reply_to(make_channel(discord, clock=clock), question)
    for text in ("Who", "Whol", "Whole"):
        await answer.show(text)
        clock.now += 600
    await answer.finish("Whole.")

    assert ["Whole."] == discord.screen(chat)
    assert discord.calls.count(("POST", chat)) == 1


async def test_discord_is_not_sent_to_again_before_it_said_what_arrived(
    discord: DiscordServer, question: Said, clock: Clock
) -> None:
    chat = question.address.chat
    discord.faults.swallowed[chat], discord.faults.unread[chat] = 1, 3
    answer = reply_to(make_channel(discord, clock=clock), question)
    for _ in range(4):
        with pytest.raises(DeliveryError):
            await answer.finish("Whole.")
        clock.now += 600

    assert discord.calls.count(("POST", chat)) == 1


async def test_discord_leaves_another_answer_with_the_same_text_alone(
    discord: DiscordServer, question: Said, clock: Clock
) -> None:
    """Discord failed to take the first one; another question got the same answer."""
    chat = question.address.chat
    first = reply_to(make_channel(discord, clock=clock), question)
    discord.faults.failures[chat] = 1
    with pytest.raises(DeliveryError):
        await first.finish("Yes.")

    message = discord.state.say(chat, "really?", user="bob")["id"]
    other = Said(replace(question.address, message=message), message, "2", "really?")
    await reply_to(make_channel(discord), other).finish("Yes.")
    await first.finish("Yes.")

    assert ["Yes."] * 2 == discord.screen(chat)


@pytest.mark.parametrize(("seconds", "label"), [(1, ""), (600, DISCORD_REPEAT)])
async def test_discord_labels_what_it_may_not_look_for_and_may_have_forgotten(
    discord: DiscordServer, question: Said, clock: Clock, seconds: int, label: str
) -> None:
    chat = question.address.chat
    discord.state.hidden_history.add(chat)
    discord.faults.swallowed[chat] = 1
    answer = reply_to(make_channel(discord, clock=clock), question)
    with pytest.raises(DeliveryError):
        await answer.finish("Whole.")
    clock.now += seconds
    await answer.finish("Whole.")

    assert f"{label}Whole." == discord.screen(chat)[-1]
    assert len(discord.screen(chat)) == (2 if label else 1)


async def test_discord_gets_few_copies_where_nobody_may_look(
    discord: DiscordServer, question: Said
) -> None:
    chat = question.address.chat
    discord.state.hidden_history.add(chat)
    discord.state.nonce_seconds = -1
    discord.faults.swallowed[chat] = 99

    error = await _insist(reply_to(make_channel(discord), question))

    assert "may have it" in error.sentence
    assert MOST_UNSEEN == len(discord.screen(chat))
