"""Which calls that show a draft may still be carried out after they are given up."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import cast
from uuid import uuid4

import pytest

from agent.conversation.delivery import display
from agent.conversation.delivery.display import (
    HUNG_SECONDS,
    LONGEST_HUNG,
    DraftDisplay,
)
from agent.conversation.delivery.recorder import DeliveryRecorder
from agent.core.errors import DeliveryError
from agent.core.messages import Placed

PLACED = Placed(("m1",))
LONG = HUNG_SECONDS + 1


@dataclass
class Clock:
    """Takes the place of `time`: it is a moment that a test chooses."""

    now: float = 1_000.0

    def monotonic(self) -> float:
        return self.now


@dataclass
class Call:
    """One call that shows a draft: how long it takes by the clock, and how it ends."""

    clock: Clock
    seconds: float
    end: Callable[[], Awaitable[Placed]]
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    drafts_stand: bool = False

    async def show(self, text: str) -> Placed:
        self.clock.now += self.seconds
        self.begun.set()

        return await self.end()

    async def finish(self, text: str) -> Placed:
        raise AssertionError


class Places:
    """Forgets where drafts stand."""

    def place(self, *args: object, **kwargs: object) -> None:
        pass


async def arrives() -> Placed:
    return PLACED


async def fails() -> Placed:
    raise DeliveryError("It timed out.")


async def breaks() -> Placed:
    raise RuntimeError


async def goes_on() -> Placed:
    await asyncio.Event().wait()
    raise AssertionError


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(display, "time", clock)
    monkeypatch.setattr(display, "BEGIN_SECONDS", 0.0)
    monkeypatch.setattr(display, "SHOW_SECONDS", 0.01)

    return clock


async def shown(call: Call) -> DraftDisplay:
    """The display after this call, closed."""
    draft = DraftDisplay(
        call,
        cast(DeliveryRecorder, Places()),
        [uuid4()],
        is_ours=lambda: True,
    )
    draft.grow(lambda: "one")
    await call.begun.wait()
    await draft.close()

    return draft


@pytest.mark.parametrize(
    ("seconds", "end", "hung"),
    [
        (LONG, arrives, 0.0),
        (LONG, fails, LONG),
        (LONG, breaks, LONG),
        (LONG, goes_on, LONG),
        (1.0, arrives, 0.0),
        (1.0, fails, 0.0),
        (1.0, breaks, 0.0),
    ],
)
async def test_a_call_hung_if_it_took_long_and_did_not_arrive(
    clock: Clock, seconds: float, end: Callable[[], Awaitable[Placed]], hung: float
) -> None:
    draft = await shown(Call(clock, seconds, end))

    assert hung == draft.hung


async def test_a_chat_is_held_up_for_a_bounded_time_however_long_ago_a_call_hung(
    clock: Clock,
) -> None:
    """A model may write for minutes after that."""
    draft = await shown(Call(clock, LONG, fails))
    clock.now += 600

    assert draft.hung == LONGEST_HUNG == 30.0
