"""Outbound pacing: how fast a bot may call its platform, and which calls wait.

A final answer waits its turn and is never dropped. A draft (an edit of an unfinished
answer) is useless late, so it is dropped instead of waiting. A penalty applies to exactly
what the platform named: one chat, one route or the whole bot. All times are seconds.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from typing import Literal, Protocol, TypeVar

from msgspec import Struct, field

from agent.core.errors import DeliveryError

T = TypeVar("T")
Scope = Literal["chat", "route", "bot"]

_UNNAMED_WAIT = 1.0  # after a refusal that names no wait
_MANY_LANES = 256  # from so many on, quiet ones are forgotten


class RateLimited(Exception):
    """The platform refused a call for now and named the wait.

    `scope` is what has to wait: this `chat`, this `route` in all chats, or the whole `bot`. A
    `retry_after` that is zero, negative or not a number counts as one second.
    """

    def __init__(self, retry_after: float, scope: Scope = "chat") -> None:
        super().__init__(f"slow down: this {scope} has to wait {retry_after} s")
        is_named = math.isfinite(retry_after) and retry_after > 0
        self.retry_after = retry_after if is_named else _UNNAMED_WAIT
        self.scope: Scope = scope


class Rate(Struct, frozen=True):
    """At most `count` calls at once, then one every `seconds / count`.

    This is GCRA with a burst of `count`.
    """

    count: int
    seconds: float


class SharedPace(Protocol):
    """A pace that all instances of a bot keep together. Never raises: 0 while it is away."""

    async def reserve(self, key: str, rate: Rate) -> float:
        """Takes a slot and returns 0, or takes nothing and returns the seconds after which
        to ask again.
        """

    async def penalise(self, key: str, seconds: float) -> None:
        """Nobody gets a slot of `key` for this long."""


class _Lane(Struct, eq=False):
    """Something with a pace or a penalty of its own: a chat, a route, the bot."""

    key: str  # names it to the shared pace
    rate: Rate | None = None
    # The one number of GCRA: when all calls so far are paid for.
    paid_until: float = -math.inf
    held_until: float = -math.inf
    finals: int = 0  # waiting or being sent
    # Fair: served in the order of asking.
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
        """Whether it can be forgotten."""
        return (
            not self.finals
            and not self.lock.locked()
            and max(self.held_until, self.paid_until) <= now
        )


class Governor:
    """Decides when a bot may call its platform.

    `chat` paces each chat by itself, `bot` all chats together; None leaves it to the
    platform's own refusals. With `shared`, these paces and their penalties apply across all
    instances, under the keys `chat:<chat>` and `bot`. Quiet chats and routes are forgotten.
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
        self._forget_at = _MANY_LANES

    async def final(
        self,
        chat: str,
        route: str,
        send: Callable[[], Awaitable[T]],
        *,
        deadline: float = 600.0,
    ) -> T:
        """Sends what must arrive: waits its turn, and after RateLimited as long as it names.

        Finals of one chat are sent one after the other, in the order of asking. Other errors
        of `send` go to the caller. Raises DeliveryError after `deadline` seconds, when a
        hanging `send` is cancelled, and at once when the named wait is longer.
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
        """Sends what is useless late: returns None instead of waiting.

        It is dropped while a final waits or another call of this chat runs, under a penalty
        of chat, route or bot, and when the pace would make it wait. RateLimited drops it,
        too, and becomes a penalty.
        """
        lane = self._lane(f"chat:{chat}", self._chat_rate)
        if lane.finals or lane.lock.locked() or self._held(lane, route):
            return None
        if max(lane.free_at(), self._bot.free_at()) > self._clock():
            return None

        # The lock is free; a final that comes now waits until this draft has landed.
        async with lane.lock:
            if not (await self._granted(lane) and await self._granted(self._bot)):
                return None
            # Again, since asking the shared pace took time.
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
        """Returns once nothing is held and a call of this chat and this bot is taken."""
        while True:
            await self._free(self._lane(f"route:{route}"), until)
            await self._free(lane, until)

            # One waits for the bot's next call, the others for the lock.
            async with self._bot.lock:
                await self._free(self._bot, until)
                self._bot.take(self._clock())

            if not self._held(lane, route):
                lane.take(self._clock())  # not earlier: the wait for the bot is over
                return

    async def _free(self, lane: _Lane, until: float) -> None:
        """Waits until a call may be made here, by this instance's pace and the shared one."""
        while (wait := await self._wait_of(lane)) > 0:
            if self._clock() + wait > until:
                raise _too_late()

            await self._sleep(wait)

    async def _wait_of(self, lane: _Lane) -> float:
        own = lane.free_at() - self._clock()
        return own if own > 0 else await self._reserve(lane)

    async def _granted(self, lane: _Lane) -> bool:
        """Takes a call now. False: that is not possible."""
        if lane.free_at() > self._clock():
            return False

        lane.take(self._clock())
        return await self._reserve(lane) <= 0

    async def _reserve(self, lane: _Lane) -> float:
        """Takes a call of the shared pace and returns 0, or the wait."""
        if self._shared is None or lane.rate is None:
            return 0

        return await self._shared.reserve(lane.key, lane.rate)

    def _held(self, lane: _Lane, route: str) -> bool:
        known = self._lanes.get(f"route:{route}", self._bot)
        held_until = max(lane.held_until, known.held_until, self._bot.held_until)

        return held_until > self._clock()

    async def _penalise(self, lane: _Lane, route: str, limit: RateLimited) -> None:
        by_scope = {
            "chat": lane,
            "route": self._lane(f"route:{route}"),
            "bot": self._bot,
        }
        held = by_scope[limit.scope]
        held.held_until = max(held.held_until, self._clock() + limit.retry_after)
        if self._shared is not None and held.rate is not None:
            await self._shared.penalise(held.key, limit.retry_after)

    def _lane(self, key: str, rate: Rate | None = None) -> _Lane:
        """The lane of this name. Forgets quiet ones each time their number has doubled."""
        if key not in self._lanes:
            if len(self._lanes) >= self._forget_at:
                now = self._clock()
                kept = (x for x in self._lanes.items() if not x[1].quiet(now))
                self._lanes = dict(kept)
                self._forget_at = max(_MANY_LANES, 2 * len(self._lanes))

            self._lanes[key] = _Lane(key, rate)

        return self._lanes[key]


def _too_late() -> DeliveryError:
    return DeliveryError(
        "The platform takes no more messages for now; the answer is sent again later."
    )
