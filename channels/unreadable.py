"""What is done with an event of a platform that cannot be read: it is passed over, and seen."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import structlog

from agent import metrics
from agent.core.messages import Inbound

Note = Callable[[str, str], None]
"""Called with a channel's name and the kind of event; remembers it for `agent doctor`."""

READING = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)
"""What parsers raise. A network or a store that is away raises others: there the event is
readable, and comes again.
"""

In = TypeVar("In", bound="Inbound | None")

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.:-]{0,39}")

log = structlog.get_logger()


class UnreadableEvents:
    """Counts, logs and notes what one channel could not read.

    One event never ends a session, never blocks the events after it, and is never asked
    for again: the platform would send the same.
    """

    def __init__(
        self,
        channel: str,
        note: Note,
    ) -> None:
        self._channel = channel
        self._note = note

    @contextmanager
    def reading(
        self,
        kind: object,
    ) -> Iterator[None]:
        """Around what takes an event of this kind apart, and nothing else: what fails inside
        is passed over.
        """
        try:
            yield
        except READING as error:
            self.passed_over(kind, error)

    def passed_over(
        self,
        kind: object,
        error: BaseException | str,
    ) -> None:
        """One event of this kind was not read. Neither its text nor the error's is shown:
        an error of a parser quotes what it read.
        """
        name = kind if isinstance(kind, str) and _NAME.fullmatch(kind) else "unknown"
        metrics.unreadable_events.add(self._channel, name)
        log.warning(
            "an event could not be read and was passed over",
            channel=self._channel,
            kind=name,
            problem=error if isinstance(error, str) else type(error).__name__,
        )
        self._note(self._channel, name)


def storable(inbound: In) -> In:
    """The same. Raises ValueError when an id of it is none: Postgres keeps neither NUL nor
    half a character, so it could be stored by nobody, however often it comes.
    """
    if inbound is not None:
        address = inbound.address
        named = (
            address.chat,
            address.thread,
            address.message,
            *address.extra.values(),
        )
        for name in (*named, inbound.message_id, inbound.user_id):
            name.encode()
            if "\0" in name:
                raise ValueError("an id with a NUL character in it")

    return inbound


def unnoted(
    channel: str,
    kind: str,
) -> None:
    """For a channel without stores: nobody remembers."""
