"""Parts of a page that fail alone: a sentence stands where one cannot be read."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Generic, TypeVar

import structlog

from agent.core.errors import AgentError
from agent.web.console.errors import described
from agent.web.failures import cause_of
from storage.connecting.postgres_errors import sentence_of

PART_SECONDS = 1.0
"""After which the page is shown without a part."""

LATE = (
    f"This was not read within {PART_SECONDS:g} s. Load the page again in a moment."
)
FAILED = "This cannot be read now; the log names the error. Load the page again in a moment."

Value = TypeVar("Value")

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class PagePart(Generic[Value]):
    """What was read, or why it was not."""

    value: Value | None
    problem: str = ""


async def read_part(
    name: str,
    reading: Awaitable[Value],
) -> PagePart[Value]:
    """Never raises, and ends in time. `name`: for the log."""
    try:
        async with asyncio.timeout(PART_SECONDS):
            return PagePart(await reading)
    except AgentError as error:
        return PagePart(None, described(error))
    except Exception as error:
        log.warning(
            "a part of a page is missing",
            part=name,
            error=type(error).__name__,
            cause=cause_of(error),
            exc_info=error,
        )
        late = isinstance(error, TimeoutError)

        return PagePart(None, LATE if late else sentence_of(error) or FAILED)
