"""How Postgres would run the agent's own statements."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping

import asyncpg

from agent.core.errors import ConfigurationError
from agent.core.text import shown_name
from storage.connecting.statements import read_statements
from storage.postgres import BY_INDEX, connect

ROOMS = (
    *("conversation", "people", "limits", "control", "reports", "lifecycle"),
    *("connecting", "conversation.operating"),
)
_NUMBERED = re.compile(r"\$(\d+)")
_NAMED = re.compile(r"(?<![:\w]):([a-z]\w*)")


def named_statements() -> Mapping[str, str]:
    """All statements of the agent by name."""
    return {
        name: sql
        for room in ROOMS
        for name, sql in read_statements(f"storage.{room}").items()
    }


async def plan_of(url: str, name: str, *, by_index: bool) -> list[str]:
    """The plan for any values, line by line; nothing is run, and all is rolled back.

    `by_index`: under the planner's settings of turns. Raises ConfigurationError for an unknown
    name, or a statement that has no plan, and what the driver raises.
    """
    statements = named_statements()
    if name not in statements:
        close = difflib.get_close_matches(name, statements, n=3)
        perhaps = f" Perhaps {', '.join(close)}?" if close else ""
        others = ", ".join(sorted(set(statements) - set(close)))
        raise ConfigurationError(
            f"There is no statement {shown_name(name)}.{perhaps} All others: {others}."
        )

    sql, count = _with_numbers(statements[name])
    planner = dict(BY_INDEX) if by_index else {}
    connection = await connect(url, planner=planner)
    try:
        await connection.execute(
            "BEGIN; SET LOCAL plan_cache_mode = force_generic_plan"
        )
        await connection.execute(f"PREPARE explained AS {sql}")
        values = f"({', '.join(['NULL'] * count)})" if count else ""
        rows = await connection.fetch(f"EXPLAIN EXECUTE explained{values}")
        await connection.execute("ROLLBACK; DEALLOCATE explained")
    except asyncpg.PostgresSyntaxError:
        raise ConfigurationError(
            f"The statement {name} has no plan: it only sets something."
        ) from None
    finally:
        await connection.close(timeout=1)

    return [row[0] for row in rows]


def _with_numbers(sql: str) -> tuple[str, int]:
    """The statement with `$1`, `$2` … for its parameters, and how many they are."""
    names = list(dict.fromkeys(_NAMED.findall(sql)))
    if names:
        numbered = _NAMED.sub(lambda found: f"${names.index(found[1]) + 1}", sql)
        return numbered, len(names)

    return sql, max(map(int, _NUMBERED.findall(sql)), default=0)
