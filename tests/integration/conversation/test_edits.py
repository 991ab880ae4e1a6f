"""One instance accepts edits while another writes the answer: the newest text is answered, once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from uuid import UUID

import pytest

from agent.conversation.active_answer import MAX_EDIT_RESTARTS
from agent.core.messages import Deleted, Edited, Overlap, Said
from agent.core.turns import Answer, Beat, Claim, Outdated, StoredAnswer
from tests.support.engine_harness import EngineHarness, Instance
from tests.support.turns import asked, begun, closed, set_overlap


@pytest.fixture
def world(database_url: str, redis_url: str) -> EngineHarness:
    return EngineHarness(database_url, redis_url, lease=5.0, beat=0.05)


@pytest.fixture
async def agent(world: EngineHarness) -> AsyncIterator[Instance]:
    """The instance that writes the answers."""
    async with world.instance() as instance:
        yield instance


@pytest.fixture
async def other(world: EngineHarness) -> AsyncIterator[Instance]:
    """The instance that accepts what arrives meanwhile."""
    async with world.instance() as instance:
        yield instance


@pytest.fixture
async def pulse(agent: Instance) -> asyncio.Event:
    """While it is clear, the heartbeats of the writing instance wait."""
    beat = agent.ports.leases.beat
    going = asyncio.Event()

    async def when_told(
        claims: Sequence[Claim], turns: Sequence[UUID], epoch: int
    ) -> Beat:
        await going.wait()
        return await beat(claims, turns, epoch)

    agent.ports.leases.beat = when_told  # type: ignore[method-assign]
    going.set()

    return going


def changed(message: Said, text: str | None = "right") -> Edited | Deleted:
    """The message with a newer text, or deleted."""
    return message.deleted() if text is None else message.edited(text)


async def answers(world: EngineHarness) -> int:
    count: int = await asked(
        world, "SELECT count(*) FROM messages WHERE role = 'assistant'"
    )

    return count


def prompts(world: EngineHarness) -> list[list[str]]:
    return [[text for _, text in prompt.messages] for prompt in world.model.prompts]


async def beaten(agent: Instance, times: int = 2) -> None:
    """Returns once this many heartbeats of the instance are over, and what they began has ended."""
    beat = agent.ports.leases.beat
    left = asyncio.Semaphore(0)

    async def counted(
        claims: Sequence[Claim], turns: Sequence[UUID], epoch: int
    ) -> Beat:
        left.release()
        return await beat(claims, turns, epoch)

    agent.ports.leases.beat = counted  # type: ignore[method-assign]

    for _ in range(times + 1):
        await left.acquire()
    agent.ports.leases.beat = beat  # type: ignore[method-assign]


# --- while the answer is written ----------------------------------------------


async def test_a_heartbeat_restarts_the_answer(
    world: EngineHarness, agent: Instance, other: Instance
) -> None:
    first = await begun(world, agent, "wrong")
    await other.engine.accept(changed(first))
    await world.platform.until(lambda: len(world.model.prompts) == 2)
    world.model.release()
    await closed(world)

    assert prompts(world) == [["wrong"], ["right"]]
    assert world.platform.screen("ada") == ["re: right"]
    assert await answers(world) == 1


async def test_a_heartbeat_ends_the_answer_to_what_was_deleted(
    world: EngineHarness, agent: Instance, other: Instance
) -> None:
    first = await begun(world, agent, "wrong")
    await other.engine.accept(changed(first, None))
    await closed(world)  # though the model is still held

    assert world.platform.screen("ada") == ["The message was deleted."]


async def test_an_edit_and_a_message_between_two_heartbeats_are_both_answered(
    world: EngineHarness, agent: Instance, other: Instance, pulse: asyncio.Event
) -> None:
    first = await begun(world, agent, "wrong")
    pulse.clear()
    await other.engine.accept(changed(first))
    await other.engine.accept(world.message("and more"))
    pulse.set()
    await world.platform.until(lambda: len(world.model.prompts) == 2)
    world.model.release()
    await closed(world)

    assert prompts(world)[-1] == ["right", "and more"]
    assert world.platform.screen("ada") == ["re: and more"]
    assert await answers(world) == 1


async def test_an_edit_and_an_interruption_between_two_heartbeats_leave_nothing_of_the_older_text(
    world: EngineHarness, agent: Instance, other: Instance, pulse: asyncio.Event
) -> None:
    await set_overlap(agent, Overlap.INTERRUPT)
    first = await begun(world, agent, "wrong")
    pulse.clear()
    await other.engine.accept(changed(first))
    await other.engine.accept(world.message("and more"))
    pulse.set()
    await world.platform.until(lambda: len(world.model.prompts) == 2)
    world.model.release()
    await closed(world)

    assert prompts(world)[-1] == ["right", "and more"]
    assert world.platform.screen("ada") == ["re: and more"]


async def test_who_edits_and_stops_has_said_stop(
    world: EngineHarness, agent: Instance, other: Instance, pulse: asyncio.Event
) -> None:
    first = await begun(world, agent, "wrong")
    pulse.clear()
    await other.engine.accept(changed(first))
    await other.engine.accept(world.message("/stop"))
    pulse.set()
    await closed(world)

    assert world.platform.screen("ada") == ["re:\n\n*(stopped)*", "Stopped."]
    assert prompts(world) == [["wrong"]]


@pytest.mark.parametrize("overlap", [Overlap.MERGE, Overlap.QUEUE])
async def test_an_edit_of_a_message_that_waits_does_not_disturb_the_answer_before_it(
    world: EngineHarness, agent: Instance, other: Instance, overlap: Overlap
) -> None:
    await set_overlap(agent, overlap)
    await begun(world, agent, "one")
    second = world.message("wrong")
    await other.engine.accept(second)
    await other.engine.accept(changed(second))
    await beaten(agent)

    assert prompts(world) == [["one"]]

    world.model.release()
    await closed(world)

    assert prompts(world) == [["one"], ["one", "re: one", "right"]]
    assert world.platform.screen("ada") == ["re: one", "re: right"]


@pytest.mark.parametrize("command", ["/model test:other", "/history"])
async def test_what_moves_the_conversation_without_an_edit_does_not_disturb_the_answer(
    world: EngineHarness, agent: Instance, other: Instance, command: str
) -> None:
    await begun(world, agent, "one")
    await other.engine.accept(world.message(command))
    await beaten(agent)
    world.model.release()
    await closed(world)

    assert prompts(world) == [["one"]]


async def test_an_edit_to_the_same_text_does_not_disturb_the_answer(
    world: EngineHarness, agent: Instance, other: Instance
) -> None:
    """Platforms report one when they add a preview."""
    first = await begun(world, agent, "one")
    await other.engine.accept(changed(first, "one"))
    await beaten(agent)
    world.model.release()
    await closed(world)

    assert prompts(world) == [["one"]]
    assert world.platform.screen("ada") == ["re: one"]


async def test_what_was_asked_before_a_new_conversation_can_still_be_edited(
    world: EngineHarness, agent: Instance, other: Instance
) -> None:
    first = await begun(world, agent, "wrong")
    await other.engine.accept(world.message("/new"))
    await other.engine.accept(changed(first))
    await world.platform.until(lambda: len(world.model.prompts) == 2)
    world.model.release()
    await closed(world)

    assert prompts(world) == [["wrong"], ["right"]]
    assert "re: right" in world.platform.screen("ada")


# --- after the last heartbeat -------------------------------------------------


class Late:
    """Before each answer is stored, another instance accepts the next change, while there is
    one.
    """

    def __init__(
        self, agent: Instance, other: Instance, changes: Sequence[Edited | Deleted]
    ) -> None:
        self._answer = agent.ports.turns.answer
        self._other = other
        self._changes = list(changes)
        self.refused = 0
        agent.ports.turns.answer = self.answer  # type: ignore[method-assign]

    async def answer(self, answer: Answer) -> StoredAnswer | Outdated | None:
        if self._changes:
            await self._other.engine.accept(self._changes.pop(0))
        verdict = await self._answer(answer)
        self.refused += isinstance(verdict, Outdated)

        return verdict


async def test_an_answer_is_not_stored_over_an_edit_that_was_in_time(
    world: EngineHarness, agent: Instance, other: Instance, pulse: asyncio.Event
) -> None:
    pulse.clear()
    message = world.message("wrong")
    Late(agent, other, [changed(message)])
    await agent.engine.accept(message)
    await closed(world)

    assert prompts(world) == [["wrong"], ["right"]]
    assert world.platform.screen("ada") == ["re: right"]
    assert await answers(world) == 1


async def test_an_answer_is_not_stored_over_a_deletion_that_was_in_time(
    world: EngineHarness, agent: Instance, other: Instance, pulse: asyncio.Event
) -> None:
    pulse.clear()
    message = world.message("wrong")
    Late(agent, other, [changed(message, None)])
    await agent.engine.accept(message)
    await closed(world)

    assert len(prompts(world)) == 1
    assert "re: wrong" not in world.platform.screen("ada")


async def test_an_edit_of_a_message_that_waits_leaves_a_written_answer_whole(
    world: EngineHarness, agent: Instance, other: Instance, pulse: asyncio.Event
) -> None:
    first = world.message("one")
    second = world.message("wrong")
    world.model.hold()
    await agent.engine.accept(first)
    await world.model.started.wait()
    pulse.clear()
    await other.engine.accept(second)
    late = Late(agent, other, [changed(second)])
    world.model.release()
    await closed(world)

    assert late.refused == 1
    assert prompts(world) == [["one"], ["one", "re: one", "right"]]
    assert world.platform.screen("ada") == ["re: one", "re: right"]


async def test_someone_who_keeps_editing_gets_an_answer(
    world: EngineHarness, agent: Instance, other: Instance, pulse: asyncio.Event
) -> None:
    pulse.clear()
    message = world.message("text 0")
    late = Late(
        agent, other, [changed(message, f"text {number + 1}") for number in range(50)]
    )
    await agent.engine.accept(message)
    await closed(world)

    assert prompts(world) == [
        [f"text {number}"] for number in range(MAX_EDIT_RESTARTS + 1)
    ]
    assert late.refused == MAX_EDIT_RESTARTS
    assert world.platform.screen("ada") == [f"re: text {MAX_EDIT_RESTARTS}"]
    assert await answers(world) == 1


async def test_someone_who_keeps_editing_at_the_writing_instance_gets_an_answer(
    world: EngineHarness, agent: Instance
) -> None:
    message = world.message("text 0")
    world.model.hold()
    await agent.engine.accept(message)

    for number in range(MAX_EDIT_RESTARTS + 1):
        await world.platform.until(
            lambda number=number: len(world.model.prompts) == number + 1  # type: ignore[misc]
        )
        await agent.engine.accept(changed(message, f"text {number + 1}"))

    world.model.release()
    await closed(world)

    assert prompts(world) == [
        [f"text {number}"] for number in range(MAX_EDIT_RESTARTS + 1)
    ]
    assert world.platform.screen("ada") == [f"re: text {MAX_EDIT_RESTARTS}"]


async def test_edits_of_a_message_that_was_taken_over_are_no_failures(
    world: EngineHarness, agent: Instance, other: Instance
) -> None:
    """Each instance that takes a message over counts one attempt, however often it restarts."""
    message = await begun(world, agent, "text 0")
    await asked(
        world,
        "UPDATE conversations SET lease_until = now() - interval '1 minute' RETURNING id",
    )
    await agent.crash()
    await world.platform.until(lambda: len(world.model.prompts) == 2)

    for number in range(4):
        await other.engine.accept(changed(message, f"text {number + 1}"))
        await world.platform.until(
            lambda number=number: len(world.model.prompts) == number + 3  # type: ignore[misc]
        )

    world.model.release()
    await closed(world)

    assert world.platform.screen("ada") == ["re: text 4"]

    attempts = await asked(world, "SELECT attempts FROM turns")
    assert attempts == 1
