"""What people used, and what it cost: the values that reports are made of."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Literal
from uuid import UUID

from msgspec import Struct

from agent.core.words.sizes import dollars

Unit = Literal["hour", "day", "week", "month"]
"""All in UTC; weeks begin on Monday."""

Subject = Literal["model", "person", "channel"]


class Scope(Struct, frozen=True):
    """What a report is about: full hours from `since` on, before `until`."""

    since: datetime
    until: datetime
    unit: Unit | None = None
    """None: the whole time in one line."""
    by: Subject | None = None
    channel: str | None = None
    model: str | None = None
    person: UUID | None = None


class Line(Struct, frozen=True):
    """One line of a report. Costs and tokens are those of all replies, cut ones too."""

    period: datetime | None = None
    """Its first moment."""
    subject: str = ""
    """A model, a channel, a variant or a person's id; empty: not known, or all of them."""
    people: int = 0
    """Those who wrote something."""
    messages: int = 0
    """What people sent, what was sent again included. What an edit changed counts once."""
    retries: int = 0
    answers: int = 0
    failures: int = 0
    """Replies that are no answer: an error, a refusal, or stopped before the first word."""
    estimated: int = 0
    """Replies whose tokens were estimated."""
    unpriced: int = 0
    """Replies of models whose cost is unknown. They are not in `cost_usd`."""
    written: int = 0
    """Replies that a model wrote: those that cost something, or would."""
    prompt_tokens: int = 0
    cached_tokens: int = 0
    """Of prompt_tokens: those that the model's server had kept from before."""
    tokens: int = 0
    """Written by models."""
    cost_usd: Decimal = Decimal(0)
    """The sum of the known costs."""
    thumbs_up: int = 0
    thumbs_down: int = 0

    @property
    def known_cost(self) -> Decimal | None:
        """None where no cost is known: that is not zero."""
        return (
            None if self.unpriced and self.unpriced == self.written else self.cost_usd
        )


class Latency(Struct, frozen=True):
    """How long answers took, in ms from the first message they answer, as they were stored.

    Percentiles are exact, of the nearest rank: each is the time of one answer.
    """

    period: datetime | None
    subject: str
    answers: int
    p50: int
    p90: int
    p95: int
    p99: int
    longest: int


class Cohort(Struct, frozen=True):
    """People who first wrote in one week or month, and how many wrote again later."""

    begun: datetime
    people: int
    returned: Sequence[tuple[datetime, int]] = ()
    """Each later period in which some of them wrote."""


class Reach(Struct, frozen=True):
    """What is known when a report is made."""

    now: datetime
    first_hour: datetime
    counted_until: datetime
    """Earlier hours were summed up before; later messages were counted now."""
    cohorts_at: datetime | None = None


def cost_text(cost: Decimal | None, unpriced: int, *, digits: int = 4) -> str:
    """A sum of costs for people: what is not known is said, and never looks like zero."""
    if cost is None:
        return "unknown"

    unknown = f" and {unpriced} of unknown price" if unpriced else ""

    return f"{dollars(cost, digits)}{unknown}"
