"""Edits and deletions of messages that no answer covers yet, and messages set aside."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from uuid import UUID

from agent.core.messages import Edited, Revision
from storage.conversation import STATEMENTS
from storage.postgres import Database

EARLIER = {"kept": True}
"""Tells the trigger on messages to keep the text of before; it takes this word out again."""


class PostgresEdits:
    """Implements agent.ports.Edits. `keeps`: whether a channel's earlier texts are kept."""

    def __init__(
        self, database: Database, keeps: Callable[[str], bool] = lambda _: False
    ) -> None:
        self._line = database.line()
        self._keeps = keeps

    async def edit(self, revision: Revision) -> UUID | None:
        if isinstance(revision, Edited):
            content, replaces = revision.text, revision.replaces
            metadata = {"edited": True}
        else:
            content, replaces = "", None
            metadata = {"deleted": True}
        if self._keeps(revision.address.channel):
            metadata |= EARLIER

        values = revision.turn_id, content, json.dumps(metadata), replaces
        rows = await self._line.fetch(STATEMENTS["edit"], *values)

        return rows[0]["id"] if rows else None

    async def set_aside(self, turns: Sequence[UUID]) -> None:
        await self._line.fetch(STATEMENTS["set_aside"], list(turns))
