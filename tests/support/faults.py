"""Between an engine and its ports: ends an instance at any await, or lets one call fail."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar, cast
from uuid import UUID

from msgspec.structs import replace

from agent.core.errors import AgentError, DeliveryError, StoreUnavailable
from agent.core.messages import Address, Placed
from agent.ports import Accept, Channel, Ports, Reply

Result = TypeVar("Result")
When = Literal["before", "during", "after"]
"""Whether the call that fails had no effect, still has it later, or had it without anyone
learning so.
"""


@dataclass
class Pulse:
    """Counts the calls of all instances to the outside: a clock without seconds."""

    count: int = 0
    _beat: asyncio.Event = field(default_factory=asyncio.Event)

    def tick(self) -> None:
        self.count += 1
        self._beat.set()

    async def wait(self, ticks: int) -> None:
        """Returns after this many calls. Heartbeats count, so it ends while an instance lives."""
        end = self.count + ticks
        while self.count < end:
            self._beat.clear()
            await self._beat.wait()


@dataclass
class Fuse:
    """Every call of one instance goes through it. Once it is blown, none does."""

    pulse: Pulse = field(default_factory=Pulse)
    blown: bool = False
    _calls_left: int | None = None
    _when: When = "before"
    _kills: bool = True
    _orphans: set[asyncio.Future[Any]] = field(default_factory=set)

    def arm(self, calls: int, when: When, *, kills: bool = True) -> None:
        """The call after this many others kills the instance, or only fails."""
        self._calls_left = calls
        self._when = when
        self._kills = kills

    @property
    def armed(self) -> bool:
        """Whether the call that is to fail has not come yet."""
        return self._calls_left is not None

    def disarm(self) -> None:
        self._calls_left = None

    async def guard(
        self, call: Callable[[], Awaitable[Result]], failure: AgentError
    ) -> Result:
        if self.blown:
            raise asyncio.CancelledError

        self.pulse.tick()
        if self._is_due():
            await self._fail(call)
            raise asyncio.CancelledError if self.blown else failure

        result = await call()
        if self.blown:  # it died while it waited
            raise asyncio.CancelledError

        return result

    def _is_due(self) -> bool:
        if self._calls_left is None:
            return False

        self._calls_left -= 1
        if self._calls_left > 0:
            return False

        self._calls_left = None

        return True

    async def _fail(self, call: Callable[[], Awaitable[object]]) -> None:
        self.blown = self._kills
        if self._when == "after":
            await call()
        elif self._when == "during":
            self._orphans.add(asyncio.ensure_future(call()))

    async def settle(self, seconds: float = 0.2) -> bool:
        """Whether every call still in progress has had its effect. Calls waiting for people
        take longer.
        """
        if self._orphans:
            done, self._orphans = await asyncio.wait(self._orphans, timeout=seconds)
            await asyncio.gather(*done, return_exceptions=True)

        return not self._orphans


class Faulty:
    """A port whose calls go through a fuse."""

    def __init__(self, inner: object, fuse: Fuse, failure: AgentError) -> None:
        self._inner = inner
        self._fuse = fuse
        self._failure = failure

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._inner, name)
        if not inspect.iscoroutinefunction(attribute):
            return attribute

        async def call(*args: Any, **kwargs: Any) -> Any:
            return await self._fuse.guard(
                lambda: attribute(*args, **kwargs), self._failure
            )

        return call


class FaultyChannel:
    """A channel whose replies go through a fuse."""

    def __init__(self, inner: Channel, fuse: Fuse) -> None:
        self.name = inner.name
        self._inner = inner
        self._fuse = fuse

    async def run(self, accept: Accept) -> None:
        await self._inner.run(accept)

    def reply(
        self,
        address: Address,
        placed: Placed | None,
        turns: Sequence[UUID],
        *,
        repeat: bool = False,
    ) -> Reply:
        reply = self._inner.reply(address, placed, turns, repeat=repeat)
        return cast(
            "Reply", Faulty(reply, self._fuse, DeliveryError("The platform is away."))
        )


def through(fuse: Fuse, ports: Ports) -> Ports:
    """The same ports, each call through the fuse. The cache never raises: it dies with its
    instance.
    """
    away = StoreUnavailable(StoreUnavailable.__doc__)
    stores = (
        "turns",
        "deliveries",
        "leases",
        "recovery",
        "commands",
        "records",
        "edits",
        "votes",
        "control",
        "control_updates",
    )

    return replace(
        ports,
        **{name: Faulty(getattr(ports, name), fuse, away) for name in stores},
        channels={
            name: FaultyChannel(channel, fuse)
            for name, channel in ports.channels.items()
        },
    )
