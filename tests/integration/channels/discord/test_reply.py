"""An answer on Discord arrives whole, once, within Discord's limits, and pings nobody."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import pytest
from msgspec.structs import replace

from agent.core.errors import DeliveryError, Undeliverable
from agent.core.messages import Address, Inbound, Said
from channels.discord.channel import Discord
from channels.discord.reading.sent import NO_MENTIONS, BotMessages, nonce
from channels.discord.reply import REPEAT
from channels.pacing import RateLimited
from tests.support.platforms.discord import DiscordServer
from tests.support.platforms.discord.listening import make_channel, reply_to
from tests.support.platforms.discord.values import Limit

CODE = (
    "Look:\n\n```python\n" + "print('a line of code')\n" * 350 + "```\n\nThat was it."
)


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def server() -> AsyncIterator[DiscordServer]:
    async with DiscordServer() as server:
        yield server


@pytest.fixture
def channel(server: DiscordServer) -> Discord:
    return make_channel(server)


@pytest.fixture
def question(server: DiscordServer) -> Said:
    """Asked in a group."""
    return ask(server, server.state.add_channel("town"), extra={"quote": "yes"})


def ask(
    server: DiscordServer,
    chat: str,
    extra: dict[str, str] | None = None,
) -> Said:
    message = server.state.say(chat, "what?", user="ada")
    address = Address(
        channel="discord", chat=chat, message=message["id"], extra=extra or {}
    )
    return Said(
        address=address,
        message_id=message["id"],
        user_id="1",
        text="what?",
    )


def written(server: DiscordServer, inbound: Inbound) -> list[str]:
    return server.screen(inbound.address.chat)


async def test_an_answer_grows_in_one_message(
    server: DiscordServer, question: Inbound
) -> None:
    clock = Clock()
    reply = reply_to(make_channel(server, clock=clock), question)
    placed = await reply.show("Once")
    assert placed is not None
    clock.now += 2

    assert await reply.show("Once upon a") == placed
    assert written(server, question) == ["Once upon a"]
    assert await reply.finish("Once upon a time.") == placed
    assert written(server, question) == ["Once upon a time."]
    assert server.state.revisions[question.address.chat] == 3


async def test_edits_that_come_too_soon_are_not_sent(
    server: DiscordServer, question: Inbound
) -> None:
    clock = Clock()
    reply = reply_to(make_channel(server, clock=clock), question)
    for text in ("a", "a b", "a b c"):
        await reply.show(text)
        clock.now += 0.5

    assert server.state.revisions[question.address.chat] == 1


async def test_a_long_answer_with_code_is_split_and_every_piece_is_whole_markdown(
    server: DiscordServer, channel: Discord, question: Inbound
) -> None:
    placed = await reply_to(channel, question).finish(CODE)
    pieces = written(server, question)

    assert len(placed.ids) == len(pieces) > 4
    assert {piece.count("```") % 2 for piece in pieces} == {0}
    assert "".join(pieces).count("print('a line of code')") == 350


async def test_finishing_again_changes_nothing(
    server: DiscordServer, channel: Discord, question: Inbound
) -> None:
    reply = reply_to(channel, question)
    assert await reply.finish(CODE) == await reply.finish(CODE)
    once = written(server, question)
    await reply_to(channel, question).finish(CODE)

    assert written(server, question) == once


async def test_a_shorter_answer_takes_back_what_the_draft_needed_more(
    server: DiscordServer, channel: Discord, question: Inbound
) -> None:
    reply = reply_to(channel, question)
    await reply.show("word " * 700)
    placed = await reply.finish("Sorry, that went wrong.")

    assert (written(server, question), len(placed.ids)) == (
        ["Sorry, that went wrong."],
        1,
    )


async def test_another_instance_finishes_what_one_placed(
    server: DiscordServer, question: Inbound
) -> None:
    placed = await reply_to(make_channel(server), question).show("Half of")
    assert placed is not None
    done = await reply_to(make_channel(server), question, placed).finish(
        "Half of it and the rest."
    )

    assert (done, written(server, question)) == (placed, ["Half of it and the rest."])


async def test_a_send_whose_answer_was_lost_is_not_repeated(
    server: DiscordServer, channel: Discord, question: Inbound
) -> None:
    """The nonce tells Discord that it is the same; a text that has grown since is put in
    its place.
    """
    server.faults.swallowed[question.address.chat] = 1
    assert await reply_to(channel, question).show("Half") is None
    await reply_to(channel, question).finish("Half and whole")

    assert written(server, question) == ["Half and whole"]


async def test_after_the_nonce_is_forgotten_an_earlier_send_is_recognised(
    server: DiscordServer, channel: Discord, question: Inbound
) -> None:
    await reply_to(channel, question).finish(CODE)
    server.state.nonces.clear()
    once = written(server, question)
    await reply_to(channel, question, repeat=True).finish(CODE)

    assert written(server, question) == once


@pytest.mark.parametrize("talk", [99, 100, 250])
async def test_an_earlier_send_is_recognised_below_much_talk(
    server: DiscordServer, channel: Discord, question: Inbound, talk: int
) -> None:
    """People went on talking before the answer came: one page of history does not reach it."""
    for number in range(talk):
        server.state.say(question.address.chat, f"{number}", user="bob")

    await reply_to(channel, question).finish("Hello.")
    server.state.nonces.clear()
    once = written(server, question)
    await reply_to(channel, question, repeat=True).finish("Hello.")

    assert written(server, question) == once == ["Hello."]


async def test_history_that_is_interrupted_is_read_on() -> None:
    asked: list[str] = []

    async def ask(query: str) -> object:
        asked.append(query)
        if len(asked) == 2:
            raise RateLimited(1.0)

        first = int(query.partition("after=")[2].partition("&")[0])
        return [_bot(first + at) for at in range(100 if first < 200 else 3, 0, -1)]

    earlier = BotMessages()
    with pytest.raises(RateLimited):
        await earlier.read("0", ask)
    found = await earlier.read("0", ask)

    assert [int(message["id"]) for message in found] == list(range(1, 204))
    assert [query.split("&")[0] for query in asked] == [
        "?after=0",
        "?after=100",
        "?after=100",
        "?after=200",
    ]


def _bot(id: int) -> dict[str, object]:
    return {"id": str(id), "author": {"bot": True}, "content": "x"}


async def test_what_cannot_be_recognised_is_labelled(
    server: DiscordServer, channel: Discord, question: Inbound
) -> None:
    server.state.hidden_history.add(question.address.chat)
    await reply_to(channel, question, repeat=True).finish("Hello.")

    assert written(server, question) == [REPEAT + "Hello."]


async def test_an_answer_somebody_deleted_is_sent_again(
    server: DiscordServer, channel: Discord, question: Inbound
) -> None:
    reply = reply_to(channel, question)
    placed = await reply.show("Half")
    assert placed is not None
    server.state.delete(placed.ids[0])
    await reply.finish("Whole")

    assert written(server, question) == ["Whole"]


async def test_nobody_is_pinged_and_a_group_sees_what_is_answered(
    server: DiscordServer, channel: Discord, question: Inbound
) -> None:
    placed = await reply_to(channel, question).finish("@everyone look")
    sent = server.state.find(placed.ids[0])

    assert sent["allowed_mentions"] == NO_MENTIONS
    assert sent["message_reference"]["message_id"] == question.message_id


@pytest.mark.parametrize(
    "refusal",
    [
        (403, 160002, "Cannot reply without permission to read message history"),
        (400, 50035, "Invalid Form Body"),
        (400, 10008, "Unknown Message"),
    ],
)
async def test_an_answer_that_may_not_quote_its_question_comes_without(
    server: DiscordServer,
    channel: Discord,
    question: Inbound,
    refusal: tuple[int, int, str],
) -> None:
    server.state.unquotable[question.address.chat] = refusal
    reply = reply_to(channel, question)
    placed = await reply.show("draft")
    await reply.finish("whole")

    assert placed is not None
    assert written(server, question) == ["whole"]
    assert "message_reference" not in server.state.find(placed.ids[0])


async def test_a_direct_answer_quotes_nothing(
    server: DiscordServer, channel: Discord
) -> None:
    question = ask(server, server.state.add_direct("ada"))
    placed = await reply_to(channel, question).finish("yes")

    assert "message_reference" not in server.state.find(placed.ids[0])


@pytest.mark.parametrize(
    "text", ["", " \n ", "half a pair \ud83d", "a\0b", "```\nnever closed", "**bold"]
)
async def test_any_text_arrives(
    server: DiscordServer,
    channel: Discord,
    question: Inbound,
    text: str,
) -> None:
    await reply_to(channel, question).finish(text)
    assert len(written(server, question)) == 1


async def test_typing_is_shown_at_once_and_ends_with_the_answer(
    server: DiscordServer, channel: Discord, question: Inbound
) -> None:
    reply = reply_to(channel, question)
    await reply.show("")
    await reply.show("")
    assert server.state.typing[question.address.chat] == 1
    await reply.finish("done")
    assert reply._typing is not None
    with pytest.raises(asyncio.CancelledError):
        await reply._typing


async def test_a_limit_is_waited_for_by_the_final_and_never_tried_early(
    server: DiscordServer, channel: Discord, question: Inbound
) -> None:
    server.faults.limits[question.address.chat] = Limit(retry_after=0.3, times=2)
    reply = reply_to(channel, question)
    assert await reply.show("dropped") is None
    await reply.finish("whole")

    assert (written(server, question), server.faults.early) == (["whole"], 0)


async def test_an_empty_bucket_is_not_asked_before_it_has_room(
    server: DiscordServer, channel: Discord
) -> None:
    chat = server.state.add_direct("ada")
    server.faults.buckets[chat] = (2, 0.3)
    for number in range(3):
        await reply_to(channel, ask(server, chat)).finish(f"answer {number}")

    assert (server.screen(chat), server.faults.early) == (
        ["answer 0", "answer 1", "answer 2"],
        0,
    )
    assert server.calls.count(("POST", chat)) == 3


async def test_a_limit_in_one_chat_delays_no_other(
    server: DiscordServer, channel: Discord, question: Inbound
) -> None:
    server.faults.limits[question.address.chat] = Limit(retry_after=30, times=1)
    assert await reply_to(channel, question).show("limited") is None
    held = asyncio.create_task(reply_to(channel, question).finish("late"))
    others = [
        ask(server, server.state.add_direct(f"person{number}"))
        for number in range(20)
    ]
    await asyncio.gather(
        *(reply_to(channel, other).finish("at once") for other in others)
    )
    assert not held.done()
    assert [written(server, other) for other in others] == [["at once"]] * 20
    held.cancel()
    await asyncio.gather(held, return_exceptions=True)


async def test_a_limit_of_the_whole_bot_holds_every_chat(
    server: DiscordServer, channel: Discord, question: Inbound
) -> None:
    server.faults.scope = "global"
    server.faults.limits[question.address.chat] = Limit(retry_after=30, times=1)
    other = ask(server, server.state.add_direct("bob"))

    assert await reply_to(channel, question).show("limited") is None
    assert await reply_to(channel, other).show("held too") is None
    assert len(server.calls) == 1


@pytest.mark.parametrize(
    "refusal", [(50001, "Missing Access"), (50013, "Missing Permissions")]
)
async def test_a_channel_that_is_closed_to_the_agent_is_given_up(
    server: DiscordServer,
    channel: Discord,
    question: Inbound,
    refusal: tuple[int, str],
) -> None:
    server.state.refused[question.address.chat] = refusal
    reply = reply_to(channel, question)
    assert await reply.show("draft") is None
    with pytest.raises(Undeliverable, match=refusal[1]):
        await reply.finish("whole")


async def test_discords_own_trouble_is_worth_another_try(
    server: DiscordServer, channel: Discord, question: Inbound
) -> None:
    server.faults.failures[question.address.chat] = 1
    reply = reply_to(channel, question)
    with pytest.raises(DeliveryError) as raised:
        await reply.finish("whole")

    assert not isinstance(raised.value, Undeliverable)
    await reply.finish("whole")

    assert written(server, question) == ["whole"]


async def test_a_server_that_is_away_is_worth_another_try(
    question: Inbound, server: DiscordServer
) -> None:
    channel = make_channel(server, api_url="http://127.0.0.1:9/api/v10")
    with pytest.raises(DeliveryError, match="DISCORD_API_URL"):
        await reply_to(channel, question).finish("whole")


async def test_a_commands_answer_replaces_the_deferred_response(
    server: DiscordServer, channel: Discord
) -> None:
    chat, question = _command(server)
    server.state.respond(question.address.extra["token"], {"type": 5})
    placed = await reply_to(channel, question).finish(CODE)

    assert (
        placed.ids[0]
        == server.state.interactions[question.address.extra["token"]].message
    )
    assert server.screen(chat)[0].startswith("Look:")
    assert len(placed.ids) == len(server.screen(chat))


async def test_an_answer_that_overtakes_its_deferral_defers_by_itself(
    server: DiscordServer, channel: Discord
) -> None:
    chat, question = _command(server)
    await reply_to(channel, question).finish("quick")

    assert server.screen(chat) == ["quick"]
    assert server.state.interactions[question.address.extra["token"]].response == {
        "type": 5
    }


async def test_after_fifteen_minutes_the_answer_goes_to_the_channel(
    server: DiscordServer, channel: Discord
) -> None:
    chat, question = _command(server)
    server.state.respond(question.address.extra["token"], {"type": 5})
    server.expired_tokens.add(question.address.extra["token"])
    placed = await reply_to(channel, question).finish("late")
    assert (server.screen(chat), len(placed.ids)) == (["late"], 1)
    await reply_to(channel, question, placed).finish("late, edited")

    assert server.screen(chat) == ["late, edited"]


def _command(server: DiscordServer) -> tuple[str, Inbound]:
    chat = server.state.add_channel("town")
    use = server.state.use_command(chat, "help", "", user="ada")
    extra = {
        "interaction": use["id"],
        "token": use["token"],
        "application": use["application_id"],
    }
    address = Address(
        channel="discord",
        chat=chat,
        extra=extra,
    )

    return chat, Said(
        address=address,
        message_id=use["id"],
        user_id="1",
        text="/help",
    )


async def test_answers_share_connections_and_leave_none_open(
    server: DiscordServer, channel: Discord, question: Inbound
) -> None:
    others = [replace(question, message_id=str(number)) for number in range(5)]
    await asyncio.gather(
        *(reply_to(channel, other).finish("yes") for other in others)
    )

    assert channel._rest._session is None


def test_nonces_fit_and_tell_turns_and_pieces_apart() -> None:
    turns = [uuid4() for _ in range(50)] + [UUID(int=0), UUID(int=2**128 - 1)]
    made = [
        nonce(turn, piece, again)
        for turn in turns
        for piece in range(40)
        for again in ("", "+")
    ]

    assert len(set(made)) == len(made)
    assert max(len(one) for one in made) <= 25
