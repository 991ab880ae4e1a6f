"""Nothing is kept of people that the inventory does not know."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from storage.lifecycle import inventory
from storage.tables import Base

ROOT = Path(__file__).parents[3]
OURS = ("agent", "channels", "storage")
LEVELS = {"debug", "info", "warning", "error", "exception"}


def test_every_column_has_a_rule_and_every_rule_a_column() -> None:
    tables = {
        name: {column.name for column in table.columns}
        for name, table in Base.metadata.tables.items()
    }
    rules = {name: set(columns) for name, columns in inventory.COLUMNS.items()}
    rules.pop("alembic_version")  # Alembic's own

    assert tables == rules


def test_what_is_kept_is_kept_for_a_reason() -> None:
    rules = [
        rule
        for part in (
            *inventory.COLUMNS.values(),
            inventory.VIEWS,
            inventory.KEYS,
            inventory.FILES,
            inventory.LOG_FIELDS,
        )
        for rule in part.values()
    ]

    assert [] == [rule for rule in rules if not rule.why]


NO_KEYS = frozenset(
    {"audit:", "budget:", "channel:", "chat:", "erasure:", "person:", "user:"}
    | {"experiment:", "flag:", "operator:", "seed:", "schema:", "limit:"}
    | {"error:", "conversation_id:", "budget:person:", "conversation:"}
)
"""Subjects of the audit log, scopes of rules and fields, which look like keys."""


def test_every_key_in_redis_has_a_rule() -> None:
    """Keys are written as texts: `session:{channel}:…`. A new kind shows up here."""
    known = tuple(inventory.KEYS)
    found = {text for text in _key_texts() if not text.startswith(known)}

    assert set() == found - NO_KEYS


def test_every_field_of_a_log_line_has_a_rule() -> None:
    fields = {name for path in _sources() for name in _log_fields(path)}

    assert set() == fields - set(inventory.LOG_FIELDS)


def _sources() -> Iterator[Path]:
    for room in OURS:
        yield from (ROOT / room).rglob("*.py")


def _key_texts() -> Iterator[str]:
    """Beginnings of texts that look like keys, in storage, which alone speaks to Redis."""
    for path in (ROOT / "storage").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            first = node.values[0] if isinstance(node, ast.JoinedStr) else node
            text = first.value if isinstance(first, ast.Constant) else None
            if isinstance(text, str) and re.fullmatch(r"([a-z_-]+:)+", text):
                yield text


def _log_fields(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Call) and _is_log(node.func):
            yield from (each.arg for each in node.keywords if each.arg)


def _is_log(function: ast.expr) -> bool:
    return (
        isinstance(function, ast.Attribute)
        and isinstance(function.value, ast.Name)
        and function.value.id == "log"
        and function.attr in LEVELS
    )
