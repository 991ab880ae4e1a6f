"""A database that lacks something is not called absent, in the middle of work either."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import structlog

from agent.core.errors import StoreUnavailable
from agent.settings import Settings
from agent.web.health import Probe
from storage import postgres as postgres_module
from storage.connecting.postgres_errors import sentence_of
from storage.control.live import RedisControl
from storage.conversation.housekeeping import housekeeping
from storage.conversation.last_accepted import PostgresLastAccepted
from storage.migrate import downgrade, upgrade
from storage.migrate.stores import OpenStores
from storage.postgres import TURN_CONNECTIONS, Database, open_database
from storage.transaction import transaction
from tests.support.commands import Machine
from tests.support.engine_harness import EngineHarness
from tests.support.servers import Postgres

SQL = {
    "SELECT * FROM nosuch": "lacks a table",
    "SELECT nosuch FROM turns": "lacks a table",
    "SELECT nosuch(1)": "lacks a table",
    "SELECT 1::nosuch": "lacks a table",
    "SELECT * FROM nosuch.turns": "lacks a table",
    "SELECT pg_read_file('/etc/hostname')": "does not permit",
    "SELECT * FROM pg_authid": "does not permit",
}


@pytest.fixture
async def database(_postgres: Postgres, database_url: str) -> AsyncIterator[Database]:
    """As a user who is no superuser."""
    await _postgres.execute(
        "DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = "
        "'plain') THEN CREATE ROLE plain LOGIN; "
        "END IF; END $$"
    )
    async with (
        open_database(database_url) as owner,
        transaction(owner) as connection,
    ):
        await connection.execute(
            "GRANT SELECT ON ALL TABLES IN SCHEMA public TO plain"
        )
    async with open_database(database_url.replace("postgres@", "plain@")) as opened:
        yield opened


@pytest.mark.parametrize(("sql", "said"), SQL.items())
async def test_a_turns_statement_that_cannot_run_says_why(
    database: Database, sql: str, said: str
) -> None:
    """To the log; people hear that an operator must look, and not that the database is away."""
    with (
        structlog.testing.capture_logs() as logs,
        pytest.raises(StoreUnavailable) as raised,
    ):
        await database.line().fetch(sql, retry=0.0)
    assert (said in raised.value.problem, StoreUnavailable.UNWELL) == (
        True,
        raised.value.sentence,
    )
    assert [True] == [said in line["event"] for line in logs]


@pytest.mark.parametrize(("sql", "said"), SQL.items())
async def test_an_operators_statement_that_cannot_run_says_why(
    database: Database, sql: str, said: str
) -> None:
    with pytest.raises(StoreUnavailable) as raised:
        async with transaction(database) as connection:
            await connection.execute(sql)
    assert (said in raised.value.sentence, said in raised.value.problem) == (
        True,
        True,
    )


async def test_other_people_hear_nothing_of_schemas(database: Database) -> None:
    with pytest.raises(StoreUnavailable) as raised:
        async with transaction(database, "Come back later.") as connection:
            await connection.execute("SELECT nosuch")
    assert ("Come back later.", True) == (
        raised.value.sentence,
        "lacks a table" in raised.value.problem,
    )


async def test_an_agent_whose_tables_are_taken_away_says_so(
    world: EngineHarness,
) -> None:
    """Its heartbeat, too, which used to say that Postgres does not answer."""
    async with world.instance() as agent:
        await world.ask(agent, "hello")
        async with transaction(agent.database) as connection:
            await connection.execute("ALTER TABLE instances RENAME TO gone")
        with pytest.raises(StoreUnavailable) as raised:
            await agent.ports.leases.beat([], [], 0)
        async with transaction(agent.database) as connection:
            await connection.execute("ALTER TABLE gone RENAME TO instances")
    assert "lacks a table" in raised.value.problem


async def test_readiness_names_what_is_missing(world: EngineHarness) -> None:
    async with world.instance() as agent:
        probe = Probe(lambda: 0.0)
        stores = OpenStores(
            world.database_url, world.redis_url, agent.database, agent.pipe, ()
        )
        async with transaction(agent.database) as connection:
            await connection.execute("ALTER TABLE turns RENAME TO gone")
        parts = await probe(stores)
        async with transaction(agent.database) as connection:
            await connection.execute("ALTER TABLE gone RENAME TO turns")
    assert ("down", True) == (
        parts["postgres"]["state"],
        "lacks a table" in parts["postgres"]["problem"],
    )


async def test_commands_say_it_in_one_sentence(machine: Machine) -> None:
    async with (
        open_database(machine.variables["DATABASE_URL"]) as database,
        transaction(database) as connection,
    ):
        await connection.execute(
            "DROP TABLE budgets, budget_days, votes, operators CASCADE"
        )
    commands = (["budgets", "list"], ["operators", "list"], ["status"], ["doctor"])
    ran = [await machine.agent(*command) for command in commands]
    said = [ended.err + ended.out for ended in ran]
    assert ["unexpected" in each for each in said] == [False] * len(said), said
    assert ["lacks a table" in each for each in said[:2]] == [True, True], said


async def test_the_number_of_connections_that_is_told_is_the_true_one(
    world: EngineHarness,
) -> None:
    """Settings speak of it, and the doctor counts with it."""
    async with world.instance() as agent:
        PostgresLastAccepted(agent.database)  # what a channel asks
        assert TURN_CONNECTIONS == len(agent.database._lines)

    assert TURN_CONNECTIONS == Settings().database_turn_connections


@pytest.mark.parametrize("most", [3, 5, 13])
async def test_with_fewer_connections_statements_share_them(
    monkeypatch: pytest.MonkeyPatch, world: EngineHarness, most: int
) -> None:
    monkeypatch.setattr(
        postgres_module,
        "Database",
        lambda url, make_engine, _: Database(url, make_engine, most),
    )
    async with world.instance() as agent:
        PostgresLastAccepted(agent.database)
        for number in range(10):
            await agent.engine.accept(
                world.message(f"hello {number}", chat=f"chat {number}")
            )
        for number in range(10):
            await world.answered(f"chat {number}", f"re: hello {number}")

        assert most == len(agent.database._lines)
        assert TURN_CONNECTIONS == sum(line.users for line in agent.database._lines)


def test_an_error_that_nobody_knows_has_no_sentence() -> None:
    assert [None, None] == [sentence_of(RuntimeError("x")), sentence_of(OSError())]


BLAME = ("does not answer", "cannot be reached", "unexpected")
"""What must not be said of a server that answers."""


async def test_an_agent_whose_schema_is_taken_back_blames_no_server(
    world: EngineHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In no line: of its heartbeat, its flags, its housekeeping, its answers."""
    monkeypatch.setattr(postgres_module, "RETRY_SECONDS", 0.0)
    async with world.instance() as agent:
        await world.ask(agent, "hello")
        await downgrade(world.database_url, "base")
        with structlog.testing.capture_logs() as logs:
            with pytest.raises(StoreUnavailable) as raised:
                await agent.engine.accept(world.message("again"))
            with pytest.raises(StoreUnavailable):
                await agent.ports.leases.beat([], [], 0)
            await RedisControl(agent.database, agent.pipe).start()
            async with housekeeping(agent.database):
                await until_logged(logs, "housekeeping")
        await upgrade(world.database_url)

    lines = [str(line["event"]) for line in logs]
    assert StoreUnavailable.UNWELL == raised.value.sentence
    assert [] == [line for line in lines for words in BLAME if words in line]
    for part in ("statement given up", "flags are", "housekeeping"):
        said = [line for line in lines if line.startswith(part)]
        assert said, lines
        assert all("agent db upgrade" in line for line in said), said


async def until_logged(logs: list[Any], beginning: str) -> None:
    async with asyncio.timeout(10):
        while not any(str(line["event"]).startswith(beginning) for line in logs):
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("revision", ["base", "0003"])
async def test_status_and_doctor_call_the_schema_by_its_name(
    machine: Machine, revision: str
) -> None:
    await downgrade(machine.variables["DATABASE_URL"], revision)
    for command in ("status", "doctor"):
        ended = await machine.agent(command)
        assert 1 == ended.status
        assert "Run: agent db upgrade." in ended.out, ended.out
        assert [] == [words for words in BLAME if words in ended.out + ended.err]

    assert "Run: agent db upgrade. See docs/database.md." in ended.out
