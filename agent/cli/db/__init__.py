"""`agent db …`: the schema of the database."""

from __future__ import annotations

from agent.cli.db.commands import app

__all__ = ["app"]
