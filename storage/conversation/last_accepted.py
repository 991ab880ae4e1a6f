"""The last accepted message of each chat, for platforms that can be asked what came after it."""

from __future__ import annotations

from collections.abc import Mapping

from storage.conversation import STATEMENTS
from storage.postgres import Database

DAYS = 7
"""How far back chats are looked for."""
CHATS = 200
"""At most so many chats, the most recent ones."""


class PostgresLastAccepted:
    """Implements agent.ports.LastAccepted for the chats of the last week, the most recent
    first.
    """

    def __init__(self, database: Database) -> None:
        self._line = database.line(planner={})

    async def __call__(self, channel: str) -> Mapping[str, str]:
        """The platform's id of the last accepted message, by chat.

        Raises StoreUnavailable, because an unknown message is not the same as none.
        """
        rows = await self._line.fetch(
            STATEMENTS["last_accepted"], channel, DAYS, CHATS
        )

        return {row["chat_id"]: row["platform_message_id"] for row in rows}
