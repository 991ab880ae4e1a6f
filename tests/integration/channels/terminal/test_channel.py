"""The terminal channel on the real core and stores; the person, the window and the model
are the test's.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import pytest
from uuid_utils.compat import uuid7

from agent.app import wire
from agent.conversation.engine import Engine
from agent.core.errors import DeliveryError, Refused
from agent.core.messages import Address, Notice
from agent.core.options import Options
from channels.terminal.channel import IGNORED, Terminal, _Asked
from storage.limits.noted import Noted
from storage.postgres import open_database
from storage.redis import open_redis
from tests.conformance.drivers.terminal import TerminalDriver, UnsupportedHere
from tests.support.engine_harness import MODEL, Script
from tests.support.settings import set_channel

DEADLINE = 20.0


class Person:
    """Lines that are typed; an exception stands for one that cannot be sent."""

    def __init__(self, *lines: str | Exception) -> None:
        self._lines = list(lines)

    async def line(self) -> str | None:
        line = self._lines.pop(0) if self._lines else None
        if isinstance(line, Exception):
            raise line

        return line


@dataclass
class Window:
    """What a person saw: (kind, text)."""

    frame: float = 0.0
    seen: list[tuple[str, str]] = field(default_factory=list)
    failures: list[OSError] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def show(self, text: str) -> None:
        self._note("grows", text)

    def finish(self, text: str) -> None:
        if self.failures:
            raise self.failures.pop(0)

        self._note("notice" if isinstance(text, Notice) else "answer", text)

    def left_over(self, text: str, *, repeat: bool) -> None:
        self._note("repeat" if repeat else "left over", text)

    def notice(self, text: str) -> None:
        self._note("notice", text)

    def _note(self, kind: str, text: str) -> None:
        self.seen.append((kind, text))
        self.changed.set()

    @property
    def stays(self) -> list[tuple[str, str]]:
        return [(kind, text) for kind, text in self.seen if kind != "grows"]

    async def until(self, kind: str, text: str) -> None:
        async with asyncio.timeout(DEADLINE):
            while (kind, text) not in self.seen:
                self.changed.clear()
                await self.changed.wait()


@dataclass
class TerminalHarness:
    """Stores and a model for one terminal after the other."""

    database_url: str
    redis_url: str
    model: Script = field(default_factory=Script)

    @asynccontextmanager
    async def engine(self, terminal: Terminal) -> AsyncIterator[Engine]:
        async with (
            open_database(self.database_url) as database,
            open_redis(self.redis_url) as pipe,
        ):
            ports = await wire(
                database,
                pipe,
                self.model,
                lambda _: [terminal],
                noted=Noted(),
                instance=uuid7(),
                lease=1.0,
            )
            options = Options(
                MODEL, max_message_chars=50, beat_seconds=0.1, drain_seconds=0.5
            )
            async with Engine(ports, options) as engine:
                yield engine

    async def run(
        self, *lines: str | Exception, window: Window | None = None
    ) -> tuple[Window, int]:
        """One run of `agent chat`: what was seen, and how many lines had no answer."""
        window = window or Window()
        terminal = Terminal(Person(*lines), window, user="ada")
        async with self.engine(terminal) as engine, asyncio.timeout(DEADLINE):
            await terminal.run(engine.accept)

        return window, terminal.unanswered


@pytest.fixture
def harness(database_url: str, redis_url: str) -> TerminalHarness:
    return TerminalHarness(database_url, redis_url)


async def test_lines_are_answered_in_turn(harness: TerminalHarness) -> None:
    """Each line has its answer before the next is sent; empty ones are no messages."""
    window, unanswered = await harness.run("one", "", "   ", "two")

    assert window.stays == [("answer", "re: one"), ("answer", "re: two")]
    assert unanswered == 0


async def test_the_conversation_continues_after_leaving(
    harness: TerminalHarness,
) -> None:
    """A later run sees what was said before."""
    await harness.run("my name is Ada")
    await harness.run("what did I say?")

    assert [text for _, text in harness.model.prompts[-1].messages] == [
        "my name is Ada",
        "re: my name is Ada",
        "what did I say?",
    ]


async def test_an_answer_is_seen_as_it_grows(harness: TerminalHarness) -> None:
    """First the words, then the whole."""
    window = Window()
    harness.model.hold()
    running = asyncio.create_task(harness.run("hello", window=window))
    await window.until("grows", "re:")
    harness.model.release()
    await running

    # on a slow machine, the place where words will be is seen before them
    grown = [text for kind, text in window.seen if kind == "grows" and text]
    assert grown[0] == "re:"
    assert window.stays == [("answer", "re: hello")]


async def test_before_the_first_word_somebody_thinks(
    harness: TerminalHarness,
) -> None:
    window = Window()
    harness.model.said = lambda _: " at last"  # the first word is empty
    harness.model.hold()
    running = asyncio.create_task(harness.run("hello", window=window))
    await window.until("grows", "")
    harness.model.release()
    await running

    assert [text for kind, text in window.stays if kind == "answer"] == [" at last"]


async def test_what_is_no_answer_counts(harness: TerminalHarness) -> None:
    """A model's failure, a line that cannot be read: said, counted, and the next line is read."""
    harness.model.error = "The model is away."
    window, unanswered = await harness.run(
        "one", Refused("Line 2 is not UTF-8 text.")
    )

    assert [kind for kind, _ in window.stays] == ["notice", "notice"]
    assert unanswered == 2


async def test_interrupting_stops_the_answer(harness: TerminalHarness) -> None:
    """As /stop does, whose own answer is not shown; a second time there is nothing left to tell."""
    window = Window()
    harness.model.hold()
    terminal = Terminal(Person("hello"), window, user="ada")

    async with harness.engine(terminal) as engine:
        running = asyncio.create_task(terminal.run(engine.accept))
        await window.until("grows", "re:")
        stopped = (terminal.interrupt(), terminal.interrupt())
        async with asyncio.timeout(DEADLINE):
            await running

    assert stopped == (True, False)
    assert window.stays == [("notice", "re:\n\n*(stopped)*")]


async def test_an_answer_left_behind_comes_in_the_next_run(
    harness: TerminalHarness,
) -> None:
    """A person who leaves while the model thinks finds the answer later, once."""
    first = Window()
    harness.model.hold()
    terminal = Terminal(Person("hello"), first, user="ada")

    async with harness.engine(terminal) as engine:
        running = asyncio.create_task(terminal.run(engine.accept))
        await first.until("grows", "re:")
        running.cancel()
        await asyncio.wait({running})
        left_waiting = terminal.waiting

    harness.model.release()
    later = Window()
    async with harness.engine(Terminal(Person(), later, user="ada")):
        await later.until("left over", "re: hello")

    assert (left_waiting, first.stays, later.stays) == (
        True,
        [],
        [("left over", "re: hello")],
    )


async def test_an_answer_that_comes_while_leaving_is_shown(
    harness: TerminalHarness,
) -> None:
    """The engine finishes what it has begun; the window still stands."""
    window = Window()
    harness.model.hold()
    terminal = Terminal(Person("hello"), window, user="ada")

    async with harness.engine(terminal) as engine:
        running = asyncio.create_task(terminal.run(engine.accept))
        await window.until("grows", "re:")
        running.cancel()
        await asyncio.wait({running})
        harness.model.release()
        await window.until("left over", "re: hello")

    assert not terminal.waiting


async def test_an_answer_of_another_person_is_not_shown(
    harness: TerminalHarness,
) -> None:
    """Two people may share a database: each sees the own answers alone."""
    window = Window()
    terminal = Terminal(Person(), window, user="ada")

    with pytest.raises(DeliveryError, match="another person's"):
        await terminal.reply(Address("terminal", "bob"), None, [uuid7()]).finish(
            "for bob"
        )

    await terminal.reply(
        Address("terminal", "ada#2"), None, [uuid7()], repeat=True
    ).finish("for ada")

    assert window.seen == [("repeat", "for ada")]


async def test_an_answer_to_this_line_and_an_earlier_one_is_shown_as_it_grows(
    harness: TerminalHarness,
) -> None:
    """The earlier line got no answer in time, and this one was answered together with it."""
    window = Window()
    terminal = Terminal(Person(), window, user="ada")
    asked = _Asked(uuid7())
    terminal._asked = asked

    reply = terminal.reply(Address("terminal", "ada"), None, [uuid7(), asked.turn])
    await reply.finish("for both")

    assert asked.answered.done()


async def test_a_window_that_hangs_once_gets_the_answer_after_all(
    harness: TerminalHarness,
) -> None:
    """What fails for a moment is tried again."""
    window = Window(failures=[OSError(errno.EIO, "Input/output error")])
    await harness.run("hello", window=window)

    assert window.stays == [("answer", "re: hello")]


async def test_when_nobody_reads_any_more_the_run_ends(
    harness: TerminalHarness,
) -> None:
    """A closed pipe ends it at once: no further line is sent."""
    window = Window(failures=[BrokenPipeError(errno.EPIPE, "Broken pipe")])
    with pytest.raises(BrokenPipeError):
        await harness.run("one", "two", window=window)

    assert harness.model.prompts[-1].messages[-1] == ("user", "one")


@pytest.mark.parametrize(
    ("settings", "taken"),
    [({"deny": ["ada"]}, 0), ({"user_limit": "1/hour"}, 2)],
    ids=["denied", "limited"],
)
async def test_a_line_that_is_passed_over_is_not_waited_for(
    harness: TerminalHarness,
    settings: dict[str, Any],
    taken: int,
) -> None:
    """Elsewhere nobody hears of it; here the prompt comes back at once, with a sentence,
    and no answer is owed.
    """
    await set_channel(harness.database_url, "terminal", **settings)
    window, lines = Window(), ("one", "two", "three", "four")
    terminal = Terminal(Person(*lines), window, user="ada")
    async with harness.engine(terminal) as engine, asyncio.timeout(DEADLINE):
        await terminal.run(engine.accept)

    assert len(lines) == len(window.stays)
    assert [("notice", IGNORED)] * (len(lines) - taken) == window.stays[taken:]
    assert not terminal.waiting


async def test_an_answer_that_does_not_come_is_not_waited_for_forever(
    harness: TerminalHarness,
) -> None:
    """It may have gone to another terminal; a sentence says so and the next line is read."""
    window = Window()
    ids = count()

    async def accept(_: object) -> bool:
        next(ids)
        return True

    terminal = Terminal(Person("one", "two"), window, user="ada", patience=0.01)
    async with asyncio.timeout(DEADLINE):
        await terminal.run(accept)

    assert [kind for kind, _ in window.stays] == ["notice", "notice"]
    assert (next(ids), terminal.unanswered) == (2, 2)


async def test_the_conformance_driver_sees_what_a_person_sees(
    harness: TerminalHarness,
) -> None:
    """Said before anybody listens, failing once, with a command: each answer stands once,
    in order.
    """
    driver = TerminalDriver()
    place = driver.direct("ada")
    await driver.say(place, "hello")
    driver.fail_next(place)
    terminal = driver.channel()

    async with driver.start(), harness.engine(terminal) as engine:
        running = asyncio.create_task(terminal.run(engine.accept))
        await driver.command(place, "stop")
        await driver.say(place, "bye")

        async with asyncio.timeout(DEADLINE):
            while len(driver.screen(place)) < 3 or driver.window.growing:
                await driver.window.changed.wait()
                driver.window.changed.clear()

        running.cancel()
        await asyncio.wait({running})

    assert driver.screen(place) == [
        "re: hello",
        "There is nothing to stop.",
        "re: bye",
    ]
    assert (driver.unacknowledged(), driver.early_calls()) == (0, 0)
    with pytest.raises(UnsupportedHere):
        driver.group("family")
