"""Answers of a chat stand in the order of its messages, whichever instances write them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid4

import pytest

from agent.conversation.delivery.order import AnswerOrder
from agent.conversation.policy import LOST
from agent.core.errors import DeliveryError, Undeliverable
from agent.core.messages import Address, Overlap, Placed
from tests.support.engine_harness import (
    EngineHarness,
    Instance,
    PlatformChannel,
    PlatformReply,
)
from tests.support.turns import asked, closed, set_overlap

AWAY = DeliveryError("The platform is away.")
GONE = Undeliverable("The chat was closed.")
CHATS = [f"chat {number}" for number in range(10)]
SOON = 0.6
"""Seconds in which an answer that nothing holds back has long arrived."""


@pytest.fixture
def world(database_url: str, redis_url: str) -> EngineHarness:
    return EngineHarness(database_url, redis_url, lease=0.5, beat=0.1)


class Unreachable:
    """From this instance the platform cannot be reached, until the test says so."""

    def __init__(self, agent: Instance) -> None:
        self.error: DeliveryError | None = AWAY
        self.tries = 0
        channel = agent.ports.channels["test"]
        assert isinstance(channel, PlatformChannel)
        self._reply = channel.reply
        channel.reply = self.reply  # type: ignore[method-assign]

    def reply(
        self,
        address: Address,
        placed: Placed | None,
        turns: Sequence[UUID],
        **options: Any,
    ) -> PlatformReply:
        reply = self._reply(address, placed, turns, **options)
        reply.show = self._through(reply.show)  # type: ignore[method-assign]
        reply.finish = self._through(reply.finish)  # type: ignore[method-assign]

        return reply

    def _through(self, call: Any) -> Any:
        async def carried(text: str) -> Any:
            self.tries += 1
            if self.error is not None:
                raise self.error

            return await call(text)

        return carried


async def stored(world: EngineHarness, answers: int) -> None:
    """Returns once so many answers are stored."""
    count = "SELECT count(*) FROM messages WHERE role = 'assistant'"
    async with asyncio.timeout(15):
        while await asked(world, count) < answers:
            await asyncio.sleep(0.01)


async def left_behind(
    world: EngineHarness, agent: Instance, *chats: str
) -> Unreachable:
    """In each chat the answer to "one" is stored, and this instance cannot send it."""
    platform = Unreachable(agent)
    for chat in chats:
        await agent.engine.accept(world.message("one", chat=chat))
    await stored(world, len(chats))

    return platform


@pytest.mark.parametrize(
    ("overlap", "answers"),
    [
        (Overlap.MERGE, ["re: one", "re: three"]),
        (Overlap.QUEUE, ["re: one", "re: two", "re: three"]),
        (Overlap.INTERRUPT, ["re: one", "re: three"]),
    ],
)
async def test_another_instance_answers_after_the_answer_that_is_still_on_its_way(
    world: EngineHarness, overlap: Overlap, answers: list[str]
) -> None:
    async with world.instance() as first, world.instance() as second:
        await set_overlap(first, overlap)
        await second.ports.control_updates.observe(-1)
        platform = await left_behind(world, first, "ada")

        for text in ("two", "three"):
            await second.engine.accept(world.message(text))
        await asyncio.sleep(SOON)
        stood = world.platform.screen("ada")
        platform.error = None
        await closed(world)

    assert [] == stood, "neither an answer nor a draft"
    assert answers == world.platform.screen("ada")


async def test_an_answer_whose_instance_died_is_taken_and_stands_first(
    world: EngineHarness,
) -> None:
    """The one that waits for it takes it: it does not wait for itself."""
    async with world.instance() as first, world.instance() as second:
        await left_behind(world, first, "ada")
        await second.engine.accept(world.message("two"))
        await first.crash()
        await closed(world)

    assert ["re: one", "re: two"] == world.platform.screen("ada")


async def test_two_answers_that_a_dead_instance_left_arrive_in_order(
    world: EngineHarness,
) -> None:
    """They were sent, but nobody recorded it, and no screen shows them any more."""
    world.streams = False
    async with world.instance() as first:
        await set_overlap(first, Overlap.QUEUE)
        platform = await left_behind(world, first, "ada")
        for text in ("two", "three"):
            await first.engine.accept(world.message(text))
        first.ports.deliveries.done = _never  # type: ignore[method-assign]
        platform.error = None
        await world.answered("ada", "re: one", "re: two", "re: three")
        world.platform.chats.clear()
        await first.crash()

        async with world.instance():
            await closed(world)

    assert ["re: one", "re: two", "re: three"] == world.platform.screen("ada")


async def _never(*args: Any, **kwargs: Any) -> None:
    await asyncio.Event().wait()


async def test_an_answer_that_is_given_up_is_not_waited_for_any_more(
    world: EngineHarness,
) -> None:
    """What waited says so, and its prompt has nothing in it that stands nowhere."""
    async with world.instance() as first, world.instance() as second:
        platform = await left_behind(world, first, "ada")
        await second.engine.accept(world.message("two"))
        await asyncio.sleep(SOON)
        platform.error = GONE
        await closed(world)

    prompted = [text for _, text in world.model.prompts[-1].messages]

    assert [f"{LOST}\n\nre: two"] == world.platform.screen("ada")
    assert ["one", "two"] == prompted


async def test_ten_chats_wait_each_for_its_own_answer(world: EngineHarness) -> None:
    async with world.instance() as first, world.instance() as second:
        platform = await left_behind(world, first, *CHATS)
        for chat in CHATS:
            await second.engine.accept(world.message("two", chat=chat))
        await second.engine.accept(world.message("two", chat="free"))
        await world.answered("free", "re: two")
        platform.error = None
        await closed(world)

    screens = {chat: world.platform.screen(chat) for chat in CHATS}

    assert screens == {chat: ["re: one", "re: two"] for chat in CHATS}


async def test_a_new_conversation_waits_for_the_answer_of_the_one_before(
    world: EngineHarness,
) -> None:
    async with world.instance() as first, world.instance() as second:
        platform = await left_behind(world, first, "ada")
        await second.engine.accept(world.message("/new"))
        await world.platform.until(lambda: len(world.platform.screen("ada")) == 1)
        await second.engine.accept(world.message("two"))
        await asyncio.sleep(SOON)
        platform.error = None
        await closed(world)

    assert ["re: one", "re: two"] == world.platform.screen("ada")[1:]


async def test_a_message_right_after_an_answer_is_answered_with_few_looks(
    world: EngineHarness,
) -> None:
    """That the answer before arrived is recorded a moment later: that is soon seen."""
    looks = 0

    async with world.instance() as first, world.instance() as second:
        look = second.ports.deliveries.is_open

        async def counted(turn: UUID) -> bool:
            nonlocal looks
            looks += 1
            return await look(turn)

        second.ports.deliveries.is_open = counted  # type: ignore[method-assign]
        await world.ask(first, "one")
        await world.ask(second, "two")

    assert ["re: one", "re: two"] == world.platform.screen("ada")
    assert looks <= 3


async def test_an_instance_that_stood_still_sends_nothing_that_another_took(
    world: EngineHarness,
) -> None:
    """As after SIGSTOP: its lease is over, another one delivers, then it goes on."""
    async with world.instance() as first, world.instance():
        platform = await left_behind(world, first, "ada")
        await _stop_beating(first)
        await closed(world)
        platform.error, tries = None, platform.tries
        await asyncio.sleep(SOON)
        first.engine._beats = asyncio.create_task(first.engine._beat_forever())
        await first.engine._background.drain(10)

    assert ["re: one"] == world.platform.screen("ada")
    assert tries == platform.tries


async def _stop_beating(agent: Instance) -> None:
    assert agent.engine._beats is not None
    agent.engine._beats.cancel()
    await asyncio.wait({agent.engine._beats})


async def test_an_instance_that_ends_in_good_order_frees_its_deliveries(
    world: EngineHarness,
) -> None:
    """Others take them at once, and as if it had never tried."""
    world.drain = 0.0
    async with world.instance() as first:
        await left_behind(world, first, "ada")
        await first.crash()
    async with world.instance() as second:
        platform = Unreachable(second)
        async with asyncio.timeout(10):
            while not platform.tries:
                await asyncio.sleep(0.01)
    async with world.instance():
        await closed(world)

    assert ["re: one"] == world.platform.screen("ada")
    assert 1 == await asked(world, "SELECT attempts FROM turns")


async def test_an_answer_whose_turn_was_forgotten_since_is_looked_for_once(
    world: EngineHarness,
) -> None:
    """Turns are kept for a month; conversations for longer."""
    async with world.instance() as agent:
        await world.ask(agent, "one")
        await closed(world)
    await asked(world, "DELETE FROM turns")
    async with world.instance() as later:
        await world.ask(later, "two")

    assert ["re: one", "re: two"] == world.platform.screen("ada")


async def test_an_answer_that_stays_open_forever_is_not_waited_for_forever() -> None:
    class Open:
        """Nobody delivers it, and nobody gives it up."""

        looks = 0

        async def is_open(self, turn: UUID) -> bool:
            self.looks += 1
            return True

    turns, turn = Open(), uuid4()
    order = AnswerOrder(turns, limit_seconds=0.0)
    waited = [await order.wait_for(turn) for _ in range(2)]

    assert ([True, False], 1) == (waited, turns.looks)
