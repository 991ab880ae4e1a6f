"""What a model is asked, and what its answer used."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

from agent.core.messages import Role


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a model is asked: a system text and alternating messages, oldest first."""

    system: str
    messages: tuple[tuple[Role, str], ...]


@dataclass(frozen=True, slots=True)
class Usage:
    """What one answer used. Where the price is unknown, its cost is None, never zero."""

    model: str
    """The model that answered, `provider:model`."""
    prompt_tokens: int
    completion_tokens: int
    cost_usd: Decimal | None = None
    estimated: bool = False
    """The server left a count out: it was estimated from the text."""
    cached_tokens: int = 0
    """Of the prompt: those that the server had kept from before, at a price of their own."""
    price_source: str = field(default="", compare=False)
    """Who says what it costs, in which version or of which day; "": nobody."""


@dataclass(frozen=True, slots=True)
class Spent:
    """A model call that ended before its first text, but may have to be paid."""

    usage: Usage | None
    """None: the server did not say what it used."""
    again: bool
    """Another call is made once the next piece is asked for."""
