"""`agent db …`: the schema of the database, its load, and the keys of what it holds."""

from __future__ import annotations

from agent.cli.db.commands import app
from agent.cli.stores import keys, load

for _command in (
    keys.new_key,
    keys.rotate_keys,
    load.stats,
    load.queries,
    load.explain,
):
    app.command()(_command)

__all__ = ["app"]
