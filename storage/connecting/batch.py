"""Group commit: all items that wait at one moment travel together."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Sequence
from contextvars import Context
from typing import Generic, TypeVar

from agent import metrics

Item = TypeVar("Item")
Verdict = TypeVar("Verdict")

LINGER_SECONDS = 0.08
"""How long a finished delivery waits for others before it is recorded; nobody awaits that."""

CROWD = 32
"""Items that travel together although they could be halved: a smaller half saves no time."""


class Batch(Generic[Item, Verdict]):
    """Runs `run` on lists of items, one list at a time; the next carries all that came meanwhile.

    An item whose `key` (if any) is already in the list waits for the next one. If a list
    fails because of its content, its items are tried one by one, so that only a bad item
    fails. Errors in `passing` (the store is gone) fail all.
    """

    def __init__(
        self,
        run: Callable[[Sequence[Item]], Awaitable[Sequence[Verdict]]],
        *,
        key: Callable[[Item], Hashable] | None = None,
        limit: int = 256,
        halves: bool = False,
        linger: float = 0.0,
        passing: tuple[type[Exception], ...] = (),
    ) -> None:
        """`halves`: of a crowd that comes at once, half goes first. So the store works on one
        half while this process works on the other, instead of both waiting.
        """
        self._run = run
        self._name = getattr(run, "__name__", "batch").strip("_")  # in metrics
        self._key = key
        self._limit = limit
        self._halves = halves
        # seconds to wait for other items, for work that nobody awaits
        self._linger = linger
        self._passing = passing
        self._waiting: deque[tuple[Item, asyncio.Future[Verdict]]] = deque()
        self._flusher: asyncio.Task[None] | None = None

    def submit(self, item: Item) -> asyncio.Future[Verdict]:
        """The verdict on this item, or what `run` raised for it."""
        future: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))

        if self._flusher is None:
            # in a context of its own: it works for many turns, so its log lines belong to none
            self._flusher = asyncio.create_task(self._flush_all(), context=Context())

        return future

    async def _flush_all(self) -> None:
        try:
            await asyncio.sleep(self._linger)
            most = self._first()
            while self._waiting:
                entries = self._next(most)
                most = self._limit
                metrics.batch_items.observe(len(entries), self._name)
                await self._flush(entries)
        finally:
            self._flusher = None

    def _first(self) -> int:
        """How many may go first after a pause."""
        waiting = len(self._waiting)
        if not self._halves or waiting <= CROWD:
            return self._limit

        return min(self._limit, (waiting + 1) // 2)

    def _next(self, most: int) -> list[tuple[Item, asyncio.Future[Verdict]]]:
        if self._key is None and len(self._waiting) <= most:
            entries = [one for one in self._waiting if not one[1].cancelled()]
            self._waiting.clear()
            return entries

        chosen: dict[Hashable, tuple[Item, asyncio.Future[Verdict]]] = {}
        held_back: list[tuple[Item, asyncio.Future[Verdict]]] = []

        while self._waiting and len(chosen) < most:
            entry = self._waiting.popleft()
            if entry[1].cancelled():
                continue

            key = self._key(entry[0]) if self._key else len(chosen)
            if key in chosen:
                held_back.append(entry)
            else:
                chosen[key] = entry

        self._waiting.extendleft(reversed(held_back))

        return list(chosen.values())

    async def _flush(
        self, entries: list[tuple[Item, asyncio.Future[Verdict]]]
    ) -> None:
        if not entries:
            return

        try:
            verdicts = await self._run([item for item, _ in entries])
        except self._passing as error:
            _fail(entries, error)
        except Exception as error:
            if len(entries) == 1:
                _fail(entries, error)
                return
            for entry in entries:
                await self._flush([entry])
        # cancelled: nobody must wait forever
        except BaseException as error:
            _fail(entries, error)
            raise
        else:
            for (_, future), verdict in zip(entries, verdicts, strict=True):
                if not future.done():
                    future.set_result(verdict)


def _fail(
    entries: Sequence[tuple[object, asyncio.Future[Verdict]]],
    error: BaseException,
) -> None:
    for _, future in entries:
        if not future.done():
            future.set_exception(error)
