"""Telegram, answers out: shown while they are written, whole in the end, never doubled in
silence.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID

import pytest

from agent.core.errors import DeliveryError, Undeliverable
from agent.core.messages import Address, Placed
from channels.pacing import Governor, Rate
from channels.telegram.channel import CHAT_RATE, Telegram
from channels.telegram.reply import REPEAT, TelegramReply
from tests.support.platforms.telegram import Chat, TelegramServer
from tests.support.platforms.telegram.inbox import until

TURN = UUID(int=42)


@pytest.fixture
async def server() -> AsyncIterator[TelegramServer]:
    async with TelegramServer() as running:
        yield running


class Clock:
    """Time that passes when somebody waits."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        await asyncio.sleep(0)


def channel(
    server: TelegramServer,
    *,
    interval: float = 0.0,
    clock: Clock | None = None,
) -> Telegram:
    clock = clock or Clock()
    governor = Governor(
        chat=Rate(1000, 1),
        clock=clock,
        sleep=clock.sleep,
    )
    return Telegram(
        token=server.token,
        api_url=server.url,
        governor=governor,
        interval=interval,
        group_interval=interval,
        clock=clock,
    )


def reply(
    telegram: Telegram,
    chat: Chat,
    *,
    thread: str = "",
    message: str = "",
    placed: Placed | None = None,
    repeat: bool = False,
) -> TelegramReply:
    address = Address("telegram", str(chat.id), thread, message)
    return telegram.reply(address, placed, TURN, repeat=repeat)


# --- streaming ----------------------------------------------------------------


async def test_a_private_chat_sees_typing_then_a_draft_then_the_message(
    server: TelegramServer,
) -> None:
    ada = server.private("ada")
    answer = reply(channel(server), ada)
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
    answer = reply(channel(server), group, message=str(asked["message_id"]))
    first = await answer.show("One")

    assert first == await answer.show("One two")
    assert first == await answer.finish("One two three")
    assert group.screen() == ["One two three"]
    assert [sent.reply_to for sent in group.sent.values()] == [asked["message_id"]]
    assert server.count("sendMessageDraft") == 0


async def test_an_answer_stays_in_its_topic(server: TelegramServer) -> None:
    forum = server.group("Forum")
    forum.topics["7"] = "Leases"
    answer = reply(channel(server), forum, thread="7")
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
    answer = reply(channel(server, interval=1.0, clock=clock), ada)
    for words in range(1, 31):
        await answer.show("word " * words)
        clock.now += 0.1

    assert ada.revisions[""] in (3, 4)
    await answer.finish("word " * 30)

    assert ada.screen() == [("word " * 30).strip()]


async def test_typing_is_shown_again_only_when_it_ends(server: TelegramServer) -> None:
    ada, clock = server.private("ada"), Clock()
    answer = reply(channel(server, clock=clock), ada)
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
    telegram = channel(server)

    for name in ("ada", "bob"):
        chat = server.private(name)
        answer = reply(telegram, chat)
        assert await answer.show("One") is not None
        assert chat.screen() == ["One"]
        await answer.show("One two")
        await answer.finish("One two three")
        assert chat.screen() == ["One two three"]

    assert server.count("sendMessageDraft") == 1


async def test_a_person_who_blocked_the_bot_does_not_end_drafts_for_others(
    server: TelegramServer,
) -> None:
    ada, bob = server.private("ada"), server.private("bob")
    bob.blocked = True
    telegram = channel(server)
    await reply(telegram, bob).show("One")

    assert await reply(telegram, ada).show("One") is None
    assert ada.screen() == ["One"]


async def test_where_edits_are_refused_the_answer_is_one_message_at_its_end(
    server: TelegramServer,
) -> None:
    server.refuse("editMessageText", 404, "Not Found")
    group = server.group("Engines")
    telegram = channel(server)

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
    answer = reply(channel(server), group)
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
    await reply(channel(server), ada).finish("**bold** words")

    assert ada.screen() == ["bold words"]


async def test_an_answer_that_became_shorter_takes_its_surplus_messages_away(
    server: TelegramServer,
) -> None:
    group = server.group("Engines")
    answer = reply(channel(server), group)
    await answer.show("word " * 2000)
    assert len(group.screen()) == 3
    placed = await answer.finish("Never mind.")

    assert (group.screen(), len(placed.ids)) == (["Never mind."], 1)


# --- delivery after a crash ---------------------------------------------------


async def test_another_instance_finishes_by_editing_what_stands_there(
    server: TelegramServer,
) -> None:
    group = server.group("Engines")
    placed = await reply(channel(server), group).show("Half an")
    await reply(channel(server), group, placed=placed, repeat=True).finish(
        "Half an answer no more"
    )

    assert group.screen() == ["Half an answer no more"]


async def test_finishing_twice_changes_nothing(server: TelegramServer) -> None:
    group = server.group("Engines")
    answer = reply(channel(server), group)
    placed = await answer.finish("Whole. " * 1000)
    screen = group.screen()
    assert await answer.finish("Whole. " * 1000) == placed
    # another process knows the ids only
    again = reply(channel(server), group, placed=placed, repeat=True)

    assert await again.finish("Whole. " * 1000) == placed
    assert group.screen() == screen


async def test_a_possible_repeat_is_labelled_where_nothing_can_be_edited(
    server: TelegramServer,
) -> None:
    ada = server.private("ada")
    await reply(channel(server), ada, repeat=True).finish("word " * 1600)

    assert [text.startswith(REPEAT) for text in ada.screen()] == [True, False]


async def test_a_message_that_was_deleted_meanwhile_is_sent_again(
    server: TelegramServer,
) -> None:
    group = server.group("Engines")
    answer = reply(channel(server), group)
    await answer.show("One")
    group.sent.clear()
    await answer.finish("One two")

    assert group.screen() == ["One two"]


async def test_a_send_whose_answer_was_cut_off_is_labelled_when_it_is_tried_again(
    server: TelegramServer,
) -> None:
    ada = server.private("ada")
    server.cut("sendMessage")
    answer = reply(channel(server), ada)
    with pytest.raises(DeliveryError):
        await answer.finish("Answer")

    await answer.finish("Answer")

    assert ada.screen() == ["Answer", f"{REPEAT}Answer"]


async def test_a_send_that_telegram_failed_is_tried_again_without_a_label(
    server: TelegramServer,
) -> None:
    ada = server.private("ada")
    server.fail(ada)
    answer = reply(channel(server), ada)
    with pytest.raises(DeliveryError) as caught:
        await answer.finish("Answer")

    assert not isinstance(caught.value, Undeliverable)
    await answer.finish("Answer")

    assert ada.screen() == ["Answer"]


async def test_a_show_that_is_cancelled_on_its_way_leaves_no_stray_message(
    server: TelegramServer,
) -> None:
    group = server.group("Engines")
    server.delay(group, 0.05)
    answer = reply(channel(server), group)
    showing = asyncio.create_task(answer.show("One"))
    await until(lambda: server.count("sendMessage") == 1)
    showing.cancel()
    await answer.finish("One two")

    assert group.screen() == ["One two"]


# --- refusals -----------------------------------------------------------------


@pytest.mark.parametrize("trouble", ["blocked", "unknown chat", "topic gone"])
async def test_what_never_can_arrive_is_undeliverable(
    server: TelegramServer, trouble: str
) -> None:
    chat = server.private("ada")
    if trouble == "unknown chat":
        del server.state.chats[chat.id]

    chat.blocked = trouble == "blocked"
    answer = reply(
        channel(server), chat, thread="99" if trouble == "topic gone" else ""
    )
    assert await answer.show("Answer") is None
    with pytest.raises(Undeliverable):
        await answer.finish("Answer")


async def test_a_wrong_token_is_worth_another_try_after_somebody_mended_it(
    server: TelegramServer,
) -> None:
    answer = reply(channel(server), server.private("ada"))
    server.token, right = "700000001:AAF-another_token_0123456789", server.token
    with pytest.raises(DeliveryError, match="TELEGRAM_TOKEN") as caught:
        await answer.finish("Answer")

    assert not isinstance(caught.value, Undeliverable)
    server.token = right
    await answer.finish("Answer")


async def test_a_rate_limit_is_waited_out_and_holds_no_other_chat(
    server: TelegramServer,
) -> None:
    ada, clock = server.private("ada"), Clock()
    others = [server.private(f"person{number}") for number in range(20)]
    telegram = channel(server, clock=clock)
    server.limit(ada, retry_after=30, times=1)
    server.clock = clock
    held = asyncio.Event()

    async def wait(seconds: float) -> None:
        await held.wait()
        clock.now += seconds

    telegram._governor._sleep = wait
    slow = asyncio.create_task(reply(telegram, ada).finish("late"))
    await until(lambda: server.count("sendMessage") == 1)
    await asyncio.gather(*(reply(telegram, chat).finish("at once") for chat in others))
    assert ([chat.screen() for chat in others], ada.screen()) == (
        [["at once"]] * 20,
        [],
    )
    held.set()
    await slow

    assert (ada.screen(), server.early) == (["late"], 0)


async def test_the_paces_keep_below_what_telegram_allows() -> None:
    clock = Clock()
    async with TelegramServer(flood=True, clock=clock) as server:
        governor = Governor(
            chat=CHAT_RATE,
            clock=clock,
            sleep=clock.sleep,
        )
        telegram = Telegram(
            token=server.token, api_url=server.url, governor=governor, clock=clock
        )
        group = server.group("Engines")
        answer = reply(telegram, group)
        for words in range(1, 600):
            await answer.show("word " * words)
            clock.now += 0.1  # an answer of a minute

        await answer.finish("word " * 600)

    assert "".join(group.screen()).split() == ["word"] * 600
    assert server.refusals == 0


async def test_a_group_that_became_a_supergroup_gets_its_answer_there(
    server: TelegramServer,
) -> None:
    old, new = server.group("Engines"), server.group("Engines 2")
    old.moved_to = new.id
    await reply(channel(server), old, message="3").finish("Found you")

    assert new.screen() == ["Found you"]
