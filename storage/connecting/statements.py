"""SQL by name: each room of storage keeps its statements in one `statements.sql`.

A statement begins with a line `-- name: <name>`; the comment lines below it say why it is
as it is. Parameters are `$1`, `$2` … on pinned connections and `:name` on those of the pool
(`storage/connecting/connection.py`); the head of each file says which it uses.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.resources import files

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
_COMMENT_LINE = re.compile(r"^--.*\n", re.MULTILINE)


def read_statements(room: str) -> Mapping[str, str]:
    """The statements of a package (`storage.limits`) by name, each ready to be run."""
    _, *parts = _NAME.split(files(room).joinpath("statements.sql").read_text("utf-8"))

    return {
        name: _labelled(name, body)
        for name, body in zip(parts[::2], parts[1::2], strict=True)
    }


def _labelled(name: str, body: str) -> str:
    """The statement without its comment lines, with its name after the first word.

    `pg_stat_statements` shows the name there; a comment before the first word is dropped.
    """
    sql = _COMMENT_LINE.sub("", body).strip().removesuffix(";")
    verb, rest = sql.split(maxsplit=1)

    return f"{verb} /* {name} */ {rest}"
