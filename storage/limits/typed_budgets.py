"""Budgets as operators type them, and what is asked before they change: the same for the
command line and the console.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Literal

from agent.core.errors import Rejected
from agent.core.words.sizes import exact_dollars
from storage.limits.budget_admin import Amount, Tokens, Usd, check_amounts
from storage.limits.budget_views import Period, Scope
from storage.limits.budgets import ANYONE


def typed_tokens(text: str | None) -> Tokens:
    """None: this half stays. Raises Rejected."""
    if text is None:
        return None
    if text == "none":
        return "none"

    try:
        return int(text.replace(",", ""))
    except ValueError:
        raise Rejected(
            f"{text!r} is no number of tokens. Write tokens as 50000, or none."
        ) from None


def typed_usd(text: str | None) -> Usd:
    """None: this half stays. Raises Rejected."""
    if text is None:
        return None
    if text == "none":
        return "none"

    try:
        return Decimal(text)
    except InvalidOperation:
        raise Rejected(
            f"{text!r} is no amount. Write US dollars as 2.50, or none."
        ) from None


def set_question(
    scope: Scope,
    subject: str,
    period: Period,
    tokens: Tokens,
    usd: Usd,
) -> str | None:
    """None: it is one person's. Raises Rejected for amounts that cannot be."""
    if _is_of_one(scope, subject):
        return None

    check_amounts(tokens, usd)
    halves = [_asked(tokens, _shown_tokens), _asked(usd, exact_dollars)]
    kinds = ("tokens", "US dollars")
    wanted = [
        f"any {kind}" if half == "none" else half
        for half, kind in zip(halves, kinds, strict=True)
        if half
    ]

    return f"Set {' and '.join(wanted)} a {period} for {_many(scope, subject)}?"


def unset_question(
    scope: Scope,
    subject: str,
    period: Period,
) -> str | None:
    if _is_of_one(scope, subject):
        return None

    return f"Remove the budget for a {period} for {_many(scope, subject)}?"


def amounts(
    tokens: int | None,
    usd: Decimal | None,
) -> str:
    """A budget for people to read; None: no bound."""
    shown_tokens = "any tokens" if tokens is None else _shown_tokens(tokens)
    shown_usd = "any US dollars" if usd is None else exact_dollars(usd)

    return f"{shown_tokens}, {shown_usd}"


def _shown_tokens(tokens: int) -> str:
    return f"{tokens:,} tokens"


def _asked(
    half: Amount | Literal["none"] | None,
    show: Callable[[Amount], str],
) -> str:
    """Empty: it stays as it is."""
    if half is None:
        return ""

    return half if isinstance(half, str) else show(half)


def _many(
    scope: Scope,
    subject: str,
) -> str:
    if subject != ANYONE:
        return f"everybody on {subject}"

    return f"each {scope} without one of their own"


def _is_of_one(
    scope: Scope,
    subject: str,
) -> bool:
    return scope == "person" and subject != ANYONE
