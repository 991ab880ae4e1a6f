"""Answers on Telegram after a crash, a lost response or a refusal."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from agent.core.errors import DeliveryError, Undeliverable
from channels.pacing import Governor
from channels.telegram.channel import CHAT_RATE, Telegram
from channels.telegram.reply import REPEAT
from tests.support.platforms.telegram import TelegramServer
from tests.support.platforms.telegram.answers import Clock, patient_channel, reply
from tests.support.platforms.telegram.inbox import until


@pytest.fixture
async def server() -> AsyncIterator[TelegramServer]:
    async with TelegramServer() as running:
        yield running


# --- delivery after a crash ---------------------------------------------------


async def test_another_instance_finishes_by_editing_what_stands_there(
    server: TelegramServer,
) -> None:
    group = server.group("Engines")
    placed = await reply(patient_channel(server), group).show("Half an")
    await reply(patient_channel(server), group, placed=placed, repeat=True).finish(
        "Half an answer no more"
    )

    assert group.screen() == ["Half an answer no more"]


async def test_finishing_twice_changes_nothing(server: TelegramServer) -> None:
    group = server.group("Engines")
    answer = reply(patient_channel(server), group)
    placed = await answer.finish("Whole. " * 1000)
    screen = group.screen()
    assert await answer.finish("Whole. " * 1000) == placed
    # another process knows the ids only
    again = reply(patient_channel(server), group, placed=placed, repeat=True)

    assert await again.finish("Whole. " * 1000) == placed
    assert group.screen() == screen


async def test_a_possible_repeat_is_labelled_where_nothing_can_be_edited(
    server: TelegramServer,
) -> None:
    ada = server.private("ada")
    await reply(patient_channel(server), ada, repeat=True).finish("word " * 1600)

    assert [text.startswith(REPEAT) for text in ada.screen()] == [True, False]


async def test_a_message_that_was_deleted_meanwhile_is_sent_again(
    server: TelegramServer,
) -> None:
    group = server.group("Engines")
    answer = reply(patient_channel(server), group)
    await answer.show("One")
    group.sent.clear()
    await answer.finish("One two")

    assert group.screen() == ["One two"]


async def test_a_send_whose_answer_was_cut_off_is_labelled_when_it_is_tried_again(
    server: TelegramServer,
) -> None:
    ada = server.private("ada")
    server.cut("sendMessage")
    answer = reply(patient_channel(server), ada)
    with pytest.raises(DeliveryError):
        await answer.finish("Answer")

    await answer.finish("Answer")

    assert ada.screen() == ["Answer", f"{REPEAT}Answer"]


async def test_a_send_that_telegram_failed_is_tried_again_without_a_label(
    server: TelegramServer,
) -> None:
    ada = server.private("ada")
    server.fail(ada)
    answer = reply(patient_channel(server), ada)
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
    answer = reply(patient_channel(server), group)
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
        patient_channel(server), chat, thread="99" if trouble == "topic gone" else ""
    )
    assert await answer.show("Answer") is None
    with pytest.raises(Undeliverable):
        await answer.finish("Answer")


async def test_a_wrong_token_is_worth_another_try_after_somebody_mended_it(
    server: TelegramServer,
) -> None:
    answer = reply(patient_channel(server), server.private("ada"))
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
    telegram = patient_channel(server, clock=clock)
    server.limit(ada, retry_after=30, times=1)
    server.clock = clock
    held = asyncio.Event()

    async def wait(seconds: float) -> None:
        await held.wait()
        clock.now += seconds

    telegram._governor._sleep = wait
    slow = asyncio.create_task(reply(telegram, ada).finish("late"))
    await until(lambda: server.count("sendMessage") == 1)
    await asyncio.gather(
        *(reply(telegram, chat).finish("at once") for chat in others)
    )
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
    await reply(patient_channel(server), old, message="3").finish("Found you")

    assert new.screen() == ["Found you"]
