"""Work in the background, and how long it waits between tries of something that fails."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any, ParamSpec

P = ParamSpec("P")

CANCEL_AGAIN_SECONDS = 3.0
"""Longer than a transaction takes to be taken back."""


@asynccontextmanager
async def run_in_background(
    work: Callable[P, Coroutine[Any, Any, None]],
    *args: P.args,
    **kwargs: P.kwargs,
) -> AsyncIterator[None]:
    """Inside, `work` runs. At the end it is cancelled and waited for."""
    task = asyncio.create_task(work(*args, **kwargs))
    try:
        yield
    finally:
        await end({task})


async def end(
    tasks: Collection[asyncio.Future[Any]], again: float | None = None
) -> None:
    """Cancels tasks and waits for them, also when it is cancelled itself.

    More than once, every `again` seconds: clients of stores swallow a cancellation that comes
    at the wrong moment, and a loop would then go on forever.
    """
    cancelled: asyncio.CancelledError | None = None
    while rest := {task for task in tasks if not task.done()}:
        for task in rest:
            task.cancel()
        try:
            await asyncio.wait(rest, timeout=again or CANCEL_AGAIN_SECONDS)
        except asyncio.CancelledError as error:
            cancelled = error

    if cancelled is not None:
        raise cancelled


async def to_its_end(work: Coroutine[Any, Any, None]) -> None:
    """Awaits work that no cancellation cuts short. It must end by itself, and soon."""
    task = asyncio.create_task(work)
    try:
        await asyncio.shield(task)
    finally:
        while not task.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait({task})


def backoff(first: float, maximum: float, *, spread: bool = False) -> Iterator[float]:
    """Seconds to wait before each next try, without end: each twice the one before, at
    most `maximum`.

    With `spread`, each is a random share of that, at least half, so that many who fail
    together do not try again together.
    """
    pause = min(first, maximum)
    while True:
        yield pause * random.uniform(0.5, 1.0) if spread else pause  # noqa: S311
        pause = min(2 * pause, maximum)


def full_jitter(
    first: float, maximum: float, attempt: int, at_least: float | None
) -> float:
    """Seconds before the next attempt: exponential with full jitter, at least what the
    server asked for.

    https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
    """
    jitter = random.uniform(0, min(maximum, first * 2 ** (attempt - 1)))  # noqa: S311

    return max(jitter, at_least or 0)
