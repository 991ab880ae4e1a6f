"""A platform on a clock that only tests move, for the governor of sends."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Awaitable, Callable, Collection, Coroutine
from dataclasses import dataclass, field

from channels.pacing import Governor, Rate, RateLimited


class FakeClock:
    """Time that passes only when everybody sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.steps = 0  # how often somebody did something
        self.sleeps = 0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._number = itertools.count()

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.steps += 1
        self.sleeps += 1
        woken = asyncio.get_running_loop().create_future()
        heapq.heappush(
            self._sleepers, (self.now + seconds, next(self._number), woken)
        )
        await woken
        self.steps += 1

    async def run(self, *work: Coroutine[object, object, object]) -> list[object]:
        """Runs all of it to its end; an exception is a result."""
        everything = asyncio.gather(*work, return_exceptions=True)
        await self.settle()

        while not everything.done():
            due, _, woken = heapq.heappop(self._sleepers)
            self.now = max(self.now, due)
            if not woken.done():
                woken.set_result(None)

            await self.settle()

        return list(everything.result())

    async def settle(self) -> None:
        """Returns once nothing more happens at this moment."""
        idle = 0
        while idle < 10:
            before = self.steps
            await asyncio.sleep(0)
            idle = idle + 1 if self.steps == before else 0


@dataclass
class Call:
    """One call that reached the platform."""

    at: float
    chat: str
    route: str
    name: str
    final: bool
    refused: RateLimited | None = None
    seen: int = 0  # how many calls had left when its answer was known


@dataclass
class Platform:
    """Takes calls, refuses some on request, and remembers all of them."""

    clock: FakeClock
    # of the next calls, in order
    refusals: list[RateLimited | None] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    takes: float = 0.0  # seconds a call lasts
    strict_with: Collection[str] = "abc"  # the chats that may be refused

    def call(
        self,
        chat: str,
        name: str,
        route: str = "send",
        *,
        final: bool = True,
    ) -> Callable[[], Awaitable[str]]:
        async def send() -> str:
            refused = (
                self.refusals.pop(0)
                if self.refusals and chat in self.strict_with
                else None
            )
            self.clock.steps += 1
            call = Call(self.clock(), chat, route, name, final, refused)
            self.calls.append(call)
            if self.takes:
                await self.clock.sleep(self.takes)

            call.seen = len(self.calls)
            if refused:
                raise refused

            return name

        return send

    def arrived(self, chat: str | None = None) -> list[tuple[str, float]]:
        """The accepted calls, with their seconds after the start."""
        return [
            (call.name, call.at - 1000)
            for call in self.calls
            if not call.refused and chat in (None, call.chat)
        ]


class SharedFake:
    """What instances would keep in Redis: a slot every `seconds / count`, and penalties."""

    def __init__(self, clock: FakeClock, takes: float = 0.0) -> None:
        self._clock = clock
        self._takes = takes  # seconds until it answers
        self._free: dict[str, float] = {}

    async def reserve(self, key: str, rate: Rate) -> float:
        if self._takes:
            await self._clock.sleep(self._takes)

        now = self._clock()
        if (wait := self._free.get(key, now) - now) > 0:
            return wait

        self._free[key] = now + rate.seconds / rate.count

        return 0

    async def penalise(self, key: str, seconds: float) -> None:
        self._free[key] = max(self._free.get(key, 0), self._clock() + seconds)


def governor(
    clock: FakeClock,
    chat: Rate | None = None,
    bot: Rate | None = None,
) -> Governor:
    return Governor(
        chat=chat,
        bot=bot,
        clock=clock,
        sleep=clock.sleep,
    )
