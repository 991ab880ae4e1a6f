"""Work that runs in the background as long as a context lasts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, ParamSpec

P = ParamSpec("P")


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
        task.cancel()
        await asyncio.wait({task})
