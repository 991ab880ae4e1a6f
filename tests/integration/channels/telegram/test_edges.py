"""Telegram at its edges: an odd field hides no other, an odd update hides no other."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from agent.core.errors import DeliveryError
from channels.telegram.updates import read
from tests.support.inbound import text_of
from tests.support.platforms.telegram import TelegramServer
from tests.support.platforms.telegram.answers import patient_channel, reply
from tests.support.platforms.telegram.inbox import Inbox, channel, listening, until
from tests.support.platforms.telegram.payloads import ME, load

Change = Callable[[dict[str, Any]], object]


@pytest.fixture
async def server() -> AsyncIterator[TelegramServer]:
    async with TelegramServer() as running:
        yield running


# What the library's own reading refuses, or takes and then stumbles over.
UNIMPORTANT: dict[str, dict[str, Any]] = {
    "no date": {"date": None},
    "a date of another type": {"date": "yesterday"},
    "a poll without options": {"poll": {"question": "?", "options": None}},
    "marks that are none": {"entities": [7, None, {"type": "bold"}, {"offset": -1}]},
    "marks of another type": {"entities": "bold"},
    "a mark that reaches too far": {
        "entities": [{"type": "mention", "offset": 0, "length": 4000}]
    },
    "a reply to nothing": {"reply_to_message": {"message_id": None}},
    "a quotation of another type": {"quote": ["x"]},
    "an origin of a new kind": {"via_bot": {"id": None}},
    "a picture without sizes": {"photo": []},
    "a file without an id": {"document": {}},
    "a preview of another type": {"link_preview_options": 7},
    "a keyboard of another type": {"reply_markup": {"inline_keyboard": 7}},
    "a field from the future": {"hologram": {"file_id": None}},
    "a story without a chat": {"story": {}},
    "a person without a name": {"from": {"id": 5000}},
    "nobody, in a private chat": {"from": None},
    "a chat without a type": {"chat": {"id": 5000}},
}


@pytest.mark.parametrize("name", UNIMPORTANT)
def test_an_odd_field_of_no_importance_does_not_make_a_message_unreadable(
    name: str,
) -> None:
    update = load("private_text")
    update["message"] |= UNIMPORTANT[name]
    inbound = read(update, ME)

    assert inbound is not None
    assert "Hello, agent 👋" in text_of(inbound)
    assert (inbound.user_id, inbound.message_id) == ("5000", "10")
    assert inbound.direct


UNREADABLE: dict[str, Change] = {
    "no message id": lambda update: update["message"].pop("message_id"),
    "no chat": lambda update: update["message"].pop("chat"),
    "a chat that is none": lambda update: update["message"].update(chat=7),
    "a message that is none": lambda update: update.update(message=["x"]),
    "an id that is no number": lambda update: update["message"].update(
        message_id={"x": 1}
    ),
}


async def test_updates_that_nobody_can_read_cost_no_other_of_their_batch(
    server: TelegramServer,
) -> None:
    """Each is counted, and the offset moves past it."""
    noted: list[tuple[str, str]] = []
    ada = server.private("ada")
    for number, change in enumerate(UNREADABLE.values()):
        server.say(ada, f"before {number}")
        server.say(ada, "odd")
        change(server.state.updates[-1])

    server.say(ada, "the last")
    inbox, telegram = Inbox(), channel(server)
    telegram._unreadable._note = lambda *what: noted.append(what)

    async with listening(telegram, inbox):
        await inbox.until(len(UNREADABLE) + 1)
        await until(lambda: not server.state.updates)

    expected = [f"before {number}" for number in range(len(UNREADABLE))]
    assert inbox.texts == [*expected, "the last"]
    assert noted == [("telegram", "update")] * len(UNREADABLE)


@pytest.mark.parametrize("result", [None, True, "x", {"x": 1}, [7, None, ["x"], {}]])
async def test_an_answer_without_updates_ends_no_session(
    server: TelegramServer, result: Any
) -> None:
    """It is fetched again, after a pause."""
    server.alter("getUpdates", lambda _: result)
    server.say(server.private("ada"), "hello")
    inbox = Inbox()
    async with listening(channel(server), inbox) as session:
        await until(lambda: server.count("getUpdates") >= 2)
        server.alter("getUpdates", lambda updates: updates)
        await inbox.until(1)
        assert not session.done()


ODD_ANSWERS: dict[str, dict[str, Any]] = {
    "no date": {"date": None},
    "a date of another type": {"date": "now"},
    "marks of another type": {"entities": [{"type": "bold"}]},
    "no chat": {"chat": None},
    "a chat without a type": {"chat": {"id": 1}},
    "a sender without a name": {"from": {"id": 1}},
    "a poll without options": {"poll": {}},
    "text of another type": {"text": ["x"]},
}


@pytest.mark.parametrize("name", ODD_ANSWERS)
async def test_what_was_sent_counts_as_sent_however_odd_the_answer_is(
    server: TelegramServer, name: str
) -> None:
    """Only the id of the message is needed."""
    for method in ("sendMessage", "editMessageText"):
        server.alter(method, lambda sent: {**sent, **ODD_ANSWERS[name]})

    group = server.group("Engines")
    answer = reply(patient_channel(server), group)
    first = await answer.show("One")
    last = await answer.finish("One two")

    assert first == last
    assert list(last.ids) == [str(message) for message in group.sent]
    assert group.screen() == ["One two"]
    assert server.count("sendMessage") == 1


@pytest.mark.parametrize("result", [None, True, [], {}, {"message_id": None}, 7, "x"])
async def test_an_answer_without_an_id_is_a_doubt_and_no_fault_of_ours(
    server: TelegramServer, result: Any
) -> None:
    """The message may stand there: the next attempt is labelled as a possible repeat."""
    server.alter("sendMessage", lambda _: result)
    ada = server.private("ada")
    answer = reply(patient_channel(server), ada)
    with pytest.raises(DeliveryError):
        await answer.finish("One")

    server.alter("sendMessage", lambda sent: sent)
    await answer.finish("One")

    assert ada.screen()[-1].startswith("(You may have received this before.)")
