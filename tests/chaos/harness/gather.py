"""What a world looks like after a run, for the checker."""

from __future__ import annotations

import json

import asyncpg

from agent.core.messages import delivered
from tests.chaos.harness.evidence import Asked, Evidence, Row
from tests.chaos.harness.model import POISON
from tests.chaos.harness.people import is_acknowledged, standing_in
from tests.chaos.harness.world import World

_ROWS = """
SELECT m.conversation_id::text AS conversation, m.seq, m.role, m.content, m.answers, m.metadata,
       t.state = 'failed' AS failed
FROM messages m LEFT JOIN turns t ON t.id = m.turn_id AND m.role = 'user'
ORDER BY m.conversation_id, m.seq
"""


async def gathered(world: World) -> Evidence:
    """All of it. Postgres is asked past its link, so that a fault there hides nothing."""
    asked = [
        Asked(said.token, said.chat.name, is_acknowledged(said))
        for said in world.people.said
    ]
    poison = frozenset(
        said.token for said in world.people.said if POISON in said.text.split()
    )
    rows = [_row(record) for record in await world.fetch(_ROWS)]
    standing = {chat.name: standing_in(chat) for chat in world.chats}
    return Evidence(asked, rows, standing, list(world.model.asked), poison)


def _row(record: asyncpg.Record) -> Row:
    metadata = json.loads(record["metadata"])
    return Row(
        record["conversation"],
        record["seq"],
        record["role"],
        delivered(record["content"], metadata),
        record["answers"],
        notice=bool(metadata.get("notice")),
        failed=bool(record["failed"]),
    )
