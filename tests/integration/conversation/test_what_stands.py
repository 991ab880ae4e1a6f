"""What finally stands in the chat: every answer whole, once and in order, whatever was away."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from agent.conversation.delivery import display, sending
from agent.conversation.policy import LOST
from agent.conversation.recovery import MAX_DEATHS, SET_ASIDE
from agent.core.completion import Prompt
from agent.core.errors import DeliveryError, StoreUnavailable, Undeliverable
from agent.core.messages import Placed
from tests.support.clock import let_pass
from tests.support.engine_harness import EngineHarness, Instance, PlatformReply
from tests.support.settings import run
from tests.support.turns import asked, begun, closed

AWAY = DeliveryError("The platform is away.")
QUESTIONS = ("one", "two", "three")


@pytest.fixture
def world(database_url: str, redis_url: str) -> EngineHarness:
    return EngineHarness(database_url, redis_url, lease=0.5, beat=0.1)


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Pauses between two tries pass a thousand times as fast."""
    monkeypatch.setattr(sending, "FIRST_PAUSE", 0.0005)
    monkeypatch.setattr(sending, "LONGEST_PAUSE", 0.03)
    yield


class Outage:
    """A platform that takes nothing until it is back."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
        self.tries = 0
        self.is_over = False
        finish, show = PlatformReply.finish, PlatformReply.show

        async def fail_or_finish(reply: PlatformReply, text: str) -> Placed:
            if self.is_over:
                return await finish(reply, text)
            self.tries += 1
            raise error

        async def fail_or_show(reply: PlatformReply, text: str) -> Placed | None:
            if self.is_over:
                return await show(reply, text)
            raise error

        monkeypatch.setattr(PlatformReply, "finish", fail_or_finish)
        monkeypatch.setattr(PlatformReply, "show", fail_or_show)

    async def ends(self, tries: int) -> None:
        await self.lasts(tries)
        self.is_over = True

    async def lasts(self, tries: int) -> None:
        while self.tries < tries:
            await asyncio.sleep(0.01)


async def stored(world: EngineHarness, answers: int) -> None:
    """Returns once so many answers are stored."""
    async with asyncio.timeout(15):
        count = "SELECT count(*) FROM messages WHERE role = 'assistant'"
        while await asked(world, count) < answers:
            await asyncio.sleep(0.01)


# --- a platform that is away --------------------------------------------------


@pytest.mark.parametrize("seconds", [300, 3600])
@pytest.mark.parametrize("dies", [False, True])
@pytest.mark.usefixtures("fast")
async def test_after_an_outage_all_answers_arrive_once_and_in_order(
    world: EngineHarness,
    monkeypatch: pytest.MonkeyPatch,
    *,
    seconds: int,
    dies: bool,
) -> None:
    """It made a tenth of that many attempts give an answer up, silently."""
    outage = Outage(monkeypatch, AWAY)

    async with world.instance() as agent:
        for number, question in enumerate(QUESTIONS, start=1):
            await agent.engine.accept(world.message(question))
            if number == 1:
                await stored(world, 1)
        await outage.lasts(seconds // 30)
        await let_pass(world.database_url, seconds)
        if dies:
            await agent.crash()
            async with world.instance():
                await outage.ends(2 * seconds // 30)
                await closed(world)
        else:
            await outage.ends(2 * seconds // 30)
            await closed(world)

    first, rest = world.platform.screen("ada")[0], world.platform.screen("ada")[1:]

    assert "re: one" == first
    assert rest in (["re: three"], ["re: two", "re: three"])
    assert 0 == await asked(world, "SELECT count(*) FROM turns WHERE state <> 'done'")


@pytest.mark.usefixtures("fast")
async def test_an_answer_that_was_given_up_is_told_of_and_not_prompted(
    world: EngineHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    outage = Outage(monkeypatch, Undeliverable("The chat was closed."))

    async with world.instance() as agent:
        await agent.engine.accept(world.message("one"))
        await closed(world)
        outage.is_over = True
        async with asyncio.timeout(15):
            lost = "SELECT count(*) FROM messages WHERE metadata ? 'undelivered'"
            while not await asked(world, lost):
                await asyncio.sleep(0.01)

        await world.ask(agent, "two")

    prompted = [text for _, text in world.model.prompts[-1].messages]

    assert [f"{LOST}\n\nre: two"] == world.platform.screen("ada")
    assert not [text for text in prompted if "re: one" in text]


# --- where a draft stands -----------------------------------------------------


async def test_a_draft_whose_place_was_not_recorded_is_found_by_the_next_instance(
    world: EngineHarness,
) -> None:
    async with world.instance() as other, world.instance() as agent:
        _loses_places(agent)
        await begun(world, agent, "one")
        await agent.crash()
        world.model.release()
        await closed(world)

    assert ["re: one"] == world.platform.screen("ada")
    assert other.engine is not agent.engine


async def test_a_draft_outlives_nine_seconds_without_postgres(
    world: EngineHarness,
) -> None:
    """The process that posted it lives, loses its claim, takes it over, and remembers."""
    async with world.instance() as agent:
        away = asyncio.Event()
        _is_away(agent, away)
        message = world.message("one")
        world.model.hold()
        await agent.engine.accept(message)
        await world.platform.until(lambda: bool(world.platform.screen("ada")))
        away.set()
        world.model.release()
        await asyncio.sleep(1.0)
        await let_pass(world.database_url, 9)
        away.clear()
        await closed(world)
        await agent.engine._background.drain(5)

    assert ["re: one"] == world.platform.screen("ada")


async def test_a_draft_that_comes_late_does_not_replace_the_answer(
    world: EngineHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The call that showed it hung for longer than the lease; another instance sent the answer."""
    hangs, goes_on = asyncio.Event(), asyncio.Event()
    show = PlatformReply.show

    async def late(reply: PlatformReply, text: str) -> Placed | None:
        if text and "ada" in world.platform.chats and not hangs.is_set():
            hangs.set()
            await goes_on.wait()

        return await show(reply, text)

    async with world.instance() as agent:
        await begun(world, agent, "one")
        monkeypatch.setattr(PlatformReply, "show", late)
        await hangs.wait()
        await _freeze(agent)

        async with world.instance():
            world.model.release()
            await world.answered("ada", "re: one")
            await closed(world)
            goes_on.set()
            await world.platform.until(
                lambda: world.platform.screen("ada") == ["re:"], deadline=5
            )
            await world.platform.until(
                lambda: world.platform.screen("ada") == ["re: one"]
            )
            await closed(world)

    assert ["re: one"] == world.platform.screen("ada")


@pytest.mark.parametrize("dies", [False, True])
async def test_a_draft_that_the_network_held_up_does_not_replace_the_answer(
    world: EngineHarness, monkeypatch: pytest.MonkeyPatch, *, dies: bool
) -> None:
    """Its call was given up, yet the platform carries it out after the answer."""
    monkeypatch.setattr(display, "SHOW_SECONDS", 1.0)
    monkeypatch.setattr(display, "HUNG_SECONDS", 0.5)
    show, hangs = PlatformReply.show, asyncio.Event()
    held: list[tuple[PlatformReply, str]] = []

    async def hold(reply: PlatformReply, text: str) -> Placed | None:
        held.append((reply, text))
        hangs.set()
        await asyncio.Event().wait()
        raise AssertionError

    async with world.instance() as agent:
        await begun(world, agent, "one")
        monkeypatch.setattr(PlatformReply, "show", hold)
        await hangs.wait()
        world.model.release()
        await world.answered("ada", "re: one")
        await asyncio.sleep(0.3)  # its turn would be closed by now
        await show(*held[0])
        stood = world.platform.screen("ada")
        if dies:
            await agent.crash()
            async with world.instance():
                await closed(world)
        else:
            await closed(world)

    assert ["re:"] == stood
    assert ["re: one"] == world.platform.screen("ada")


async def _freeze(agent: Instance) -> None:
    """Its heartbeats stop, as under SIGSTOP or behind a dead network."""
    assert agent.engine._beats is not None

    agent.engine._beats.cancel()
    await asyncio.wait({agent.engine._beats})


def _loses_places(agent: Instance) -> None:
    """It dies before it records any."""

    async def never(*args: Any, **kwargs: Any) -> None:
        await asyncio.Event().wait()

    agent.ports.deliveries.placed = never  # type: ignore[method-assign]


def _is_away(agent: Instance, away: asyncio.Event) -> None:
    """Postgres cannot be reached by this instance while the event is set."""
    for port in (
        agent.ports.turns,
        agent.ports.deliveries,
        agent.ports.leases,
        agent.ports.recovery,
    ):
        for name in dir(type(port)):
            if not name.startswith("_") and callable(getattr(port, name)):
                setattr(port, name, _unless(away, getattr(port, name)))


def _unless(away: asyncio.Event, call: Any) -> Any:
    async def guarded(*args: Any, **kwargs: Any) -> Any:
        if away.is_set():
            raise StoreUnavailable()

        return await call(*args, **kwargs)

    return guarded


# --- messages over which instances die ----------------------------------------


async def test_a_poison_message_is_set_aside_alone_after_three_deaths(
    world: EngineHarness,
) -> None:
    """Its neighbours, answered together with it, keep their counts and get their answers."""
    world.drain = 0.0
    met = asyncio.Event()
    _meets(world, "poison", met)
    world.model.hold()
    deaths = 0

    async with world.instance() as first:
        for text in ("zero", "one", "poison", "three"):
            await first.engine.accept(world.message(text))
        world.model.release()
        await met.wait()
        await _recorded(first)
        await first.crash()

    while met.is_set() and deaths < 2 * MAX_DEATHS:
        deaths += 1
        met.clear()
        world.model.release()
        async with world.instance() as agent:
            ends = [asyncio.create_task(x) for x in (met.wait(), closed(world))]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if met.is_set():
                await _recorded(agent)
                await agent.crash()
            for end in ends:
                end.cancel()

    async with world.instance() as agent:
        await world.ask(agent, "four")

    counts = await asked(
        world, "SELECT array_agg(attempts ORDER BY platform_message_id) FROM turns"
    )

    assert MAX_DEATHS == deaths
    assert ["re: zero", "re: one", SET_ASIDE, "re: three", "re: four"] == (
        world.platform.screen("ada")
    )
    assert [0, 1, MAX_DEATHS - 1, 1, 0] == counts
    assert not met.is_set(), "it was in no later prompt"


async def _recorded(agent: Instance) -> None:
    """Returns once the ends of its deliveries are: a take-over of one would count, too."""
    while agent.engine._worker._recorder.lead_turns:
        await asyncio.sleep(0.01)


def _meets(world: EngineHarness, word: str, met: asyncio.Event) -> None:
    """The model holds a prompt with this word, and says so."""

    def said(prompt: Prompt) -> str:
        texts = [text for _, text in prompt.messages]
        if any(word in text for text in texts):
            met.set()
            world.model.hold()

        return f"re: {texts[-1]}"

    world.model.said = said


# --- what is recorded of an answer that is given up ---------------------------

_REFUSE = (
    """
    CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
        $$BEGIN RAISE 'no room' USING ERRCODE = 'disk_full'; END$$
    """,
    "CREATE TRIGGER refuse BEFORE INSERT ON audit_log EXECUTE FUNCTION refuse()",
)


@pytest.mark.usefixtures("fast")
async def test_why_an_answer_was_given_up_is_written_once_that_is_possible(
    world: EngineHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The audit log could not be written at first. Until then nothing else says so either:
    the turn is open, and no prompt leaves the answer out.
    """
    Outage(monkeypatch, Undeliverable("The chat was closed."))
    count = (
        "SELECT (SELECT count(*) FROM audit_log WHERE action = 'turn.failed')"
        " + 10 * (SELECT count(*) FROM turns WHERE state = 'failed')"
        " + 100 * (SELECT count(*) FROM messages WHERE metadata ? 'undelivered')"
    )

    async with world.instance() as agent:
        for statement in _REFUSE:
            await run(world.database_url, statement)
        await agent.engine.accept(world.message("one"))
        async with asyncio.timeout(10):
            while not agent.engine._worker._recorder.lead_turns:
                await asyncio.sleep(0.02)
        await asyncio.sleep(0.3)
        first = await asked(world, count)
        await run(world.database_url, "DROP TRIGGER refuse ON audit_log")
        async with asyncio.timeout(10):
            while agent.engine._worker._recorder.lead_turns:
                await asyncio.sleep(0.02)

    assert (0, 111) == (first, await asked(world, count))
