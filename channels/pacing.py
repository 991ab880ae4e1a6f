"""Outbound pacing: how fast one bot may speak, and who waits when a platform says "slow down".

A final answer waits its turn and is never dropped. A draft (an edit of an unfinished
answer) is worth nothing late, so it is dropped instead of waiting. A penalty holds exactly
what the platform named (one chat, one route or the whole bot) and nothing else. All times
are seconds.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeVar

from agent.core.errors import DeliveryError

T = TypeVar("T")
Scope = Literal["chat", "route", "bot"]

_UNNAMED_WAIT = 1.0  # a "slow down" that names no wait must not become a busy loop
_FORGET_FROM = 256  # fewer lanes than this are not worth looking through


class RateLimited(Exception):
    """The platform refused a call for now and named the wait.

    `scope` says what has to wait: this `chat`, this `route` in all chats, or the whole
    `bot`. A `retry_after` that is zero, negative or no number counts as one second.
    """

    def __init__(self, retry_after: float, scope: Scope = "chat") -> None:
        super().__init__(f"slow down: this {scope} has to wait {retry_after} s")
        named = math.isfinite(retry_after) and retry_after > 0
        self.retry_after = retry_after if named else _UNNAMED_WAIT
        self.scope: Scope = scope


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `count` calls at once, then one each `seconds / count` (GCRA with a burst of
    `count`).
    """

    count: int
    seconds: float


class SharedPace(Protocol):
    """A pace that all instances of a bot keep together. Never raises: out of reach, it
    answers 0.
    """

    async def reserve(self, key: str, rate: Rate) -> float:
        """Takes a slot and returns 0, or takes nothing and returns the seconds after which
        to ask again.
        """

    async def penalise(self, key: str, seconds: float) -> None:
        """From now on nobody gets a slot of `key` for that long."""


@dataclass(slots=True, eq=False)
class _Lane:
    """What has a pace or a penalty of its own: a chat, a route, the bot."""

    key: str  # names it to the shared pace
    rate: Rate | None = None
    # the one number of GCRA: when all calls taken so far are paid for
    paid_until: float = -math.inf
    held_until: float = -math.inf
    finals: int = 0  # waiting or being sent
    # fair: served in the order of asking
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    def free_at(self) -> float:
        """The first moment at which a call may be made."""
        if self.rate is None:
            return self.held_until

        burst = self.rate.seconds - self.rate.seconds / self.rate.count
        return max(self.held_until, self.paid_until - burst)

    def take(self, now: float) -> None:
        if self.rate is not None:
            self.paid_until = (
                max(self.paid_until, now) + self.rate.seconds / self.rate.count
            )

    def quiet(self, now: float) -> bool:
        """Nothing about it is worth remembering."""
        return (
            not self.finals
            and not self.lock.locked()
            and max(self.held_until, self.paid_until) <= now
        )


class Governor:
    """Decides when a bot may call its platform.

    `chat` paces each chat by itself, `bot` all chats together; None leaves that to the
    platform's own refusals. With `shared`, the paces that are given hold across all
    instances, and so do the penalties of chats and bot that have one; the keys are
    `chat:<chat>` and `bot`. Quiet chats and routes are forgotten.
    """

    def __init__(
        self,
        *,
        chat: Rate | None = None,
        bot: Rate | None = None,
        shared: SharedPace | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._chat_rate = chat
        self._shared = shared
        self._clock = clock
        self._sleep = sleep
        self._bot = _Lane("bot", bot)
        self._lanes: dict[str, _Lane] = {}
        self._forget_at = _FORGET_FROM

    async def final(
        self,
        chat: str,
        route: str,
        send: Callable[[], Awaitable[T]],
        *,
        deadline: float = 600.0,
    ) -> T:
        """Sends what must arrive: waits its turn, and after each RateLimited as long as
        that names, not less.

        Finals of one chat are sent one after the other, in the order of asking. Whatever
        else `send` raises goes to the caller. Raises DeliveryError when `deadline` seconds
        are not enough, and at once when the wait that is named is longer; a `send` that
        hangs is cancelled then.
        """
        lane = self._lane(f"chat:{chat}", self._chat_rate)
        until = self._clock() + deadline
        lane.finals += 1

        try:
            async with asyncio.timeout(deadline) as timer, lane.lock:
                return await self._insist(lane, route, send, until)
        except TimeoutError as error:
            if not timer.expired():
                raise

            raise _too_late() from error
        finally:
            lane.finals -= 1

    async def draft(
        self, chat: str, route: str, send: Callable[[], Awaitable[T]]
    ) -> T | None:
        """Sends what is worth nothing late: instead of waiting for anything it returns None.

        Dropped when a final waits or another call runs in this chat, when chat, route or
        bot are under penalty, when the pace would make it wait, and when RateLimited comes
        back (which is remembered).
        """
        lane = self._lane(f"chat:{chat}", self._chat_rate)
        if lane.finals or lane.lock.locked() or self._held(lane, route):
            return None
        if max(lane.free_at(), self._bot.free_at()) > self._clock():
            return None

        # it is free; a final that comes now waits until this draft has landed
        async with lane.lock:
            if not (await self._granted(lane) and await self._granted(self._bot)):
                return None
            # since the shared pace was asked
            if lane.finals or self._held(lane, route):
                return None

            try:
                return await send()
            except RateLimited as limit:
                await self._penalise(lane, route, limit)
                return None

    async def _insist(
        self, lane: _Lane, route: str, send: Callable[[], Awaitable[T]], until: float
    ) -> T:
        while True:
            await self._turn(lane, route, until)
            try:
                return await send()
            except RateLimited as limit:
                await self._penalise(lane, route, limit)

    async def _turn(self, lane: _Lane, route: str, until: float) -> None:
        """Returns at a moment at which nothing is held and a call of this chat and this bot
        is taken.
        """
        while True:
            await self._free(self._lane(f"route:{route}"), until)
            await self._free(lane, until)

            # one waits for the bot's next call, the others for that one
            async with self._bot.lock:
                await self._free(self._bot, until)
                self._bot.take(self._clock())

            if not self._held(lane, route):
                lane.take(self._clock())  # now, not before the wait for the bot
                return

    async def _free(self, lane: _Lane, until: float) -> None:
        """Waits until a call may be made here, also by what the other instances made."""
        while (wait := lane.free_at() - self._clock()) > 0 or (
            wait := await self._elsewhere(lane)
        ) > 0:
            if self._clock() + wait > until:
                raise _too_late()

            await self._sleep(wait)

    async def _granted(self, lane: _Lane) -> bool:
        """A call right now, or nothing."""
        if lane.free_at() > self._clock():
            return False

        lane.take(self._clock())
        return await self._elsewhere(lane) <= 0

    async def _elsewhere(self, lane: _Lane) -> float:
        """Takes a call of the shared pace, if there is one, or names the wait."""
        if self._shared is None or lane.rate is None:
            return 0

        return await self._shared.reserve(lane.key, lane.rate)

    def _held(self, lane: _Lane, route: str) -> bool:
        way = self._lanes.get(f"route:{route}", self._bot)
        return (
            max(lane.held_until, way.held_until, self._bot.held_until) > self._clock()
        )

    async def _penalise(self, lane: _Lane, route: str, limit: RateLimited) -> None:
        held = {"chat": lane, "route": self._lane(f"route:{route}"), "bot": self._bot}[
            limit.scope
        ]
        held.held_until = max(held.held_until, self._clock() + limit.retry_after)
        if self._shared is not None and held.rate is not None:
            await self._shared.penalise(held.key, limit.retry_after)

    def _lane(self, key: str, rate: Rate | None = None) -> _Lane:
        """The lane of this name. Makes room now and then, so that it costs nothing on the whole."""
        if key not in self._lanes:
            if len(self._lanes) >= self._forget_at:
                now = self._clock()
                self._lanes = {
                    name: lane
                    for name, lane in self._lanes.items()
                    if not lane.quiet(now)
                }
                self._forget_at = max(_FORGET_FROM, 2 * len(self._lanes))

            self._lanes[key] = _Lane(key, rate)

        return self._lanes[key]


def _too_late() -> DeliveryError:
    return DeliveryError(
        "The platform takes no more messages for now; the answer is sent again later."
    )
