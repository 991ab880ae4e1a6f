"""What people think of answers, one row for each account and answer."""

from __future__ import annotations

from uuid_utils.compat import uuid7

from agent.core.messages import Reacted, Thumb
from storage.conversation import STATEMENTS
from storage.postgres import WALK_INDEXES, Database

_VALUES = {Thumb.UP: 1, Thumb.DOWN: -1}


class PostgresVotes:
    """Implements agent.ports.Votes."""

    def __init__(self, database: Database) -> None:
        self._line = database.line(WALK_INDEXES)

    async def vote(self, reaction: Reacted) -> bool:
        rows = await self._line.fetch(
            STATEMENTS["vote"],
            reaction.address.channel,
            reaction.address.chat,
            reaction.message_id,
            reaction.user_id,
            reaction.username,
            uuid7(),
            _VALUES[reaction.thumb],
            not reaction.taken_back,
        )

        return bool(rows[0]["settled"])
