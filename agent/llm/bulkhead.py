"""What keeps one model server's trouble away from the others: a pool of its own, and a
breaker for each model.

https://learn.microsoft.com/en-us/azure/architecture/patterns/bulkhead and …/circuit-breaker
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from msgspec import Struct

from agent import metrics
from agent.llm import http_errors
from agent.llm.http_errors import Server
from agent.llm.provider import AttemptError, NotAsked

if TYPE_CHECKING:  # the breakers are there without a client, too
    import httpx

CALLS = 256
"""Answers in progress at once, per server."""

QUEUE = 256
"""Further calls that wait for a place among them. One more is told so at once."""

OPENS_AT = 5
"""Failures in a row. A call makes up to three attempts, so that the second one opens the
breaker.
"""

FIRST_PAUSE, LAST_PAUSE = 5.0, 40.0
"""Seconds. The pause doubles with each vain try."""

TRY_SECONDS = 20.0
"""A try may take this long before another call tries, too."""

MOST_BREAKERS = 256
"""People choose models by name; so many are remembered."""


class Bulkhead:
    """One server's connections. What hangs there takes no place from calls to another."""

    def __init__(self, name: str, client: httpx.AsyncClient) -> None:
        self.client = client
        self._name = name  # of the provider
        self._places = asyncio.Semaphore(CALLS)
        self._running = 0
        self._waiting = 0

    @asynccontextmanager
    async def place(self, server: Server, seconds: float) -> AsyncIterator[None]:
        """Holds a place among the server's calls. Raises NotAsked when none is free within
        `seconds`.
        """
        await self._enter(server, seconds)
        self._running += 1
        self._show()
        try:
            yield
        finally:
            self._running -= 1
            self._places.release()
            self._show()

    async def _enter(self, server: Server, seconds: float) -> None:
        if self._places.locked() and self._waiting >= QUEUE:
            raise http_errors.crowded(server, CALLS)

        self._waiting += 1
        self._show()
        try:
            async with asyncio.timeout(seconds):
                await self._places.acquire()
        except TimeoutError:
            raise http_errors.crowded(server, CALLS) from None
        finally:
            self._waiting -= 1
            self._show()

    def _show(self) -> None:
        metrics.model_calls.put(self._running, self._name, "running")
        metrics.model_calls.put(self._waiting, self._name, "waiting")


class Breaker(Struct):
    """Leaves a model alone that keeps failing. After a pause one call tries whether it is
    well again (half-open).

    `now` is in seconds, of any clock that only goes forward.
    """

    answered: bool = False  # with a text, ever
    failures: int = 0  # in a row
    _cause: str = ""  # the last failure's sentence
    _pause: float = 0.0  # how long it is left alone, in seconds
    _asked_from: float = 0.0  # before, nobody asks
    _tries: bool = False  # one call was let through

    @property
    def is_open(self) -> bool:
        """Whether the model is left alone."""
        return self.failures >= OPENS_AT

    def check(self, model: str, now: float) -> None:
        """Returns if the model may be asked. Raises NotAsked while it is left alone."""
        if not self.is_open:
            return
        if now < self._asked_from:
            raise http_errors.left_alone(
                model, self.failures, self._asked_from - now, self._cause
            )

        self._tries, self._asked_from = True, now + TRY_SECONDS

    def works(self) -> None:
        """The server said something, be it a refusal."""
        self.failures, self._pause, self._tries = 0, 0.0, False

    def failed(self, cause: str, now: float) -> None:
        """The server did not work. Calls that were under way before the pause began do not
        make it longer.
        """
        self.failures += 1
        self._cause = cause
        if self.failures == OPENS_AT or self._tries:
            self._pause = min(2 * self._pause, LAST_PAUSE) or FIRST_PAUSE
            self._tries, self._asked_from = False, now + self._pause


class Breakers:
    """One for each model that was asked lately."""

    def __init__(self) -> None:
        self._by_model: dict[str, Breaker] = {}

    def of(self, model: str) -> Breaker:
        """The model's breaker, a new one for a model that was not asked lately."""
        breaker = self._by_model.pop(model, None) or Breaker()
        self._by_model[model] = breaker  # the last one in the order
        if len(self._by_model) > MOST_BREAKERS:
            del self._by_model[next(iter(self._by_model))]
        return breaker

    def answered(self, model: str) -> None:
        """The first text of an answer is here."""
        self._works(model)
        self.of(model).answered = True

    def failed(self, model: str, failure: AttemptError, now: float) -> None:
        """Counts this attempt as what it says of the server's health."""
        if isinstance(failure, NotAsked):
            return
        if not failure.ill:
            self._works(model)
            return

        breaker = self.of(model)
        breaker.failed(failure.sentence, now)
        metrics.model_left_alone(model, breaker.is_open)

    def _works(self, model: str) -> None:
        self.of(model).works()
        metrics.model_left_alone(model, False)
