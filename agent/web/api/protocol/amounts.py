"""Amounts of money, as programs get them."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from pydantic import PlainSerializer

from agent.core.words.sizes import plain

Dollars = Annotated[
    Decimal, PlainSerializer(plain, return_type=str, when_used="json-unless-none")
]
"""A text, since a JSON number may lose digits."""
