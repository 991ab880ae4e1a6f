"""Edits and deletions of messages that no answer covers yet, and messages set aside."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from agent.core.messages import Edited, Revision
from storage.conversation import STATEMENTS
from storage.postgres import Database


class PostgresEdits:
    """Implements agent.ports.Edits."""

    def __init__(self, database: Database) -> None:
        self._line = database.line()

    async def edit(self, revision: Revision) -> UUID | None:
        if isinstance(revision, Edited):
            content, metadata = revision.text, '{"edited": true}'
            replaces = revision.replaces
        else:
            content, metadata, replaces = "", '{"deleted": true}', None

        rows = await self._line.fetch(
            STATEMENTS["edit"], revision.turn_id, content, metadata, replaces
        )

        return rows[0]["id"] if rows else None

    async def set_aside(self, turns: Sequence[UUID]) -> None:
        await self._line.fetch(STATEMENTS["set_aside"], list(turns))
