"""The queries with which other tests find broken promises do find them."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest

from storage.postgres import connect
from tests.support.engine_harness import EngineHarness, Instance
from tests.support.fleet.invariant_queries import BROKEN, broken_promises
from tests.support.fleet.member import PLATFORM

_SEEN = """
INSERT INTO platform SELECT c.chat_id, a.id::text, a.content, m.turn_id, 1, 0 FROM messages a
JOIN conversations c ON c.id = a.conversation_id
JOIN messages m ON m.conversation_id = a.conversation_id AND m.seq = a.answers
WHERE a.role = 'assistant'
"""
_AGAIN = """
INSERT INTO messages (conversation_id, "timestamp", seq, id, role, content, turn_id, answers)
SELECT conversation_id, "timestamp" + interval '1 minute', seq + 10, gen_random_uuid(),
    role, content, turn_id, answers
FROM messages WHERE role = '{}' AND seq <= 2
"""


@pytest.fixture
async def kept(
    world: EngineHarness, agent: Instance
) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """Two messages and their answers, as they should be."""
    await world.ask(agent, "one")
    await world.ask(agent, "two")
    await agent.engine.stop()
    connection = await connect(world.database_url)
    await connection.execute(PLATFORM)
    await connection.execute(_SEEN)
    yield connection
    await connection.close()


BREAKS = {
    "a message has one row": _AGAIN.format("user"),
    "a turn has a message": "DELETE FROM messages WHERE seq = 1",
    "every message is covered by exactly one answer": """
        UPDATE messages SET answers = 2 WHERE seq = 4""",
    "answers go forward": _AGAIN.format("assistant"),
    "order by timestamp is order by seq": """
        UPDATE messages SET "timestamp" = "timestamp" + interval '1 minute' WHERE seq = 2""",
    "seq has no gaps": "DELETE FROM messages WHERE seq = 2",
    "nothing is left in progress": "UPDATE conversations SET asked = 5",
    "every turn is done": "UPDATE turns SET state = 'failed'",
    "every answer stands on the platform once": _SEEN.replace(
        "a.id::text", "a.id || 'x'"
    ),
    "what is sent again says that it may be a repeat": "UPDATE platform SET sends = 2",
}


async def test_kept_promises_are_not_broken(
    kept: asyncpg.Connection[asyncpg.Record],
) -> None:
    assert {} == await broken_promises(kept)


@pytest.mark.parametrize(
    "promise", [name for name in BROKEN if name != "no deadlock"]
)
async def test_a_broken_promise_is_found(
    kept: asyncpg.Connection[asyncpg.Record], promise: str
) -> None:
    """By its own query, whatever else breaks with it."""
    await kept.execute(BREAKS[promise])
    broken = await broken_promises(kept)

    assert promise in broken
