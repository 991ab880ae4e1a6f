"""What a model is asked, and what its answer used."""

from __future__ import annotations

from collections.abc import Mapping, Set
from decimal import Decimal
from typing import Any

from msgspec import Struct, field

from agent.core.messages import Role


class Tuning(Struct, frozen=True):
    """How a model is asked, where somebody says so."""

    temperature: float | None = None
    effort: str = ""
    """How much it thinks: the provider's own word, such as low. "": as it does by itself."""
    answer: int | None = None
    """The longest answer, in tokens; None: as MODELS says."""
    fields: Mapping[str, Any] = field(default_factory=dict)
    """Further fields of the request."""

    def free_fields(self, ours: Set[str]) -> dict[str, Any]:
        """The further fields, without those that are the agent's own."""
        return {name: one for name, one in self.fields.items() if name not in ours}

    def over(self, other: Tuning) -> Tuning:
        """This one, and the other where this one says nothing."""
        return Tuning(
            other.temperature if self.temperature is None else self.temperature,
            self.effort or other.effort,
            self.answer or other.answer,
            {**other.fields, **self.fields},
        )


UNTUNED = Tuning()


class Prompt(Struct, frozen=True):
    """What a model is asked: a system text and alternating messages, oldest first."""

    system: str
    messages: tuple[tuple[Role, str], ...]
    tuning: Tuning = UNTUNED


class Usage(Struct, frozen=True):
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
    price_source: str = ""
    """Who says what it costs, in which version or of which day; "": nobody."""


class Spent(Struct, frozen=True):
    """A model call that ended before its first text, but may have to be paid."""

    usage: Usage | None
    """None: the server did not say what it used."""
    again: bool
    """Another call is made once the next piece is asked for."""


class ModelFacts(Struct, frozen=True):
    """What is known of a model besides its price."""

    context: int | None = None
    """Tokens that it reads at once; None: nobody knows."""
    is_ending: bool = False
    """Its provider is going to take it away."""
