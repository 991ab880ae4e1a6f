"""Every column has a reader: what is only written costs, and answers nobody."""

from __future__ import annotations

import re
from pathlib import Path

from storage.tables import Base

ROOT = Path(__file__).parents[3]

WRITTEN_FOR_OTHERS = {
    "users.created_at",
    "users.updated_at",
    "channel_configs.created_at",
    "channel_configs.updated_at",
    "feature_flags.updated_at",
    "budgets.updated_at",
}
"""The specification's schema names the first four, for people who look with SQL. The others are
written by instances of older versions, too. No warm turn writes one.
"""

WRITES = re.compile(r"\b(updated_at|created_at)\s*=\s*[^,;\n]+")


def code() -> str:
    """All that may read a column, without what only sets one."""
    files = [
        path
        for folder in ("storage", "agent")
        for kind in ("*.py", "*.sql")
        for path in sorted((ROOT / folder).rglob(kind))
        if "tables" not in path.parts
    ]

    return WRITES.sub("", "\n".join(path.read_text("utf-8") for path in files))


def test_every_column_has_a_reader() -> None:
    text = code()
    unread = {
        f"{table.name}.{column.name}"
        for table in Base.metadata.tables.values()
        for column in table.columns
        # keeps a table at one row: it is there for its constraint
        if column.name != "single" and not re.search(rf"\b{column.name}\b", text)
    }

    assert set() == unread - WRITTEN_FOR_OTHERS


def test_times_of_change_are_kept_only_where_the_specification_wants_them() -> None:
    kept = {
        f"{table.name}.{column.name}"
        for table in Base.metadata.tables.values()
        for column in table.columns
        if column.name == "updated_at"
    }

    assert kept <= WRITTEN_FOR_OTHERS
