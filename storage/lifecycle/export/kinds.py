"""What an export consists of, and how each row of it reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from agent.core.words.sizes import dollars
from storage.lifecycle import STATEMENTS

Row = Mapping[str, Any]


class Kind(Struct, frozen=True):
    """One list of an export."""

    name: str
    """Its key in JSON."""
    title: str
    """Its heading in the text."""
    line: Callable[[Row], str]
    statement: str


def _account(row: Row) -> str:
    agreed = ", consents to training" if row["consent"] else ""
    called = f" ({row['name']})" if row["name"] else ""
    model = f", model {row['model']}" if row["model"] else ""

    return f"{row['channel']}: {row['account']}{called}{agreed}{model}"


def _setting(row: Row) -> str:
    value = row["value"]
    if not isinstance(value, Mapping):
        return f"{row['name']}: {value}"

    if [*value] == ["value"]:
        return f"{row['name']}: {value['value']}"

    parts = [f"{name} {one}" for name, one in value.items() if one is not None]

    return f"{row['name']}: {', '.join(parts)}"


def _used(row: Row) -> str:
    spent = f"{row['tokens']} tokens, {dollars(row['usd'])}"

    return f"{row['period']} of {row['day']}: {spent}"


def _counted(row: Row) -> str:
    model = row["model"] or "without a model"
    tokens = row["prompt_tokens"] + row["tokens"]

    return (
        f"{row['month']} {row['channel']} {model}: "
        f"{row['messages']} messages, {row['answers']} answers, "
        f"{tokens} tokens, {dollars(row['usd'])}"
    )


def _conversation(row: Row) -> str:
    parts = [
        f"{row['channel']}: {row['title'] or 'without a title'}",
        f"since {row['since']:%Y-%m-%d %H:%M}",
        f"model {row['model']}" if row["model"] else "",
        f"asks of each answer: {row['instruction']}" if row["instruction"] else "",
    ]

    return ", ".join(filter(None, parts))


def _vote(row: Row) -> str:
    return f"{row['at']:%Y-%m-%d %H:%M} {row['thumb']:+d}"


def _message(row: Row) -> str:
    again = " (asked again by an operator)" if row.get("asked_again") else ""
    said = f"{row['at']:%Y-%m-%d %H:%M} {row['channel']}{again}: {row['text']}"
    answer = row.get("answer")

    return f"{said}\nanswer: {answer}" if answer else said


KINDS: Sequence[Kind] = (
    Kind("accounts", "Your accounts", _account, STATEMENTS["export_accounts"]),
    Kind("settings", "What was set for you", _setting, STATEMENTS["export_settings"]),
    Kind(
        "budget_days",
        "What counted against a budget of yours",
        _used,
        STATEMENTS["export_budget_days"],
    ),
    Kind(
        "usage",
        "What reports count of you, by month",
        _counted,
        STATEMENTS["export_usage"],
    ),
    Kind(
        "conversations",
        "Your conversations",
        _conversation,
        STATEMENTS["export_conversations"],
    ),
    Kind("votes", "Your thumbs", _vote, STATEMENTS["export_votes"]),
    Kind("messages", "Your messages", _message, STATEMENTS["export_messages"]),
    Kind(
        "earlier_texts",
        "What you edited or deleted",
        _message,
        STATEMENTS["export_earlier_texts"],
    ),
)
"""What may be long stands last and has the newest first, so that a bound cuts the oldest."""
