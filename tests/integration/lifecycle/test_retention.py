"""Messages go when nobody keeps them any longer, and nobody waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from pydantic import SecretStr

from agent.app import open_app
from agent.settings import Settings
from storage.lifecycle import retention
from storage.lifecycle.retention import kept, retain
from storage.postgres import Database, connect, open_database
from storage.reports.rollup import sum_up, sum_up_again
from tests.support.settings import run, set_channel

NOW = datetime(2026, 7, 15, tzinfo=UTC)
MONTHS = ("2026-01-01", "2026-02-01", "2026-03-01")


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    for month in MONTHS:
        name = f"messages_{month[:7].replace('-', '_')}"
        await run(
            database_url,
            f"CREATE TABLE {name} PARTITION OF messages FOR VALUES "
            f"FROM ('{month} 00:00+00') TO ('{month[:5]}0{int(month[5:7]) + 1}-01 00:00+00')",
        )
    async with open_database(database_url) as opened:
        yield opened


async def fill(
    database_url: str, channel: str, *moments: str, waits: bool = False
) -> UUID:
    """A conversation with a message at each of these moments, and a vote on each."""
    user, conversation = uuid4(), uuid4()
    first, last = (
        datetime.fromisoformat(f"{m}+00:00") for m in (moments[0], moments[-1])
    )
    await run(
        database_url,
        "INSERT INTO users (id, person_id, channel_type, channel_user_id) "
        "VALUES ($1, $1, $2, $3)",
        user,
        channel,
        str(user),
    )
    await run(
        database_url,
        "INSERT INTO conversations (id, user_id, channel_type, chat_id, started_at, "
        "last_activity, asked, version) VALUES ($1, $2, $3, $7, $4, $5, $6, 9)",
        conversation,
        user,
        channel,
        first,
        last,
        int(waits),
        str(conversation),
    )
    for seq, moment in enumerate(moments):
        message = uuid4()
        at = datetime.fromisoformat(f"{moment}+00:00")
        await run(
            database_url,
            "INSERT INTO messages (conversation_id, timestamp, seq, id, role, content) "
            "VALUES ($1, $2, $3, $4, 'user', 'hello')",
            *(conversation, at, seq, message),
        )
        await run(
            database_url,
            "INSERT INTO votes (message_id, user_id, conversation_id, thumb) "
            "VALUES ($1, $2, $3, 1)",
            *(message, user, conversation),
        )

    return conversation


async def left(database_url: str) -> dict[str, list[str]]:
    """Days of the messages that are left, by channel; as many votes are left."""
    rows = await run(
        database_url,
        'SELECT channel_type, m."timestamp"::date::text AS day FROM messages m '
        "JOIN conversations c ON c.id = conversation_id ORDER BY 1, 2",
    )
    [votes] = await run(database_url, "SELECT count(*) FROM votes")
    assert len(rows) == votes[0]
    found: dict[str, list[str]] = {}
    for channel, day in rows:
        found.setdefault(channel, []).append(day)

    return found


async def months(database_url: str) -> list[str]:
    rows = await run(
        database_url,
        "SELECT relname FROM pg_class WHERE relname ~ '^messages_2026_0[1-3]$' ORDER BY 1",
    )

    return [row[0] for row in rows]


async def test_without_a_setting_everything_stays(
    database: Database, database_url: str
) -> None:
    await fill(database_url, "slack", "2026-01-05")
    await retain(database, None, NOW)

    assert {"slack": ["2026-01-05"]} == await left(database_url)
    assert 3 == len(await months(database_url))


async def test_months_go_whole_where_every_channel_allows_it_else_in_batches(
    database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """90 days end on April 16, 180 days on January 16; no month of those ended before."""
    monkeypatch.setattr(retention, "AT_ONCE", 2)
    days = ("2026-01-05", "2026-02-05", "2026-03-05", "2026-07-01")
    await set_channel(database_url, "slack", retention="180d")
    for channel in ("slack", "telegram"):
        await fill(database_url, channel, *days)
    await fill(database_url, "telegram", *days[:3])
    await retain(database, 90, NOW)

    expected = {"slack": [*days[1:]], "telegram": ["2026-07-01"]}
    assert expected == await left(database_url)
    assert 3 == len(await months(database_url))

    await set_channel(database_url, "slack", retention="100d")
    await retain(database, 90, NOW)

    assert {c: ["2026-07-01"] for c in expected} == await left(database_url)
    assert [] == await months(database_url)


async def test_a_channel_that_keeps_all_keeps_all(
    database: Database, database_url: str
) -> None:
    await set_channel(database_url, "slack", retention="forever")
    await fill(database_url, "slack", "2026-01-05")
    await fill(database_url, "telegram", "2026-01-05")
    await retain(database, 90, NOW)

    assert {"slack": ["2026-01-05"]} == await left(database_url)


async def test_where_somebody_waits_for_an_answer_nothing_goes(
    database: Database, database_url: str
) -> None:
    await set_channel(database_url, "slack", retention="forever")
    await fill(database_url, "telegram", "2026-01-05", waits=True)
    await retain(database, 90, NOW)

    assert {"telegram": ["2026-01-05"]} == await left(database_url)


async def test_a_month_with_an_open_turn_stays_whole(
    database: Database, database_url: str
) -> None:
    await run(
        database_url,
        "INSERT INTO turns (id, channel_type, chat_id, platform_message_id, created_at) "
        "VALUES (gen_random_uuid(), 'slack', 'c', '1', '2026-02-05')",
    )
    await retain(database, 90, NOW)

    assert ["messages_2026_02", "messages_2026_03"] == await months(database_url)


async def test_windows_of_conversations_that_go_on_are_not_believed_any_more(
    database: Database, database_url: str
) -> None:
    conversation = await fill(database_url, "slack", "2026-01-05", "2026-07-01")
    await retain(database, 90, NOW)
    [row] = await run(
        database_url,
        "SELECT version, started_at::date::text FROM conversations WHERE id = $1",
        conversation,
    )

    assert (10, "2026-04-16") == tuple(row)


async def test_a_lock_is_waited_for_briefly_and_asked_for_again(
    database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody reads the table; turns behind the drop wait 50 ms at most, then it gives way."""
    monkeypatch.setattr(retention, "PAUSE_SECONDS", 0.01)
    reader = await connect(database_url)
    await reader.execute("BEGIN; SELECT count(*) FROM messages")
    waited: list[float] = []
    dropping = asyncio.create_task(retain(database, 90, NOW))
    while not await tried(database_url, waited) and not dropping.done():
        await asyncio.sleep(0)
    assert not dropping.done()
    await reader.execute("COMMIT")
    await dropping
    await reader.close()

    assert [] == await months(database_url)
    assert max(waited) < 1.0


async def tried(database_url: str, waited: list[float]) -> bool:
    """Ten writes went by while the drop was at it; how long each took, in seconds."""
    loop = asyncio.get_running_loop()
    before = loop.time()
    await run(
        database_url,
        "INSERT INTO messages (conversation_id, seq, id, role, content) "
        "VALUES (gen_random_uuid(), 1, gen_random_uuid(), 'user', 'hello')",
    )
    waited.append(loop.time() - before)

    return len(waited) >= 10


async def test_what_was_detached_by_an_instance_that_died_is_dropped(
    database: Database, database_url: str
) -> None:
    await run(database_url, "SELECT detach_messages('2026-01-01')")
    await retain(database, 90, NOW)

    assert [] == await months(database_url)


async def test_words_of_a_month_go_with_it(
    database: Database, database_url: str
) -> None:
    """Those in a table of the month, and those that had none."""
    await run(database_url, "SELECT make_search_partitions()")
    await run(database_url, "DROP TABLE search_messages_2026_02")
    await set_channel(database_url, "slack", retention="100d")
    for month in ("01", "02", "06"):
        await run(
            database_url,
            "INSERT INTO search_messages VALUES "
            "(gen_random_uuid(), $1, 1, gen_random_uuid(), 'wombat')",
            datetime(2026, int(month), 20, tzinfo=UTC),
        )
    await retain(database, 90, NOW)
    tables = await run(
        database_url,
        "SELECT FROM pg_class WHERE relkind = 'r' AND relname ~ '^search_messages_2026_0[1-3]$'",
    )
    words = await run(database_url, "SELECT at::date::text FROM search_messages")

    assert [] == tables
    assert ["2026-06-20"] == [row[0] for row in words]


async def test_what_was_used_stays_counted_when_hours_are_summed_up_again(
    database: Database, database_url: str
) -> None:
    """Also of hours of which a part is gone. What is not summed up yet is not deleted yet."""
    days = ("2026-01-05", "2026-04-16 00:01:00", "2026-04-16 00:45:00", "2026-07-01")
    await run(database_url, "UPDATE report_state SET counted_until = '2026-01-01'")
    await set_channel(database_url, "slack", retention="forever")
    for channel in ("slack", "telegram"):
        await fill(database_url, channel, *days)
    await run(
        database_url,
        "UPDATE messages m SET user_id = c.user_id, role = 'assistant' FROM conversations c"
        " WHERE c.id = m.conversation_id",
    )
    counts = "SELECT channel_type, hour, answers, thumbs_up FROM report_hours ORDER BY 1, 2"

    await retain(database, 90, NOW)
    assert 8 == sum(map(len, (await left(database_url)).values()))
    await sum_up(database_url)
    before = await run(database_url, counts)
    await retain(database, 90, NOW.replace(minute=30))
    await run(database_url, "UPDATE votes SET thumb = 1")
    await sum_up(database_url)
    await sum_up_again(database_url)

    assert 6 == len(before)
    assert 6 == sum(map(len, (await left(database_url)).values()))
    assert before == await run(database_url, counts)


async def test_status_knows_what_is_kept_and_when_the_next_month_goes(
    database: Database, database_url: str
) -> None:
    await set_channel(database_url, "slack", retention="100d")
    found = await kept(database, 90)

    assert (90, {"slack": 100}) == (found.policy.default, found.policy.channels)
    assert datetime(2026, 5, 12, tzinfo=UTC) == found.next_drop


async def test_an_agent_that_runs_deletes_what_is_too_old(
    database: Database,
    database_url: str,
    redis_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nobody asks for it: RETENTION_DAYS is enough."""
    monkeypatch.setattr(retention, "SOON", 0.5)
    await fill(database_url, "slack", "2026-01-05", "2026-02-05")
    settings = Settings(
        _env_file=None,
        database_url=SecretStr(database_url),
        redis_url=SecretStr(redis_url),
        agent_home=tmp_path,
        retention_days=31,
    )

    async with open_app(settings, {}), asyncio.timeout(20):
        while (await run(database_url, "SELECT count(*) FROM messages"))[0][0]:
            await asyncio.sleep(0.1)
