"""Commands that take data away: told, asked, guarded, and written down."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import asyncpg
import pytest

from agent.core.errors import Rejected, SchemaError
from agent.core.remedies import Run
from storage import migrate
from storage.control.audit import Author
from storage.migrate import running
from storage.migrate.guarded import guard, take_back
from storage.migrate.losses import Loss, losses
from storage.migrate.running import migrating
from tests.support.commands import Ended, Machine
from tests.support.servers import Postgres

ADA = Author("ada", "a test")
AGREED = ("--yes", "--no-backup")
SOMETHING = """
INSERT INTO users (id, person_id, channel_type, channel_user_id)
    SELECT gen_random_uuid(), gen_random_uuid(), 't', n::text FROM generate_series(1, 3) n;
INSERT INTO conversations (id, user_id, channel_type, chat_id)
    SELECT gen_random_uuid(), id, 't', channel_user_id FROM users LIMIT 2;
INSERT INTO votes (message_id, user_id, conversation_id, thumb)
    SELECT gen_random_uuid(), c.user_id, c.id, 1 FROM conversations c LIMIT 1;
"""
BEATS = """
INSERT INTO instances (id, host, pid, channels)
VALUES (gen_random_uuid(), 'box', 4711, '{discord}')
"""


LOST = {
    "control_epoch": 1,
    "conversations": 2,
    "sweep_floor": 1,
    "votes": 1,
    "report_late_votes": 1,
    "report_state": 1,
    "search_state": 1,
}
"""Rows by table that a downgrade to 0003 takes with it."""


@pytest.fixture
async def probe(
    database_url: str,
) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    connection = await asyncpg.connect(database_url)
    await connection.execute(SOMETHING)
    yield connection
    await connection.close()


async def tables(probe: asyncpg.Connection[asyncpg.Record]) -> int:
    return int(
        await probe.fetchval(
            "SELECT count(*) FROM pg_tables WHERE tablename = 'users'"
        )
    )


async def name_of(probe: asyncpg.Connection[asyncpg.Record]) -> str:
    return str(await probe.fetchval("SELECT current_database()"))


async def test_what_a_downgrade_loses_is_told_by_table_and_nothing_is_changed(
    machine: Machine, probe: asyncpg.Connection[asyncpg.Record]
) -> None:
    """To somebody who cannot be asked: with --json, or in a pipe."""
    for more in ((), ("--json",)):
        ended = await machine.agent("db", "downgrade", "0003", *more)
        assert (2, "", 1) == (ended.status, ended.out, ended.err.count("\n"))
        assert f"from {migrate.HEAD} to 0003." in ended.err
        assert (
            "edited, last_turn, title, instruction of conversations (2 rows)"
            in ended.err
        )
        assert "votes (1 row)" in ended.err
        assert "A backup is made first, in " in ended.err
        assert "Do it? Add --yes to say so." in ended.err
    assert (1, migrate.HEAD) == (
        await probe.fetchval("SELECT count(*) FROM votes"),
        await probe.fetchval("SELECT version_num FROM alembic_version"),
    )


async def test_a_backup_is_made_first_and_restores_what_went(
    machine: Machine, probe: asyncpg.Connection[asyncpg.Record]
) -> None:
    done = await machine.agent("db", "downgrade", "base", "--yes", "--json")
    assert 0 == done.status, done.err
    backup = json.loads(done.out)["backup"]
    assert 0 == await tables(probe)

    back = await machine.agent("backup", "verify", backup)
    assert 0 == back.status, back.err


@pytest.mark.parametrize("command", ["downgrade", "reset"])
async def test_where_the_backup_is_is_told(
    machine: Machine, probe: asyncpg.Connection[asyncpg.Record], command: str
) -> None:
    """And that it is not encrypted."""
    words = {
        "downgrade": ("0003", "--yes"),
        "reset": ("--confirm", await name_of(probe)),
    }
    done = await machine.agent("db", command, *words[command])
    (folder,) = (machine.folder / "home" / "backups").iterdir()

    assert 0 == done.status, done.err
    assert f"Backup: {folder}" in done.out.splitlines()
    assert "It is not encrypted" in done.out


async def test_a_backup_that_cannot_be_made_stops_everything(
    machine: Machine, probe: asyncpg.Connection[asyncpg.Record], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    machine.variables["BACKUP_DIR"] = str(tmp_path / "file")
    name = await name_of(probe)
    for command in (("downgrade", "base", "--yes"), ("reset", "--confirm", name)):
        ended = await machine.agent("db", *command)
        assert (2, True) == (ended.status, "Add --no-backup" in ended.err), ended.err
    assert 1 == await tables(probe)


async def test_a_downgrade_that_is_agreed_to_is_in_the_audit_log(
    machine: Machine, probe: asyncpg.Connection[asyncpg.Record]
) -> None:
    done = await machine.agent(
        "db", "downgrade", "0003", *AGREED, "--json", "--reason", "too new"
    )
    row = await probe.fetchrow("SELECT * FROM audit_log ORDER BY id DESC LIMIT 1")
    assert row is not None
    assert 0 == done.status, done.err
    assert {
        "schema": "0003",
        "needed": migrate.HEAD,
        "lost": LOST,
        "backup": None,
        "logged": True,
    } == json.loads(done.out)
    assert (
        "ada",
        "schema.downgrade",
        f"schema:{await name_of(probe)}",
        "too new",
    ) == (
        row["actor"],
        row["action"],
        row["subject"],
        row["reason"],
    )
    assert {"schema": "0003", "lost": LOST} == json.loads(row["after"])
    assert "0 troubles" in await verified(machine)


async def verified(machine: Machine) -> str:
    """Of the audit chain, after the way up again."""
    await machine.agent("db", "upgrade")
    ended = await machine.agent("audit", "verify", "--json")

    return f"{len(json.loads(ended.out)['troubles'])} troubles"


async def test_where_the_audit_log_goes_too_a_line_says_who_did_it(
    machine: Machine, probe: asyncpg.Connection[asyncpg.Record]
) -> None:
    done = await machine.agent("db", "downgrade", "base", *AGREED)
    assert 0 == done.status, done.err
    assert "schema empty\nThe audit log went with it." in done.out
    assert (
        f"ada took {await name_of(probe)} back from {migrate.HEAD} to base"
        in done.out
    )
    assert 0 == await tables(probe)


async def test_a_reset_wants_the_databases_name(
    machine: Machine, probe: asyncpg.Connection[asyncpg.Record]
) -> None:
    name = await name_of(probe)
    unasked = await machine.agent("db", "reset", "--no-backup")
    wrong = await machine.agent("db", "reset", "--confirm", "postgres", "--no-backup")
    assert (2, 2, 3) == (
        unasked.status,
        wrong.status,
        await probe.fetchval("SELECT count(*) FROM users"),
    )
    assert f"empties the agent's tables in {name}" in unasked.err
    assert "conversations (2 rows)" in unasked.err
    assert f"Add --confirm {name} to say so." in unasked.err
    assert "not called 'postgres'; nothing was changed" in wrong.err

    done = await machine.agent("db", "reset", "--confirm", name, "--no-backup")
    row = await probe.fetchrow("SELECT actor, action FROM audit_log")
    assert (0, 0, f"schema {migrate.HEAD}\n") == (
        done.status,
        await probe.fetchval("SELECT count(*) FROM users"),
        done.out,
    ), done.err
    assert row is not None
    assert ("ada", "schema.reset") == tuple(row)
    assert [] == await migrate.differences(machine.variables["DATABASE_URL"])


async def test_a_reset_makes_the_tables_of_an_empty_database(
    machine: Machine, empty_database_url: str
) -> None:
    name = empty_database_url.partition("/test_")[2].partition("?")[0]
    done = await machine.agent(
        "db",
        "reset",
        "--confirm",
        f"test_{name}",
        "--no-backup",
        settings={"DATABASE_URL": empty_database_url},
    )
    assert (0, f"schema {migrate.HEAD}\n") == (done.status, done.out), done.err


CHANGES: Sequence[tuple[str, ...]] = (
    ("downgrade", "base", *AGREED),
    ("downgrade", "0003", *AGREED),
    ("downgrade", "-1", *AGREED),
    ("reset", "--confirm", "{name}", "--no-backup"),
)


async def tried(
    machine: Machine, change: Sequence[str], name: str, *more: str
) -> Ended:
    words = [word.format(name=name) for word in change]

    return await machine.agent("db", *words, *more)


@pytest.mark.parametrize("change", CHANGES)
async def test_only_an_operator_may_where_any_are_registered(
    machine: Machine, probe: asyncpg.Connection[asyncpg.Record], change: Sequence[str]
) -> None:
    await probe.execute("INSERT INTO operators (name) VALUES ('ada')")
    name = await name_of(probe)
    refused = await tried(machine, change, name, "--as", "eve")
    assert (2, 1, 3) == (
        refused.status,
        refused.err.count("\n"),
        await probe.fetchval("SELECT count(*) FROM users"),
    )
    assert "eve is not a registered operator" in refused.err
    assert 0 == (await tried(machine, change, name)).status


@pytest.mark.parametrize("change", CHANGES)
async def test_running_instances_are_named_and_hold_it_back(
    machine: Machine, probe: asyncpg.Connection[asyncpg.Record], change: Sequence[str]
) -> None:
    name = await name_of(probe)
    await probe.execute(BEATS)
    refused = await tried(machine, change, name)
    assert (2, 1, 3) == (
        refused.status,
        refused.err.count("\n"),
        await probe.fetchval("SELECT count(*) FROM users"),
    )
    assert "Running now: box (4711)." in refused.err
    assert "--force` does it all the same." in refused.err
    assert 0 == (await tried(machine, change, name, "--force")).status


async def test_the_guards_are_asked_again_when_it_is_done(database_url: str) -> None:
    """Somebody may have started an instance while the question stood there."""
    connection = await asyncpg.connect(database_url)
    await connection.execute(BEATS)
    await connection.close()
    again = Run("db downgrade", "does it", "base", "force")
    with pytest.raises(Rejected, match=r"box \(4711\)"):
        await take_back(database_url, migrate.HEAD, "base", ADA, [], again)
    assert migrate.HEAD == await migrate.current_revision(database_url)


async def test_an_instance_that_stopped_beating_holds_nothing_back(
    database_url: str,
) -> None:
    async with migrating(database_url) as connection:
        await connection.execute(
            BEATS.replace("channels)", "channels, seen_at)").replace(
                "'{discord}')", "'{discord}', now() - interval '6 seconds')"
            )
        )
        await guard(connection, ADA, Run("db downgrade", "does it"))


@pytest.mark.parametrize("revision", ["0001", "0002", "0003", "0005", "base"])
async def test_from_every_old_schema_it_goes_back(
    machine: Machine, empty_database_url: str, revision: str
) -> None:
    """Whatever the log, the operators or the instances looked like then."""
    own = {"DATABASE_URL": empty_database_url}
    await migrate.upgrade(empty_database_url, revision)
    done = await machine.agent("db", "downgrade", "base", *AGREED, settings=own)
    assert (0, True) == (done.status, done.out.startswith("schema empty")), done.err


async def test_a_table_that_somebody_holds_is_not_waited_for_forever(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everybody else would wait behind the migration."""
    monkeypatch.setattr(running, "LOCK_SECONDS", 0.2)
    connection = await asyncpg.connect(database_url)
    async with connection.transaction():
        await connection.execute("SELECT FROM votes")
        with pytest.raises(SchemaError, match="Somebody holds a table"):
            await losses(database_url, "0003")
    await connection.close()
    assert migrate.HEAD == await migrate.current_revision(database_url)


async def test_a_migration_waits_for_another_as_long_as_that_takes(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only a table is not waited for: two that start at once must not fail."""
    monkeypatch.setattr(running, "LOCK_SECONDS", 0.05)
    async with migrating(database_url) as connection, asyncio.timeout(20):
        waits = asyncio.create_task(migrate.upgrade(database_url))
        while not await connection.execute(WAITS_FOR_LONGER):
            assert not waits.done()
            # a transaction would see the same activity again and again
            await connection.execute("SELECT pg_stat_clear_snapshot()")
            await asyncio.sleep(0.01)
    await waits


WAITS_FOR_LONGER = """
SELECT pg_sleep(0.01) FROM pg_stat_activity
WHERE datname = current_database() AND wait_event = 'advisory'
  AND clock_timestamp() - query_start > interval '0.2 seconds'
"""


async def test_only_the_owner_of_the_tables_can_change_them(
    machine: Machine, database_url: str, _postgres: Postgres
) -> None:
    await _postgres.execute("DROP ROLE IF EXISTS lesser; CREATE ROLE lesser LOGIN")
    connection = await asyncpg.connect(database_url)
    await connection.execute(
        "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO lesser"
    )
    lesser = {"DATABASE_URL": database_url.replace("postgres@", "lesser@")}
    back = await machine.agent("db", "downgrade", "0003", *AGREED, settings=lesser)
    seed = await machine.agent("db", "seed", "--yes", settings=lesser)
    await connection.execute("DROP OWNED BY lesser")
    await connection.close()
    assert (2, 1, 2, 1) == (
        back.status,
        back.err.count("\n"),
        seed.status,
        seed.err.count("\n"),
    ), back.err + seed.err
    assert "Only the owner of the tables can change them." in back.err
    assert "GRANT USAGE, CREATE ON SCHEMA public TO lesser;" in seed.err


def test_a_loss_is_said_in_words() -> None:
    assert ("votes (1 row)", "edited of conversations (2,000 rows)") == (
        str(Loss("votes", 1)),
        str(Loss("conversations", 2000, ("edited",))),
    )
