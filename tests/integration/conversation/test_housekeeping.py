"""The agent looks after its tables by itself."""

from __future__ import annotations

import pytest

from storage.conversation import housekeeping
from storage.conversation.housekeeping import tidy
from storage.postgres import open_database
from tests.support.settings import run

TURNS = """
INSERT INTO turns (id, channel_type, chat_id, platform_message_id, state, created_at)
SELECT gen_random_uuid(), 'test', 'chat', n::text, $1, now() - make_interval(days => $2)
FROM generate_series(1, $3::int) n
"""


async def test_all_closed_turns_past_their_use_go_however_many_and_no_others(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few in one transaction, but all within the hour: a busy agent makes many."""
    monkeypatch.setattr(housekeeping, "PRUNED_AT_ONCE", 10)
    for state, days, count in (
        ("done", 31, 25),
        ("failed", 31, 10),
        ("open", 31, 2),
        ("done", 29, 3),
    ):
        await run(database_url, TURNS, state, days, count)

    async with open_database(database_url) as database:
        await tidy(database)
    left = await run(
        database_url,
        "SELECT state, count(*) FROM turns GROUP BY state ORDER BY state",
    )

    assert [("done", 3), ("open", 2)] == [tuple(row) for row in left]
