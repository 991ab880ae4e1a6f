"""Budgets as operators type them, and what is asked before they change: the same for the
command line and the console.
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

from agent.core.errors import Rejected
from storage.limits.budget_admin import Tokens, Usd
from storage.limits.budget_views import Scope
from storage.limits.budgets import ANYONE


def typed_tokens(text: str | None) -> Tokens:
    """None: this half stays. Raises Rejected."""
    if text is None:
        return None
    if text == "none":
        return "none"

    try:
        return int(text)
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
) -> str | None:
    """None: it is one person's."""
    if _is_of_one(scope, subject):
        return None

    return f"Set this budget for everybody ({scope} {subject})?"


def unset_question(
    scope: Scope,
    subject: str,
) -> str | None:
    if _is_of_one(scope, subject):
        return None

    return f"Remove this budget for everybody ({scope} {subject})?"


def _is_of_one(
    scope: Scope,
    subject: str,
) -> bool:
    return scope == "person" and subject != ANYONE
