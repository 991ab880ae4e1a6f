"""Telegram, answers out: shown while they are written, whole in the end, never doubled in
silence.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from channels.telegram.reply import TelegramReply
from tests.support.platforms.telegram import TelegramServer
from tests.support.platforms.telegram.answers import Clock, patient_channel, reply


@pytest.fixture
async def server() -> AsyncIterator[TelegramServer]:
    async with TelegramServer() as running:
        yield running


# --- streaming ----------------------------------------------------------------


async def test_a_private_chat_sees_typing_then_a_draft_then_the_message(
    server: TelegramServer,
) -> None:
    ada = server.private("ada")
    answer = reply(patient_channel(server), ada)
    assert await answer.show("") is None
    assert ada.typing[""] == 1

    for text in ("One", "One two", "One two **three**"):
        # a draft is no message that could be edited
        assert await answer.show(text) is None
        assert ada.screen() == [text.replace("*", "")]

    assert ada.sent == {}
    placed = await answer.finish("One two **three** four")

    assert ada.screen() == ["One two three four"]
    assert placed.ids == (str(next(iter(ada.sent))),)
    assert server.count("editMessageText") == 0


async def test_a_group_sees_one_message_that_grows_in_answer_to_the_question(
    server: TelegramServer,
) -> None:
    group = server.group("Engines")
    asked = server.say(group, "what?", mention=True)
    answer = reply(patient_channel(server), group, message=str(asked["message_id"]))
    first = await answer.show("One")

    assert first == await answer.show("One two")
    assert first == await answer.finish("One two three")
    assert group.screen() == ["One two three"]
    assert [sent.reply_to for sent in group.sent.values()] == [asked["message_id"]]
    assert server.count("sendMessageDraft") == 0


async def test_an_answer_stays_in_its_topic(server: TelegramServer) -> None:
    forum = server.group("Forum")
    forum.topics["7"] = "Leases"
    answer = reply(patient_channel(server), forum, thread="7")
    await answer.show("")
    await answer.show("In the")
    await answer.finish("In the topic")

    assert (forum.screen("7"), forum.screen(""), forum.typing["7"]) == (
        ["In the topic"],
        [],
        1,
    )


async def test_states_in_between_are_dropped_while_the_interval_lasts(
    server: TelegramServer,
) -> None:
    ada, clock = server.private("ada"), Clock()
    answer = reply(patient_channel(server, interval=1.0, clock=clock), ada)
    for words in range(1, 31):
        await answer.show("word " * words)
        clock.now += 0.1

    assert ada.revisions[""] in (3, 4)
    await answer.finish("word " * 30)

    assert ada.screen() == [("word " * 30).strip()]


async def test_typing_is_shown_again_only_when_it_ends(
    server: TelegramServer,
) -> None:
    ada, clock = server.private("ada"), Clock()
    answer = reply(patient_channel(server, clock=clock), ada)
    for _ in range(30):
        await answer.show("")
        clock.now += 0.5

    assert ada.typing[""] == 4  # at 0, 4, 8 and 12 s


@pytest.mark.parametrize(
    ("code", "description"), [(404, "Not Found"), (400, "Bad Request: DRAFTS_OFF")]
)
async def test_where_drafts_are_refused_all_private_chats_get_edits(
    server: TelegramServer, code: int, description: str
) -> None:
    server.refuse("sendMessageDraft", code, description)
    telegram = patient_channel(server)

    for name in ("ada", "bob"):
        chat = server.private(name)
        answer = reply(telegram, chat)
        await _show_announced(answer, "One")
        await _show_announced(answer, "One two")
        assert chat.screen() == ["One two"]
        await answer.finish("One two three")
        assert chat.screen() == ["One two three"]

    assert server.count("sendMessageDraft") == 1


async def _show_announced(answer: TelegramReply, text: str) -> None:
    """A message is placed only after the reply said that one would stand."""
    is_announced = answer.drafts_stand

    assert (await answer.show(text) is not None) == is_announced


async def test_a_person_who_blocked_the_bot_does_not_end_drafts_for_others(
    server: TelegramServer,
) -> None:
    ada, bob = server.private("ada"), server.private("bob")
    bob.blocked = True
    telegram = patient_channel(server)
    await reply(telegram, bob).show("One")

    assert await reply(telegram, ada).show("One") is None
    assert ada.screen() == ["One"]


async def test_where_edits_are_refused_the_answer_is_one_message_at_its_end(
    server: TelegramServer,
) -> None:
    server.refuse("editMessageText", 404, "Not Found")
    group = server.group("Engines")
    telegram = patient_channel(server)

    for _ in range(2):
        answer = reply(telegram, group)
        for text in ("One", "One two", "One two three"):
            await answer.show(text)

        await answer.finish("One two three four")

    assert group.screen() == ["One two three four"] * 2
    # one while it was shown, one to finish what was shown
    assert server.count("editMessageText") == 2


# --- formatting and length ----------------------------------------------------


async def test_nine_thousand_characters_with_a_code_block_come_whole_and_in_order(
    server: TelegramServer,
) -> None:
    group = server.group("Engines")
    code = "\n".join(f"print({number})  # line {number}" for number in range(410))
    answer = reply(patient_channel(server), group)
    text = f"Before.\n\n```python\n{code}\n```\n\nAfter."
    for end in range(500, len(text), 1500):
        await answer.show(text[:end])

    placed = await answer.finish(text)

    assert len(text) > 9000
    assert "\n".join(group.screen()).split() == ["Before.", *code.split(), "After."]
    assert placed.ids == tuple(str(sent) for sent in group.sent)


async def test_formatting_that_telegram_refuses_does_not_lose_the_answer(
    server: TelegramServer,
) -> None:
    ada = server.private("ada")
    server.refuse_entities = True
    await reply(patient_channel(server), ada).finish("**bold** words")

    assert ada.screen() == ["bold words"]


async def test_an_answer_that_became_shorter_takes_its_surplus_messages_away(
    server: TelegramServer,
) -> None:
    group = server.group("Engines")
    answer = reply(patient_channel(server), group)
    await answer.show("word " * 2000)
    assert len(group.screen()) == 3
    placed = await answer.finish("Never mind.")

    assert (group.screen(), len(placed.ids)) == (["Never mind."], 1)
