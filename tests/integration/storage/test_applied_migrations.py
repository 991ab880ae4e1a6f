"""Which migrations were applied when and by whom, in the transaction that applied them."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from storage import migrate
from storage.migrate import revisions
from storage.migrate.history import SINCE, history
from storage.migrate.revisions import Migration, checksum_of, migrations
from storage.migrate.running import migrating, run_migrations
from tests.support.commands import Machine, output_of

ALL = [migration.revision for migration in migrations()]


async def rows(url: str) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(url)
    found = await connection.fetch(
        "SELECT * FROM applied_migrations ORDER BY revision"
    )
    await connection.close()

    return list(found)


async def test_every_migration_of_an_upgrade_is_written_down(
    machine: Machine, empty_database_url: str
) -> None:
    """Those before the table, too, in the same transaction."""
    done = await machine.agent(
        "db",
        "upgrade",
        "--as",
        "grace",
        settings={"DATABASE_URL": empty_database_url},
    )
    found = await rows(empty_database_url)
    assert (0, ALL, {"grace"}) == (
        done.status,
        [row["revision"] for row in found],
        {row["actor"] for row in found},
    )
    assert [one.checksum for one in migrations()] == [
        row["checksum"] for row in found
    ]
    assert all(0 <= row["seconds"] < 60 for row in found)


async def test_what_is_taken_back_is_no_longer_listed(database_url: str) -> None:
    await migrate.downgrade(database_url, "-1")
    gone, *_ = ALL[-1:]
    if gone != SINCE:
        assert ALL[:-1] == [row["revision"] for row in await rows(database_url)]
    await migrate.upgrade(database_url, actor="grace")
    assert "grace" == (await rows(database_url))[-1]["actor"]


async def test_a_transaction_that_is_taken_back_leaves_no_row(
    empty_database_url: str,
) -> None:
    async with migrating(empty_database_url, keep=False) as connection:
        await run_migrations(connection, "upgrade", "head", "grace")
    assert await migrate.current_revision(empty_database_url) is None
    assert {False} == {
        one.is_applied for one in await history(empty_database_url, None)
    }


async def test_status_lists_what_is_applied_and_what_is_not(machine: Machine) -> None:
    """A database that was migrated before the table was there: applied, unknown when."""
    url = machine.variables["DATABASE_URL"]
    whole = await machine.agent("db", "status", "--json")
    await migrate.downgrade(url, "0005")
    part = await machine.agent("db", "status", "--json")
    shown = await machine.agent("db", "status")
    await migrate.upgrade(url)
    old = json.loads((await machine.agent("db", "status", "--json")).out)["applied"]

    assert (0, 1, 1) == (whole.status, part.status, shown.status)
    document = json.loads(whole.out)
    assert (True, ALL, []) == (
        document["well"],
        [one["revision"] for one in document["applied"]],
        document["pending"],
    )
    document = json.loads(part.out)
    assert (False, ALL[:5], ALL[5:]) == (
        document["well"],
        [one["revision"] for one in document["applied"]],
        [one["revision"] for one in document["pending"]],
    )
    lines = shown.out.splitlines()
    assert f"schema 0005, needed {migrate.HEAD}" == lines[0]
    assert ["unknown", "when"] == lines[2].split()[1:3]
    assert "pending" == lines[7].split()[1]
    assert "Run: agent db upgrade" == lines[-1]
    assert ([None] * 5, True) == (
        [one["applied_at"] for one in old[:5]],
        all(one["applied_at"] for one in old[5:]),
    )


async def test_a_file_that_changed_after_it_was_applied_is_named(
    machine: Machine,
) -> None:
    url = machine.variables["DATABASE_URL"]
    connection = await asyncpg.connect(url)
    await connection.execute(
        "UPDATE applied_migrations SET checksum = 'other' WHERE revision = '0003'"
    )
    await connection.close()
    shown = await machine.agent("db", "status")
    as_json = json.loads((await machine.agent("db", "status", "--json")).out)
    assert (0, 1) == (shown.status, shown.out.count("changed after it was applied"))
    assert "0003 changed after it was applied. `agent db check`" in shown.out
    assert ["0003"] == [
        one["revision"] for one in as_json["applied"] if one["has_changed"]
    ]


async def test_a_log_that_may_not_be_read_is_unknown(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refused(*_: Any) -> None:
        raise asyncpg.InsufficientPrivilegeError

    monkeypatch.setattr(asyncpg.Connection, "fetch", refused)
    found = await history(database_url, migrate.HEAD)
    assert ({True}, {None}) == (
        {one.is_applied for one in found},
        {one.applied_at for one in found},
    )


def test_lines_that_end_as_windows_ends_them_change_no_checksum(
    tmp_path: Path,
) -> None:
    unix, windows, other = (tmp_path / name for name in ("a", "b", "c"))
    unix.write_bytes(b"one\ntwo\n")
    windows.write_bytes(b"one\r\ntwo\r\n")
    other.write_bytes(b"one\nthree\n")
    assert checksum_of(str(unix)) == checksum_of(str(windows))
    assert checksum_of(str(unix)) != checksum_of(str(other))


async def test_alembic_by_hand_writes_it_down_too(
    machine: Machine, empty_database_url: str
) -> None:
    machine.variables["DATABASE_URL"] = empty_database_url
    await output_of(
        sys.executable, "-m", "alembic", "upgrade", "head", machine=machine
    )
    assert ALL == [row["revision"] for row in await rows(empty_database_url)]


async def test_a_migration_that_this_version_does_not_have_is_named(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = await asyncpg.connect(machine.variables["DATABASE_URL"])
    await connection.execute("UPDATE alembic_version SET version_num = 'other'")
    await connection.close()
    ended = await machine.agent("db", "status")
    assert (2, "") == (ended.status, ended.out)
    assert "at migration other, which this version does not have" in ended.err


def test_titles_are_first_sentences() -> None:
    assert all(one.title and "\n" not in one.title for one in migrations())
    assert isinstance(revisions.migrations()[0], Migration)
