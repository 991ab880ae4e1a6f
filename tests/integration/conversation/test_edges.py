"""Moments at which an answer could be lost, doubled or left half written, each by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from agent.conversation import engine as engine_module
from agent.conversation.recovery import MAX_DEATHS, SET_ASIDE
from agent.conversation.worker import WITHDRAWN
from agent.core.errors import StoreUnavailable
from agent.core.messages import Overlap, Placed
from storage.conversation.last_accepted import PostgresLastAccepted
from storage.postgres import open_database
from tests.contract.conftest import answer_to
from tests.support.clock import let_pass
from tests.support.engine_harness import EngineHarness, Instance
from tests.support.turns import asked, begun, closed, set_overlap


@pytest.fixture
def world(database_url: str, redis_url: str) -> EngineHarness:
    return EngineHarness(database_url, redis_url, lease=0.5, beat=0.1)


# --- edits and deletions ------------------------------------------------------


async def test_a_deleted_message_that_waits_alone_is_not_answered(
    world: EngineHarness, agent: Instance
) -> None:
    await begun(world, agent, "one")
    second = world.message("two")
    await agent.engine.accept(second)
    await agent.engine.accept(second.deleted())
    world.model.release()
    await closed(world)

    assert world.platform.screen("ada") == ["re: one"]
    assert len(world.model.prompts) == 1


async def test_an_edit_leaves_no_draft_of_the_first_answer(
    world: EngineHarness, agent: Instance
) -> None:
    first = await begun(world, agent, "wrong")
    await agent.engine.accept(first.edited("right"))
    world.model.release()
    await closed(world)

    assert world.platform.screen("ada") == ["re: right"]


async def test_an_edit_while_another_message_waits_leaves_no_draft(
    world: EngineHarness, agent: Instance
) -> None:
    first = await begun(world, agent, "wrong")
    await agent.engine.accept(world.message("and more"))
    await agent.engine.accept(first.edited("right"))
    world.model.release()
    await closed(world)

    assert world.platform.screen("ada") == ["re: and more"]
    assert [text for _, text in world.model.prompts[-1].messages] == [
        "right",
        "and more",
    ]


async def test_an_edit_counts_while_the_answer_before_is_on_its_way(
    world: EngineHarness, agent: Instance
) -> None:
    world.platform.takes_answers.clear()
    first = world.message("one")
    second = world.message("wrong")
    await agent.engine.accept(first)

    async with asyncio.timeout(15):
        while not await asked(
            world, "SELECT count(*) FROM messages WHERE role = 'assistant'"
        ):
            await asyncio.sleep(0.01)

    await agent.engine.accept(second)
    await agent.engine.accept(second.edited("right"))
    world.platform.takes_answers.set()
    await closed(world)

    assert world.platform.screen("ada") == ["re: one", "re: right"]


# --- what an instance leaves --------------------------------------------------


@pytest.mark.parametrize("overlap", list(Overlap))
async def test_a_draft_is_finished_after_a_take_over_whatever_came_meanwhile(
    world: EngineHarness, overlap: Overlap
) -> None:
    """After a death each message is answered by itself: one of them may be what kills."""
    async with world.instance() as other, world.instance() as agent:
        await set_overlap(other, overlap)
        await begun(world, agent, "one")
        await other.engine.accept(world.message("two"))
        await agent.crash()
        world.model.release()
        await closed(world)

    assert world.platform.screen("ada") == ["re: one", "re: two"]


async def test_a_deleted_message_stays_silent_when_its_end_was_not_recorded(
    world: EngineHarness, agent: Instance
) -> None:
    """Its empty answer is stored; a sweep that finds it undelivered only closes it."""
    await begun(world, agent, "one")
    second = world.message("two")
    broken = RuntimeError("a mistake of ours")
    _fail_once(
        agent.ports.deliveries,
        "done",
        broken,
        runs=False,
        of=[(second.turn_id,), None],
    )
    await agent.engine.accept(second)
    await agent.engine.accept(second.deleted())
    world.model.release()
    await closed(world)

    assert world.platform.screen("ada") == ["re: one"]


async def test_a_draft_for_a_deleted_message_is_not_left_half_written(
    world: EngineHarness, agent: Instance
) -> None:
    first = await begun(world, agent, "one")
    await agent.engine.accept(first.deleted())
    world.model.release()
    await closed(world)

    assert world.platform.screen("ada") == ["The message was deleted."]


def _refuse_to_close(agent: Instance, away: asyncio.Event) -> asyncio.Event:
    """Postgres records no end of a delivery while it is away. The event is set at the first
    refusal.
    """
    refused = asyncio.Event()
    done = agent.ports.deliveries.done

    async def refuse(*args: Any, **kwargs: Any) -> None:
        if away.is_set():
            refused.set()
            raise StoreUnavailable()

        await done(*args, **kwargs)

    agent.ports.deliveries.done = refuse  # type: ignore[method-assign]

    return refused


async def test_what_arrived_is_not_sent_again_by_the_instance_that_knows(
    world: EngineHarness, agent: Instance
) -> None:
    """Postgres is away for longer than a statement is repeated. The arrival is recorded when
    it is back.
    """
    message = world.message("one")
    away = asyncio.Event()
    away.set()
    refused = _refuse_to_close(agent, away)

    assert agent.engine._beats is not None

    agent.engine._beats.cancel()  # one that had renewed before time passed would sweep after it
    await asyncio.wait({agent.engine._beats})
    await agent.engine.accept(message)
    await refused.wait()
    await let_pass(world.database_url, 60)
    await agent.engine._beat(routine=True)
    away.clear()
    await closed(world)
    await agent.engine._background.drain(15)

    assert {message.turn_id: 1} == world.platform.finished


async def test_an_instance_that_ends_before_it_recorded_an_end_leaves_that_to_another(
    world: EngineHarness,
) -> None:
    """Invariant 8: stopping waits no longer for this than for anything else."""
    world.drain = 0.0
    away = asyncio.Event()
    away.set()

    async with world.instance() as agent:
        refused = _refuse_to_close(agent, away)
        await agent.engine.accept(world.message("one"))
        await refused.wait()

    async with world.instance():
        await closed(world)


@pytest.mark.parametrize(("dies", "attempts"), [(False, 0), (True, MAX_DEATHS - 1)])
async def test_a_message_is_set_aside_for_deaths_and_not_for_restarts(
    world: EngineHarness, *, dies: bool, attempts: int
) -> None:
    """Instances that end in good order during one long answer hand it on as it was."""
    world.drain = 0.0
    message = world.message("one")
    world.model.hold()

    for number in range(MAX_DEATHS):
        async with world.instance() as agent:
            await agent.engine.accept(message)
            await world.platform.until(
                lambda number=number: len(world.model.prompts) > number  # type: ignore[misc]
            )
            if dies:
                await agent.crash()

    counted = await asked(world, "SELECT attempts FROM turns")

    assert attempts == counted

    world.model.release()

    async with world.instance():
        await closed(world)

    assert (SET_ASIDE if dies else "re: one") == world.platform.screen("ada")[-1]


async def test_a_suspect_waits_until_the_answer_before_it_is_stored_and_not_until_it_arrives(
    world: EngineHarness,
) -> None:
    """Invariant 9: a chat whose platform takes no answer holds up no other."""
    world.streams = False
    world.platform.takes_answers.clear()
    world.model.hold()

    async with world.instance() as dying:
        for chat in ("ada", "bob"):
            await dying.engine.accept(world.message("one", chat=chat))
        await dying.crash()

    await asked(world, "UPDATE turns SET attempts = 1 RETURNING id")
    world.model.release()

    async with world.instance():
        async with asyncio.timeout(15):
            while (
                await asked(
                    world, "SELECT count(*) FROM messages WHERE role = 'assistant'"
                )
                < 2
            ):
                await asyncio.sleep(0.02)

        world.platform.takes_answers.set()
        await closed(world)

    assert [["re: one"], ["re: one"]] == [
        world.platform.screen(chat) for chat in ("ada", "bob")
    ]


@pytest.fixture
def no_routine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Work that an instance knows to be in doubt must not wait for the routine sweep."""
    monkeypatch.setattr(engine_module, "SWEEP_EVERY_BEATS", 1_000_000)


Failure = Callable[[Instance], None]


def answer_is_refused(agent: Instance) -> None:
    """Postgres is away for longer than a statement is repeated."""
    _fail_once(agent.ports.turns, "answer", StoreUnavailable(), runs=False)


def answer_is_in_doubt(agent: Instance) -> None:
    _fail_once(agent.ports.turns, "answer", StoreUnavailable(), runs=True)


def something_breaks(agent: Instance) -> None:
    _fail_once(
        agent.ports.turns, "answer", RuntimeError("a mistake of ours"), runs=False
    )


def _fail_once(
    port: Any, name: str, error: Exception, *, runs: bool, of: list[Any] | None = None
) -> None:
    """Makes the next call fail (with these arguments, if given), before or after it has its
    effect.
    """
    method = getattr(port, name)

    async def fail(*args: Any, **kwargs: Any) -> None:
        if of is not None and list(args) != of:
            await method(*args, **kwargs)
            return

        setattr(port, name, method)
        if runs:
            await method(*args, **kwargs)
        raise error

    setattr(port, name, fail)


@pytest.mark.usefixtures("no_routine")
@pytest.mark.parametrize(
    "failure", [answer_is_refused, answer_is_in_doubt, something_breaks]
)
async def test_work_that_ended_early_is_taken_up_without_waiting_for_the_routine(
    world: EngineHarness, agent: Instance, failure: Failure
) -> None:
    failure(agent)
    await agent.engine.accept(world.message("one"))
    await closed(world)

    assert world.platform.screen("ada") == ["re: one"]


@pytest.mark.usefixtures("no_routine")
@pytest.mark.parametrize("told", [StoreUnavailable(), None])
async def test_a_message_stored_without_anyone_learning_so_is_answered(
    world: EngineHarness, agent: Instance, told: StoreUnavailable | None
) -> None:
    """None: the statement was repeated after its commit, and found its own turn as a duplicate."""
    message = world.message("one")
    accept = agent.ports.turns.accept

    async def forget(*args: Any) -> None:
        agent.ports.turns.accept = accept  # type: ignore[method-assign]
        await accept(*args)
        if told:
            raise told

    agent.ports.turns.accept = forget  # type: ignore[method-assign, assignment]
    if told:
        with pytest.raises(StoreUnavailable):
            await agent.engine.accept(message)
    else:
        await agent.engine.accept(message)
    await world.answered("ada", "re: one")


async def test_a_closed_database_makes_no_new_connection(
    world: EngineHarness,
) -> None:
    """A statement that is repeated while its instance ends would leave one behind."""
    async with open_database(world.database_url) as database:
        line = database.line()
        await line.fetch("SELECT 1")

    with pytest.raises(StoreUnavailable):
        await line.fetch("SELECT 1")


async def test_where_chats_were_left_is_not_nothing_while_the_database_is_away(
    world: EngineHarness,
) -> None:
    """A channel that believed it would fetch nothing, and then accept messages that hide the
    gap.
    """
    async with open_database(world.database_url) as database:
        backlog = PostgresLastAccepted(database)
        assert {} == await backlog("test")

    with pytest.raises(StoreUnavailable):
        await backlog("test")


async def test_a_draft_of_the_dead_whose_message_was_deleted_is_withdrawn(
    world: EngineHarness,
) -> None:
    """Recorded after another instance had found nothing to say and no draft. The next sweep
    sees it.
    """
    message = world.message("tell me a story")
    async with world.instance() as agent:
        world.model.hold()
        await agent.engine.accept(message)
        await world.platform.until(lambda: bool(world.platform.screen("ada")))
        [running] = agent.engine._worker._active
        await agent.crash()

        assert running.claim is not None

        await agent.ports.turns.answer(answer_to(running.claim, 1, ""))
        await agent.ports.deliveries.placed(
            message.turn_id, Placed(tuple(world.platform.chats["ada"]))
        )
        await agent.ports.deliveries.done([([message.turn_id], None)])

    await let_pass(world.database_url, 6)

    async with world.instance():
        await world.answered("ada", WITHDRAWN)
        await closed(world)
