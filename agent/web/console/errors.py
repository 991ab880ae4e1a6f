"""What a page says when something cannot be done: one sentence, and the way on. A part of a page
that cannot be read fails alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator, Mapping
from contextlib import contextmanager
from typing import Generic, TypeVar

import structlog
from msgspec import Struct

from agent.core.errors import (
    AgentError,
    ConfigurationError,
    Conflict,
    Refused,
    Rejected,
    StoreUnavailable,
)
from agent.core.remedies import Amend, Remedy
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


class Stopped(Exception):
    """The request ends with this status and sentence."""

    def __init__(
        self, status: int, sentence: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence
        self.headers = headers or {}


_STATUSES: tuple[tuple[type[AgentError], int], ...] = (
    (Conflict, 409),
    (Rejected, 422),
    (StoreUnavailable, 503),
    (Refused, 429),
)

LABELS = {
    "actor": "By",
    "at": "At",
    "channel": "Channel",
    "ends": "Until",
    "for": "For",
    "kill": "Whatever the other rules say (kill switch)",
    "percentage": "Share in %",
    "person": "People",
    "rule": "Name of the rule",
    "since": "Since, in UTC",
    "tokens": "Tokens, read and written",
    "until": "Until",
    "usd": "US dollars",
}
"""What forms write next to a field."""

FORCE = 'Or tick "Also a model that no provider lists".'


def status_of(error: AgentError) -> int:
    return next((one for kind, one in _STATUSES if isinstance(error, kind)), 500)


def described(error: AgentError) -> str:
    """Its sentence, and what may be done about it, in the words of pages."""
    remedies = error.remedies if isinstance(error, ConfigurationError) else ()

    return " ".join([error.sentence, *map(_sentence, remedies)])


@contextmanager
def not_found() -> Iterator[None]:
    """What is refused inside is not there: Rejected becomes a page with the status 404."""
    try:
        yield
    except Rejected as error:
        raise Stopped(404, described(error)) from None


def _sentence(remedy: Remedy) -> str:
    if not isinstance(remedy, Amend):
        words = ["agent", remedy.operation, remedy.target]
        return f"`{' '.join(filter(None, words))}` {remedy.effect}."

    if remedy.fields == ("force",):
        return FORCE

    fields = " or ".join(f'"{LABELS.get(one, one)}"' for one in remedy.fields)
    match remedy.act:
        case "add":
            return f"Fill in {fields}."
        case "choose":
            return f"Fill in only one of {fields}."
        case "omit":
            return (
                f"Give {remedy.wanted or 'another value'}, or leave {fields} empty."
            )
        case "correct" | "identify":
            return f"Correct {fields}."


class PagePart(Struct, Generic[Value], frozen=True):
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
