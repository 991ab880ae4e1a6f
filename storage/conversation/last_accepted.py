"""Where each chat was left, for platforms that can be asked what came after."""

from __future__ import annotations

from collections.abc import Mapping

from storage.conversation import STATEMENTS
from storage.postgres import Database

DAYS = 7
CHATS = 200


class PostgresBacklog:
    """Implements agent.ports.LastAccepted: the chats spoken in during the last week, the
    most recent first.
    """

    def __init__(self, database: Database) -> None:
        self._line = database.line(planner={})

    async def __call__(self, channel: str) -> Mapping[str, str]:
        """The platform id of the last accepted message by chat. Raises StoreUnavailable:
        unknown is not none.
        """
        rows = await self._line.fetch(STATEMENTS["last_accepted"], channel, DAYS, CHATS)
        return {row["chat_id"]: row["platform_message_id"] for row in rows}
