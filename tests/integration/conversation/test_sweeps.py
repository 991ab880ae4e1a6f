"""Sweeps cost what is open, not what was ever said; and nothing that is open escapes them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any, TypeAlias, cast
from uuid import UUID, uuid4

import asyncpg
import pytest

from storage.conversation import STATEMENTS
from storage.postgres import BY_INDEX, connect
from tests.support.clock import let_pass
from tests.support.engine_harness import EngineHarness
from tests.support.turns import begun

Probe: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

CLOSED = 100_000
OPEN = 20

FILL = """
INSERT INTO turns (id, channel_type, chat_id, platform_message_id, state, created_at, touched_at)
SELECT gen_random_uuid(), 'test', 'chat ' || n % 5000, n::text,
       CASE WHEN n % ({closed} / {open}) = 0 THEN 'open' ELSE 'done' END, moment, moment
FROM generate_series(1, {closed}) n,
     LATERAL (SELECT now() - interval '1 hour' - n * interval '20 s') AS at(moment)
"""

SWEEPS = {
    "take_over": ("gen_random_uuid(), 5.0, ARRAY['test'], 200", 100),
    "take_deliveries": ("5.0, ARRAY['test'], 200, gen_random_uuid()", 200),
    "note_open_turns": ("", 200),
}
"""Arguments, and how many blocks of memory the statement may look at."""


@pytest.fixture
async def probe(database_url: str) -> AsyncIterator[Probe]:
    connection = await connect(database_url)
    yield connection
    await connection.close()


async def note(probe: Probe) -> None:
    await probe.execute(STATEMENTS["note_open_turns"])


async def noted(probe: Probe) -> set[UUID]:
    return {row[0] for row in await probe.fetch("SELECT turn_id FROM open_turns")}


async def cost(probe: Probe, name: str, values: str) -> int:
    sql = STATEMENTS[name]
    if values:
        await probe.execute(f"PREPARE {name} AS {sql}")
        sql = f"EXECUTE {name}({values})"

    plan: Any = await probe.fetchval(
        f"EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) {sql}"
    )
    top = json.loads(plan)[0]["Plan"]

    return int(top["Shared Hit Blocks"] + top["Shared Read Blocks"])


async def test_a_sweep_looks_at_what_is_open(database_url: str, probe: Probe) -> None:
    await probe.execute("UPDATE sweep_floor SET at = now() - interval '90 days'")
    await probe.execute(FILL.format(closed=CLOSED, open=OPEN))
    await probe.execute("VACUUM ANALYZE turns")
    await note(probe)
    assert len(await noted(probe)) == OPEN

    for name, value in BY_INDEX.items():
        await probe.execute(f"SET {name} = {value}")
    costs = {
        name: await cost(probe, name, values) for name, (values, _) in SWEEPS.items()
    }

    assert {} == {
        name: cost for name, cost in costs.items() if cost > SWEEPS[name][1]
    }


async def turn(probe: Probe, state: str = "open") -> UUID:
    name: UUID = await probe.fetchval(
        "INSERT INTO turns (id, channel_type, chat_id, platform_message_id, state, placed)"
        " VALUES (gen_random_uuid(), 'test', 'ada', '1', $1, '{\"ids\": [\"1\"]}')"
        " RETURNING id",
        state,
    )

    return name


async def test_a_turn_that_stays_open_is_noted_until_it_is_closed(
    database_url: str, probe: Probe
) -> None:
    name = await turn(probe)
    await note(probe)
    assert await noted(probe) == set()  # still new

    await let_pass(database_url, 61)
    await note(probe)
    assert await noted(probe) == {name}

    await probe.execute("UPDATE turns SET state = 'done'")
    await let_pass(database_url, 61)
    await note(probe)
    assert await noted(probe) == set()


@pytest.mark.parametrize("statement", ["placed", "done", "of an older version"])
async def test_a_turn_that_is_opened_again_is_noted_at_once(
    database_url: str, probe: Probe, statement: str
) -> None:
    name = await turn(probe, "done")
    await let_pass(database_url, 3600)
    await note(probe)

    placed = '{"ids": ["2"], "extra": {}}'
    if statement == "placed":
        await probe.execute(STATEMENTS["placed"], [name], [placed], [True])
    elif statement == "done":
        await probe.execute(STATEMENTS["done"], [name], ["done"], [placed], [name])
    else:
        await probe.execute("UPDATE turns SET state = 'open'")

    assert await probe.fetchval("SELECT state FROM turns") == "open"
    assert await noted(probe) == {name}

    # also one that was just about to be forgotten
    await note(probe)
    assert await noted(probe) == {name}


async def test_a_clock_that_goes_back_hides_nothing(
    database_url: str, probe: Probe
) -> None:
    await probe.execute("UPDATE sweep_floor SET at = now() + interval '1 hour'")
    name = await turn(probe)
    await note(probe)
    await let_pass(database_url, 61)
    await note(probe)

    assert await noted(probe) == {name}


async def test_two_instances_note_at_the_same_time(
    database_url: str, probe: Probe
) -> None:
    name = await turn(probe)
    await let_pass(database_url, 61)
    other = await connect(database_url)
    try:
        async with other.transaction():
            await other.execute(STATEMENTS["note_open_turns"])
            await note(probe)  # waits for nobody
    finally:
        await other.close()

    assert await noted(probe) == {name}


async def test_a_heartbeat_beside_a_take_tells_of_it(
    database_url: str, probe: Probe
) -> None:
    """The take commits while the heartbeat's statement waits for its row."""
    name, taker, mine = await turn(probe), uuid4(), uuid4()
    await let_pass(database_url, 60)
    other = await connect(database_url)
    try:
        async with other.transaction():
            await other.execute(
                "UPDATE turns SET deliverer = $1, touched_at = now()", taker
            )
            arguments: tuple[Any, ...] = (
                mine,
                "host",
                1,
                ["test"],
                [],
                [],
                [name],
                5.0,
                0,
            )
            beat = asyncio.create_task(probe.fetch(STATEMENTS["beat"], *arguments))
            await asyncio.sleep(0.2)
            assert not beat.done()
        rows = await beat
    finally:
        await other.close()

    assert [name] == rows[-1]["taken"]


@pytest.mark.parametrize(
    "statement",
    ["SELECT pg_sleep(60)", "SELECT no_such_function()", "SELECT 1 / 0"],
    ids=["hangs", "is not known", "fails"],
)
async def test_a_note_that_cannot_run_holds_up_no_recovery(
    world: EngineHarness, monkeypatch: pytest.MonkeyPatch, statement: str
) -> None:
    """Claims are taken all the same, and soon. The note is for speed alone."""
    monkeypatch.setitem(
        cast(dict[str, str], STATEMENTS), "note_open_turns", statement
    )
    async with world.instance() as agent:
        await begun(world, agent, "held")
        await agent.crash()

    world.model.release()
    async with world.instance():
        await world.answered("ada", "re: held")
