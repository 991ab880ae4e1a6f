"""What operators say of a model: prices and sizes."""

from __future__ import annotations

from decimal import Decimal
from typing import Self

from pydantic import BaseModel, Field, model_validator

ANSWER_TOKENS = 8192
"""The longest answer asked for where nobody named another. Every current Claude model can
write at least this much
(https://docs.anthropic.com/en/docs/about-claude/models/overview)."""


class ModelSpec(BaseModel):
    """What is known of one model: prices in USD per million tokens, context and longest
    answer in tokens.
    """

    input: Decimal | None = Field(default=None, ge=0)
    cached_input: Decimal | None = Field(default=None, ge=0)
    output: Decimal | None = Field(default=None, ge=0)
    context: int | None = Field(default=None, ge=256)
    answer: int | None = Field(default=None, ge=16)

    @model_validator(mode="after")
    def _leaves_room(self) -> Self:
        if self.answer and self.context and self.answer > self.context // 2:
            raise ValueError(
                "`answer` is at most half of `context`: the prompt needs room, too"
            )
        return self

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


UNKNOWN_MODEL = ModelSpec()
