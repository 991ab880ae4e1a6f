"""Reads statements.sql: each statement by its name."""

from __future__ import annotations

import re
from importlib.resources import files


def _parse(text: str) -> dict[str, str]:
    parts = re.split(r"^-- name: (\w+)$", text, flags=re.MULTILINE)
    return {
        name: _named(name, body)
        for name, body in zip(parts[1::2], parts[2::2], strict=True)
    }


def _named(name: str, body: str) -> str:
    """Without its comments but with its name behind the first word: Postgres's statistics
    drop it before.
    """
    sql = re.sub(r"^--.*\n", "", body, flags=re.MULTILINE)
    verb, _, rest = sql.strip().removesuffix(";").partition(" ")
    return f"{verb} /* {name} */ {rest}"


STATEMENTS = _parse(
    files("storage.conversation").joinpath("statements.sql").read_text("utf-8")
)
