"""Processes that reserve and settle at once on one Postgres and are killed at random: no
budget is ever exceeded.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from decimal import Decimal
from uuid import UUID

import asyncpg
import pytest

from storage.postgres import connect
from tests.support.fleet.spender import MAX_TOKENS, PRICE

PEOPLE = [str(UUID(int=number)) for number in range(1, 7)]
CHANNELS = ["discord", "slack"]
PROCESSES = 4
CUT_OFF = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND application_name = 'simple-ai-agent'
  AND pid <> pg_backend_pid()
"""


@dataclass
class Call:
    """One call that was granted; what it used is known once it was made."""

    person: str
    channel: str
    tokens: int
    usd: Decimal
    made: bool = False


@dataclass
class Ledger:
    """What the processes said, and the moments at which one of them is to be killed."""

    moments: list[int]  # numbers of events, in their order
    calls: dict[UUID, Call] = field(default_factory=dict)
    refused: int = 0
    events: int = 0
    kills: int = 0

    def kills_now(self) -> bool:
        """Whether somebody is to be killed; asked once for each."""
        due = bool(self.moments) and self.events >= self.moments[0]
        if due:
            self.moments.pop(0)
            self.kills += 1

        return due

    @property
    def asked(self) -> int:
        return len(self.calls) + self.refused

    def write(self, line: bytes) -> None:
        self.events += 1
        event = json.loads(line)
        if "granted" in event:
            call = Call(
                event["author"],
                event["channel"],
                event["tokens"],
                Decimal(event["usd"]),
            )
            self.calls[UUID(event["granted"])] = call
        elif "used" in event:
            call = self.calls[UUID(event["used"])]
            call.tokens, call.usd, call.made = (
                event["tokens"],
                Decimal(event["usd"]),
                True,
            )
        else:
            self.refused += 1

    def spent(self, scope: str, subject: str) -> tuple[int, Decimal]:
        """At most so much was really used, tokens and USD: calls that nobody knows the end
        of took all they could.
        """
        calls = [
            call for call in self.calls.values() if subject == getattr(call, scope)
        ]
        return sum(call.tokens for call in calls), sum(
            (call.usd for call in calls), Decimal(0)
        )


@dataclass
class Town:
    """The processes of one test and the Postgres they share."""

    database_url: str
    redis_url: str
    probe: asyncpg.Connection[asyncpg.Record]
    ledger: Ledger
    seed: int
    _killing: asyncio.Lock = field(default_factory=asyncio.Lock)
    _start: asyncio.Barrier = field(
        default_factory=lambda: asyncio.Barrier(PROCESSES)
    )

    async def spend(self, calls: int) -> None:
        """Runs processes, some of which are killed, until so many reservations were asked for."""
        async with asyncio.TaskGroup() as group:
            for number in range(PROCESSES):
                group.create_task(self._keep_spending(number, calls))

    async def _keep_spending(self, number: int, calls: int) -> None:
        generation = 0
        while (left := calls - self.ledger.asked) > 0:
            generation += 1
            seed = self.seed + 1000 * number + generation
            await self._one_process(
                seed, -(-left // PROCESSES), first=generation == 1
            )

    async def _one_process(
        self,
        seed: int,
        calls: int,
        *,
        first: bool,
    ) -> None:
        spec = {
            "database_url": self.database_url,
            "redis_url": self.redis_url,
            "people": PEOPLE,
            "channels": CHANNELS,
            "calls": calls,
            "seed": seed,
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.support.fleet.spender",
            json.dumps(spec),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )

        assert process.stdin is not None
        assert process.stdout is not None

        alive = True

        try:
            await process.stdout.readline()
            if first:
                await (
                    self._start.wait()
                )  # so that they compete from the first call on
            process.stdin.close()
            while line := await process.stdout.readline():
                self.ledger.write(line)
                if alive and self.ledger.kills_now():
                    process.kill()
                    alive = False
                    async with self._killing:
                        await self.probe.execute(
                            CUT_OFF
                        )  # the others lose an answer of Postgres at the same moment
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()


@asynccontextmanager
async def town(
    database_url: str,
    redis_url: str,
    calls: int,
    kills: int,
    seed: int,
) -> AsyncIterator[Town]:
    chance = random.Random(seed)
    probe = await connect(database_url)
    try:
        moments = sorted(
            chance.sample(range(100, calls), kills)
        )  # there are more events than calls
        yield Town(database_url, redis_url, probe, Ledger(moments), seed)
    finally:
        await probe.close()


async def set_budgets(probe: asyncpg.Connection[asyncpg.Record], calls: int) -> None:
    """About half of all calls fit: each person and each channel has too little, in tokens,
    in dollars or in both.
    """
    every = calls * MAX_TOKENS * 3 // 8  # tokens that all calls together would use
    await probe.execute(HIGH_WATER)
    await probe.executemany(
        "INSERT INTO users (id, person_id, channel_type, channel_user_id) VALUES "
        "($1, $1, 'discord', $2)",
        [[UUID(person), person] for person in PEOPLE],
    )
    each, own = every // len(PEOPLE), every // len(PEOPLE) // 2
    await probe.executemany(
        "INSERT INTO budgets (scope, subject, tokens, usd) VALUES ($1, $2, $3, $4)",
        [
            ("person", "*", each, None),
            ("person", PEOPLE[0], own, None),
            ("person", PEOPLE[1], None, own * PRICE),
            ("person", PEOPLE[2], each, own * PRICE),
            ("channel", "discord", every // 4, None),
            ("channel", "slack", every, every * PRICE / 3),
        ],
    )


HIGH_WATER = """
CREATE TABLE high_water (
    scope text, subject text, day date, tokens bigint, usd numeric,
    PRIMARY KEY (scope, subject, day));
CREATE FUNCTION note_high_water() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO high_water AS h VALUES (new.scope, new.subject, new.day, new.tokens, new.usd)
    ON CONFLICT (scope, subject, day) DO UPDATE
    SET tokens = greatest(h.tokens, new.tokens), usd = greatest(h.usd, new.usd);
    PERFORM pg_sleep(0.002);  -- as on a slow disk: statements of several processes overlap
    RETURN NULL;
END $$;
CREATE TRIGGER note_high_water AFTER UPDATE ON budget_days
    FOR EACH ROW EXECUTE FUNCTION note_high_water();
"""
LIMITS = """
SELECT d.scope, d.subject, sum(d.tokens)::bigint AS counted, count(*) AS days, b.tokens, b.usd,
       max(h.tokens) AS most_tokens, max(h.usd) AS most_usd
FROM budget_days d JOIN high_water h USING (scope, subject, day) CROSS JOIN LATERAL (
    SELECT tokens, usd FROM budgets WHERE scope = d.scope AND subject IN (d.subject, '*')
    ORDER BY subject = '*' LIMIT 1) b
GROUP BY d.scope, d.subject, b.tokens, b.usd
"""


async def overspent(
    probe: asyncpg.Connection[asyncpg.Record],
    ledger: Ledger,
) -> list[tuple[object, ...]]:
    """Who really used more than they might, or had more granted at any moment."""
    found: list[tuple[object, ...]] = []
    for row in await probe.fetch(LIMITS):
        tokens, usd = ledger.spent(row["scope"], row["subject"])
        for unit, spent in (("tokens", tokens), ("usd", usd)):
            limit, most = row[unit], row[f"most_{unit}"]
            if limit is not None and (spent > limit * row["days"] or most > limit):
                found.append((row["scope"], row["subject"], unit, limit, spent, most))

    return found


async def wrongly_counted(
    probe: asyncpg.Connection[asyncpg.Record],
    ledger: Ledger,
) -> list[tuple[object, ...]]:
    """Days whose sum is not what was settled and what never was. Both are exact."""
    rows = {
        row["id"]: row
        for row in await probe.fetch(
            "SELECT id, person, channel, tokens FROM budget_reservations"
        )
    }
    unmade = [
        identifier
        for identifier, call in ledger.calls.items()
        if identifier not in rows and not call.made
    ]
    found: list[tuple[object, ...]] = [
        ("settled, but never made", identifier) for identifier in unmade
    ]
    settled = Ledger(
        [],
        {
            identifier: call
            for identifier, call in ledger.calls.items()
            if identifier not in rows
        },
    )

    for row in await probe.fetch(LIMITS):
        aside = sum(
            left["tokens"]
            for left in rows.values()
            if left[row["scope"]] == row["subject"]
        )
        expected = settled.spent(row["scope"], row["subject"])[0] + aside
        if row["counted"] != expected:
            found.append((row["scope"], row["subject"], row["counted"], expected))

    return found


@pytest.mark.timeout(1800)  # processes start slowly on a busy machine
@pytest.mark.parametrize(
    ("calls", "kills"), [(500, 1), pytest.param(50_000, 40, marks=pytest.mark.chaos)]
)
async def test_nobody_uses_more_than_their_budget_however_many_processes_are_killed(
    database_url: str,
    redis_url: str,
    calls: int,
    kills: int,
) -> None:
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")

    async with town(database_url, redis_url, calls, kills, seed) as all_of_them:
        probe, ledger = all_of_them.probe, all_of_them.ledger
        await set_budgets(probe, calls)
        await all_of_them.spend(calls)
        unsettled = await probe.fetchval("SELECT count(*) FROM budget_reservations")
        print(
            f"{ledger.asked} asked, {len(ledger.calls)} granted, {ledger.kills} "
            f"kills, {unsettled} never settled"
        )

        assert await overspent(probe, ledger) == []
        assert await wrongly_counted(probe, ledger) == []

    assert ledger.kills == kills
    assert ledger.refused > calls // 10
    assert len(ledger.calls) > calls // 10
    assert unsettled > 0
