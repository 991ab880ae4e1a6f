"""What operators say of a model: prices and sizes."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    Field,
    field_validator,
    model_validator,
)

from agent.core.completion import ModelFacts, Tuning

ANSWER_TOKENS = 8192
"""The longest answer asked for where nobody named another. Every current Claude model can
write at least this much
(https://docs.anthropic.com/en/docs/about-claude/models/overview)."""


MILLION = 1_000_000
"""Prices are given for so many tokens."""


OURS = frozenset(
    {
        "model",
        "messages",
        "system",
        "stream",
        "stream_options",
        "max_tokens",
        "max_completion_tokens",
        "n",
    }
)
"""Fields of a request that are the agent's own: answers and budgets stand on them."""


class ModelSpec(BaseModel):
    """What is known of one model: prices in USD per million tokens, context and longest
    answer in tokens.
    """

    input: Decimal | None = Field(default=None, ge=0)
    cached_input: Decimal | None = Field(default=None, ge=0)
    output: Decimal | None = Field(default=None, ge=0)
    context: int | None = Field(default=None, ge=256)
    answer: int | None = Field(default=None, ge=16)
    temperature: float | None = Field(default=None, ge=0, le=2)
    effort: str = Field(default="", max_length=40, pattern=r"^[a-z_]*$")
    fields: dict[str, Any] = {}

    @model_validator(mode="before")
    @classmethod
    def _knows_all(cls, values: object) -> object:
        """A name that is misspelled would set nothing."""
        if isinstance(values, dict) and (odd := set(values) - set(cls.model_fields)):
            raise ValueError(
                f"`{str(min(odd, key=str))[:40]}` is not one of "
                f"{', '.join(cls.model_fields)}"
            )
        return values

    @model_validator(mode="after")
    def _leaves_room(self) -> Self:
        if self.answer and self.context and self.answer > self.context // 2:
            raise ValueError(
                "`answer` is at most half of `context`: the prompt needs room, too"
            )
        return self

    @field_validator("fields")
    @classmethod
    def _leaves_ours(cls, fields: dict[str, Any]) -> dict[str, Any]:
        if taken := OURS & set(fields):
            raise ValueError(f"`fields` cannot hold {', '.join(sorted(taken))}")
        return fields

    @model_validator(mode="after")
    def _caches_cheaper(self) -> Self:
        if (
            self.cached_input is not None
            and self.input is not None
            and self.cached_input > self.input
        ):
            raise ValueError(
                "`cached_input` is at most `input`: budgets set aside the price of `input`"
            )
        return self

    @property
    def tuning(self) -> Tuning:
        """How it is asked."""
        return Tuning(self.temperature, self.effort, self.longest, self.fields)

    @property
    def room(self) -> int | None:
        """Tokens for a prompt: the context without the longest answer."""
        return None if self.context is None else self.context - self.longest

    @property
    def facts(self) -> ModelFacts:
        """What people are told of it."""
        return ModelFacts(self.context)

    @property
    def source(self) -> str:
        """Who says what it costs; "": nobody."""
        is_priced = self.input is not None and self.output is not None

        return "MODELS" if is_priced else ""

    def cost(
        self, prompt: int, cached: int, completion: int, *, at_most: bool = False
    ) -> Decimal | None:
        """US dollars for these tokens; None: unknown. `cached` are a part of the prompt.

        `at_most`: the most that it can be, where the price changes in a day.
        """
        if self.input is None or self.output is None:
            return None

        cached_input = self.input if self.cached_input is None else self.cached_input
        fresh = (prompt - cached) * self.input

        return (fresh + cached * cached_input + completion * self.output) / MILLION

    @property
    def longest(self) -> int:
        """The longest answer asked for: what the server is told, budgets set aside and
        prompts leave free.
        """
        if self.answer is not None:
            return self.answer
        return (
            ANSWER_TOKENS
            if self.context is None
            else min(ANSWER_TOKENS, self.context // 4)
        )


def _in_one_word(name: str) -> str:
    if len(name.split()) != 1:
        raise ValueError(
            "a `provider:model` has no blank inside. A comment goes on a line of its own"
        )
    return name


def _named(specs: dict[str, ModelSpec]) -> dict[str, ModelSpec]:
    if odd := [name for name in specs if ":" not in name]:
        raise ValueError(f"`{odd[0][:40]}` is no `provider:model`")
    return specs


ModelName = Annotated[str, AfterValidator(_in_one_word)]
ModelSpecs = Annotated[dict[str, ModelSpec], AfterValidator(_named)]

UNKNOWN_MODEL = ModelSpec()
