"""What a model is asked, and what its answer took."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from agent.core.messages import Role


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a model is asked: a system text and alternating messages, oldest first."""

    system: str
    messages: tuple[tuple[Role, str], ...]


@dataclass(frozen=True, slots=True)
class Usage:
    """What one answer took. Costs are unknown (None), never zero, when the price is unknown."""

    model: str  # the model that really answered, `provider:model`
    prompt_tokens: int
    completion_tokens: int
    cost_usd: Decimal | None = None
    estimated: bool = (
        False  # the server reported no usage; tokens were estimated from the text
    )


@dataclass(frozen=True, slots=True)
class Spent:
    """A call to a model that ended before its first text and may have to be paid all the same."""

    usage: Usage | None  # None: the server did not say what it used
    again: bool  # another call is made once the next piece is asked for
