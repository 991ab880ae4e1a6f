"""Reports equal a plain count of all messages, to the last digit, whatever comes late."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import product
from typing import Any, get_args
from uuid import UUID

import pytest
from msgspec.structs import asdict

from agent.reports.usage import Line, Scope, Subject, Unit
from storage.postgres import connect, open_database
from storage.reports import STATEMENTS
from storage.reports.forgetting import forget_people
from storage.reports.rollup import sum_up, sum_up_again
from storage.reports.usage import UsageReader, read_usage
from storage.transaction import transaction
from tests.support.settings import run
from tests.support.usage_data import CHANNELS, MODELS, SUMS, UsageData, counted

EVER = datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)


@pytest.fixture
async def data(database_url: str) -> UsageData:
    """Some thousand messages, of which all but the open hour's are summed up."""
    made = UsageData(seed=7, count=2_000)
    await made.store(database_url)
    await sum_up_again(database_url)

    return made


async def reported(database_url: str) -> dict[tuple[Any, ...], dict[str, Any]]:
    """By day, channel, model and person, as reports say."""
    found = {}
    async with read_usage(database_url) as reader:
        for channel in CHANNELS:
            for model in (*MODELS, ""):
                scope = Scope(*EVER, "day", "person", channel, model)
                for line in await reader.lines(scope):
                    key = (f"{line.period:%Y-%m-%d}", channel, model, line.subject)
                    found[key] = {
                        name: getattr(line, name) for name in (*SUMS, "cost_usd")
                    }

    return found


async def expected(database_url: str) -> dict[tuple[Any, ...], dict[str, Any]]:
    plain = await counted(database_url)

    return {
        key: {name: value for name, value in line.items() if name != "latencies"}
        for key, line in plain.items()
    }


async def hours_summed_up(database_url: str) -> int:
    rows = await run(database_url, "SELECT count(*) FROM report_hours")

    return int(rows[0][0])


async def test_sums_equal_a_plain_count(database_url: str, data: UsageData) -> None:
    assert await hours_summed_up(database_url) > 500
    assert await expected(database_url) == await reported(database_url)


@pytest.mark.chaos
@pytest.mark.timeout(3600)
async def test_sums_equal_a_plain_count_of_a_million(database_url: str) -> None:
    """Before and after a person is linked, another erased, and votes come late.

    MESSAGES=100000 for fewer of them.
    """
    count = int(os.environ.get("MESSAGES", "1000000"))
    made = UsageData(seed=11, count=count, days=80, people=max(count // 500, 60))
    await made.store(database_url)
    await sum_up_again(database_url)
    await run(database_url, "ANALYZE")
    assert await expected(database_url) == await reported(database_url)

    first, second, third = [user[0] for user in made.users[:3]]
    link = "UPDATE users SET person_id = $1 WHERE id = $2"
    await run(database_url, link, first, second)
    await run(
        database_url, "UPDATE votes SET thumb = -thumb WHERE user_id = $1", first
    )
    await run(
        database_url, "UPDATE messages SET user_id = NULL WHERE user_id = $1", third
    )
    async with (
        open_database(database_url) as database,
        transaction(database) as opened,
    ):
        await forget_people(opened, [third])
    await run(database_url, "DELETE FROM votes WHERE user_id = $1", third)
    await sum_up(database_url)
    plain, found = await totals(database_url)

    assert plain == found


async def totals(url: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Sums over all, counted the plain way and as reports say, but for thumbs of the erased."""
    names = [name for name in (*SUMS, "cost_usd") if not name.startswith("thumbs")]
    lines = (await expected(url)).values()
    async with read_usage(url) as reader:
        total = await reader.total(Scope(*EVER))

    return (
        {name: sum(line[name] for line in lines) for name in names},
        {name: getattr(total, name) for name in names},
    )


async def test_summing_up_again_changes_nothing(
    database_url: str, data: UsageData
) -> None:
    before = await run(database_url, "SELECT * FROM report_hours ORDER BY 1, 2, 3, 4")
    await asyncio.gather(*(sum_up_again(database_url) for _ in range(3)))
    after = await run(database_url, "SELECT * FROM report_hours ORDER BY 1, 2, 3, 4")

    assert list(map(_sorted, before)) == list(map(_sorted, after))


def _sorted(row: Any) -> dict[str, Any]:
    return {**row, "latencies": sorted(row["latencies"])}


async def test_votes_that_come_late_are_counted(
    database_url: str, data: UsageData
) -> None:
    """Given, changed and taken back on answers of hours long closed."""
    await run(database_url, "DELETE FROM votes WHERE thumb = 1")
    await run(database_url, "UPDATE votes SET thumb = 1")
    await run(
        database_url,
        "INSERT INTO votes (message_id, user_id, conversation_id, thumb)"
        " SELECT m.id, $1, m.conversation_id, -1 FROM messages m"
        " WHERE role = 'assistant' AND NOT metadata ? 'carried' AND seq % 3 = 0"
        " ON CONFLICT DO NOTHING",
        data.users[0][0],
    )
    await sum_up(database_url)

    assert await expected(database_url) == await reported(database_url)
    assert [] == await run(database_url, "SELECT * FROM report_late_votes")


async def test_linked_accounts_are_one_person_in_all_that_was(
    database_url: str, data: UsageData
) -> None:
    """At once: no hour is summed up again for it."""
    stays, gone = data.users[0][1], data.users[10][1]
    await run(
        database_url,
        "UPDATE users SET person_id = $1 WHERE person_id = $2",
        stays,
        gone,
    )
    found = await reported(database_url)

    assert await expected(database_url) == found
    assert str(gone) not in {key[3] for key in found}


async def test_what_forgotten_people_used_stays_counted_for_nobody(
    database_url: str, data: UsageData
) -> None:
    before = await total(database_url)
    gone = [row[0] for row in data.users[:7]]
    connection = await connect(database_url)
    async with (
        open_database(database_url) as database,
        transaction(database) as erasing,
    ):
        await forget_people(erasing, gone)
    await connection.execute(
        "UPDATE messages SET user_id = NULL WHERE user_id = ANY($1)", gone
    )
    await connection.close()
    after = await total(database_url)

    assert await expected(database_url) == await reported(database_url)
    assert {**asdict(before), "people": 0} == {**asdict(after), "people": 0}
    assert after.people < before.people


async def total(database_url: str) -> Line:
    async with read_usage(database_url) as reader:
        return await reader.total(Scope(*EVER))


async def test_a_message_of_an_open_transaction_is_not_missed(
    database_url: str, data: UsageData
) -> None:
    """Hours end before the oldest transaction that may still store something."""
    connection = await connect(database_url)
    transaction = connection.transaction()
    await transaction.start()
    begun = await connection.fetchval("SELECT now()")
    await run(
        database_url,
        "UPDATE report_state SET counted_until = counted_until - interval '3 hours'",
    )
    await sum_up(database_url)
    await transaction.rollback()
    await connection.close()
    until = (await run(database_url, "SELECT counted_until FROM report_state"))[0][0]

    assert until <= begun.replace(minute=0, second=0, microsecond=0)


async def test_a_message_that_a_clock_put_into_the_last_hours_is_counted(
    database_url: str, data: UsageData
) -> None:
    hour = (await run(database_url, "SELECT counted_until FROM report_state"))[0][0]
    conversation = data.conversations[0]
    await run(
        database_url,
        'INSERT INTO messages (conversation_id, "timestamp", seq, id, role, content, user_id)'
        " VALUES ($1, $2, 777, gen_random_uuid(), 'user', 'late', $3)",
        conversation[0],
        hour - timedelta(minutes=90),
        data.users[3][0],
    )
    await run(
        database_url,
        "UPDATE report_state SET counted_until = $1",
        hour - timedelta(hours=1),
    )
    await sum_up(database_url)

    assert await expected(database_url) == await reported(database_url)


async def test_percentiles_are_those_of_all_answers(
    database_url: str, data: UsageData
) -> None:
    """Exactly: the answer at this rank took so long."""
    plain = await counted(database_url)
    async with read_usage(database_url) as reader:
        found = {
            line.subject: line
            for line in await reader.latencies(Scope(*EVER, by="model"))
        }

    for model in MODELS:
        took = sorted(
            ms
            for key, line in plain.items()
            if key[2] == model
            for ms in line["latencies"]
        )
        line = found[model]
        assert len(took) == line.answers
        assert [_rank(took, share) for share in (50, 90, 95, 99, 100)] == [
            line.p50,
            line.p90,
            line.p95,
            line.p99,
            line.longest,
        ]


def _rank(took: list[int], percent: int) -> int:
    return took[max(-(-len(took) * percent // 100), 1) - 1]


async def test_people_count_once_however_many_lines_they_are_in(
    database_url: str, data: UsageData
) -> None:
    plain = await counted(database_url)
    people = {key[3] for key, line in plain.items() if line["messages"] and key[3]}
    whole = await total(database_url)

    assert len(people) == whole.people


async def test_lines_follow_each_other_and_the_newest_are_those_at_the_end(
    database_url: str, data: UsageData
) -> None:
    """By any unit and subject: each line once, and of some the total is that of all."""
    await sum_up_again(database_url)
    async with read_usage(database_url) as reader:
        units: tuple[Unit | None, ...] = (None, "hour", "day")
        for unit, subject in product(units, (None, *get_args(Subject))):
            scope = Scope(*EVER, unit=unit, by=subject)
            lines = await reader.lines(scope)
            pages = [
                line async for line in followed(reader, scope, len(lines) // 4 + 1)
            ]
            newest = await reader.newest(scope, 5)

            assert lines == pages
            named = [line for line in lines if line.subject or subject != "model"]
            assert len(named) == len(newest.shown) + newest.left_out
            assert await reader.total(scope) == newest.total
            if unit is not None:
                last = [line.period for line in named][-len(newest.shown) :]
                assert last[::-1] == [line.period for line in newest.shown]


async def followed(
    reader: UsageReader, scope: Scope, most: int
) -> AsyncIterator[Line]:
    last = None
    while lines := await reader.following(scope, last, most):
        for line in lines:
            yield line
        last = (lines[-1].period, lines[-1].subject)


async def test_costs_of_days_are_those_of_lines(
    database_url: str, data: UsageData
) -> None:
    """Of all, and of one channel, one model and one person."""
    person = data.users[0][0]
    async with read_usage(database_url) as reader:
        for scope in (
            Scope(*EVER, unit="day"),
            Scope(*EVER, unit="day", channel=CHANNELS[0]),
            Scope(*EVER, unit="day", model=MODELS[0]),
            Scope(*EVER, unit="day", person=person),
        ):
            lines = await reader.lines(scope)
            costs = await reader.daily_costs(scope)

            assert {line.period: line.cost_usd for line in lines} == costs
            assert len(costs) > 5


async def test_one_day_has_nothing_of_the_day_before(
    database_url: str, data: UsageData
) -> None:
    async with read_usage(database_url) as reader:
        for line in (await reader.lines(Scope(*EVER, unit="day")))[:5]:
            assert line.period is not None
            day = Scope(line.period, line.period + timedelta(days=1), unit="day")
            assert [line] == await reader.lines(day)


async def test_nothing_happened_is_no_line_and_an_empty_total(
    database_url: str,
) -> None:
    async with read_usage(database_url) as reader:
        newest = await reader.newest(Scope(*EVER, unit="day"), 5)

        assert ([], 0, Line()) == (newest.shown, newest.left_out, newest.total)
        assert [] == await reader.lines(Scope(*EVER))


async def test_an_unknown_price_is_no_zero(
    database_url: str, data: UsageData
) -> None:
    async with read_usage(database_url) as reader:
        lines = {
            line.subject: line
            for line in await reader.lines(Scope(*EVER, by="model"))
        }

    assert lines["anthropic:b"].unpriced > 0
    assert lines["anthropic:b"].known_cost is None
    assert lines["offline:echo"].known_cost == Decimal(0)
    assert lines["openai:a"].known_cost == lines["openai:a"].cost_usd > 0


@pytest.mark.parametrize("unit", ["week", "month"])
async def test_cohorts_equal_a_plain_count(
    database_url: str, data: UsageData, unit: str
) -> None:
    closed = (await run(database_url, "SELECT counted_until FROM report_state"))[0][0]
    rows = await run(
        database_url,
        "SELECT u.person_id, date_trunc($1, m.timestamp, 'UTC') FROM messages m"
        " JOIN users u ON u.id = m.user_id WHERE m.role = 'user' AND m.timestamp < $2",
        unit,
        closed,
    )
    first: dict[UUID, datetime] = {}
    for person, period in rows:
        first[person] = min(period, first.get(person, period))
    plain: dict[tuple[datetime, datetime], set[UUID]] = {}
    for person, period in rows:
        plain.setdefault((first[person], period), set()).add(person)
    async with read_usage(database_url) as reader:
        found = await reader.cohorts(
            "week" if unit == "week" else "month", *EVER, None
        )

    assert {key: len(people) for key, people in plain.items()} == {
        (cohort.begun, period): count
        for cohort in found
        for period, count in [(cohort.begun, cohort.people), *cohort.returned]
    }


@pytest.mark.parametrize("name", ["usage", "latency"])
async def test_no_plan_touches_messages_of_closed_hours(
    database_url: str, data: UsageData, name: str
) -> None:
    """Of messages, the index on time finds the open hour's; of what they answer, their key."""
    connection = await connect(database_url, planner={"enable_seqscan": "off"})
    open_rows = await connection.fetchval(
        "SELECT count(*) FROM messages"
        " WHERE timestamp >= (SELECT counted_until FROM report_state)"
    )
    more = [None, None, None, None] if name == "usage" else []
    arguments = ["day", "person", *EVER, None, None, None, *more]
    sql = f"EXPLAIN (ANALYZE, FORMAT JSON) {STATEMENTS[name]}"
    plan = json.loads((await connection.fetch(sql, *arguments))[0][0])[0]["Plan"]
    await connection.close()
    scans = [
        node
        for node in nodes(plan)
        if node.get("Relation Name", "").startswith("messages")
        and node["Actual Loops"]
    ]
    by_time = [node for node in scans if node["Alias"].startswith("m")]
    by_key = [node for node in scans if node["Alias"].startswith("q")]

    assert len(scans) == len(by_time) + len(by_key)
    this_month = f"messages_{datetime.now(UTC):%Y_%m}"
    now = [node for node in by_time if node["Relation Name"] == this_month]
    assert [True] * len(now) == [
        "Bitmap Heap Scan" == node["Node Type"]
        and "timestamp" in node["Recheck Cond"]
        for node in now
    ]
    assert now
    assert all(node["Relation Name"] >= this_month for node in by_time)
    assert open_rows >= sum(
        node["Actual Rows"] * node["Actual Loops"] for node in by_time
    )
    assert all("conversation_id" in node["Index Cond"] for node in by_key)


def nodes(plan: dict[str, Any]) -> Iterable[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", []):
        yield from nodes(child)


YOUNG = """
WITH person AS (
    INSERT INTO users (id, person_id, channel_type, channel_user_id)
    SELECT id, id, 'slack', id::text
    FROM (SELECT gen_random_uuid() AS id FROM generate_series(1, 500)) made
    RETURNING id
), chat AS (
    INSERT INTO conversations (id, user_id, channel_type, chat_id)
    SELECT id, id, 'slack', id::text FROM person
    RETURNING id
)
INSERT INTO messages (conversation_id, "timestamp", seq, id, role, content, user_id)
SELECT id, now(), n, gen_random_uuid(), 'user', '', id FROM chat, generate_series(1, 4) n
"""


async def test_no_message_of_a_young_database_is_compared_with_every_conversation(
    database_url: str,
) -> None:
    """Its statistics say that there are none."""
    await run(
        database_url, "ALTER TABLE conversations SET (autovacuum_enabled = off)"
    )
    await run(database_url, YOUNG)
    now = datetime.now(UTC)
    more = (now - timedelta(days=1), now + timedelta(hours=1), *[None] * 7)
    async with read_usage(database_url) as reader:
        rows = await reader._connection.fetch(
            f"EXPLAIN (ANALYZE, TIMING off) {STATEMENTS['usage']}", "day", None, *more
        )
    plan = [row[0] for row in rows]
    removed = [int(line.split(":")[1]) for line in plan if "by Join Filter" in line]

    assert "rows=2000.00" in " ".join(plan)
    assert sum(removed) <= 2000, plan
