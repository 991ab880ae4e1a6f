"""`agent db` and `alembic` by hand: also in odd folders, on empty databases, and as SQL for
somebody else to run.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest

from storage.migrate import HEAD
from tests.support.commands import Machine, output_of
from tests.support.servers import Postgres, postgres_bin
from tests.support.warm import Warm

ROOT = Path(__file__).parents[3]


@pytest.fixture
def machine(tmp_path: Path, empty_database_url: str, warm: Warm) -> Machine:
    """A machine whose database is empty."""
    return Machine(tmp_path, {"DATABASE_URL": empty_database_url}, warm)


async def test_a_percent_sign_in_the_folders_name_does_no_harm(
    machine: Machine, tmp_path: Path
) -> None:
    """Neither to `agent db upgrade` nor to `alembic` itself."""
    folder = tmp_path / "agent 100%"
    for name in ("agent", "storage", "migrations"):
        shutil.copytree(ROOT / name, folder / name)
    shutil.copy(ROOT / "pyproject.toml", folder)
    machine.variables["PYTHONPATH"] = str(folder)
    start = "from agent.cli.main import main; main()"
    said = await output_of(
        sys.executable, "-c", start, "db", "upgrade", folder=folder, machine=machine
    )
    assert f"schema {HEAD}" in said
    assert HEAD in await output_of(
        sys.executable, "-m", "alembic", "current", folder=folder, machine=machine
    )


async def test_autogenerate_leaves_partitions_alone(
    machine: Machine, tmp_path: Path
) -> None:
    """A migration that it writes for a schema that is up to date is empty."""
    await machine.agent("db", "upgrade")
    for name in ("agent", "storage", "migrations"):
        shutil.copytree(ROOT / name, tmp_path / name)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    machine.variables["PYTHONPATH"] = str(tmp_path)
    command = (
        sys.executable,
        "-m",
        "alembic",
        "revision",
        "--autogenerate",
        "--rev-id",
        "9999",
        "-m",
        "made",
    )
    await output_of(*command, folder=tmp_path, machine=machine)
    written = (tmp_path / "migrations" / "versions" / "9999_made.py").read_text()
    assert [] == [
        line for line in written.splitlines() if line.strip().startswith("op.")
    ]


async def test_the_migrations_as_a_script_make_the_same_schema(
    machine: Machine, _postgres: Postgres
) -> None:
    """`psql` takes it, and afterwards nothing differs."""
    script = await output_of(
        sys.executable, "-m", "alembic", "upgrade", "head", "--sql", machine=machine
    )
    file = machine.folder / "script.sql"
    file.write_text(
        "".join(
            line
            for line in script.splitlines(keepends=True)
            if not line.startswith("INFO")
        )
    )
    url = machine.variables["DATABASE_URL"]
    await output_of(
        str(psql()),
        "-v",
        "ON_ERROR_STOP=1",
        "-q",
        "-f",
        str(file),
        url,
        machine=machine,
    )
    checked = await machine.agent("db", "check")
    assert (0, "tables and code agree\n") == (checked.status, checked.out)


def psql() -> Path:
    """Of the Postgres under test, or the system's."""
    found = postgres_bin() / "psql"
    return (
        found
        if found.exists()
        else Path(shutil.which("psql") or pytest.skip("no psql"))
    )


async def test_what_differs_is_said_in_words(machine: Machine) -> None:
    await machine.agent("db", "upgrade")
    connection = await asyncpg.connect(machine.variables["DATABASE_URL"])
    await connection.execute(
        "ALTER TABLE users DROP COLUMN username; ALTER TABLE turns ADD COLUMN extra text"
    )
    await connection.execute(
        "ALTER TABLE applied_migrations ALTER seconds TYPE text; "
        "DROP TABLE operators; CREATE TABLE mine ()"
    )
    await connection.close()
    check = await machine.agent("db", "check")
    assert 1 == check.status
    assert {
        "column users.username is missing in the database",
        "column turns.extra is in the database only",
        "applied_migrations.seconds has another type",
        "table operators is missing in the database",
        "table mine is in the database only",
        "tables and code differ",
    } == set(check.out.splitlines())


async def test_a_user_without_rights_is_told_the_statement_in_each_command(
    machine: Machine, _postgres: Postgres
) -> None:
    """First to make the tables, then to use those that somebody else made."""
    await _postgres.execute("DROP ROLE IF EXISTS lesser; CREATE ROLE lesser LOGIN")
    owner = machine.variables["DATABASE_URL"]
    lesser = {"DATABASE_URL": owner.replace("postgres@", "lesser@")}
    upgrade = await machine.agent("db", "upgrade", settings=lesser)
    chat = await machine.agent("chat", "--migrate", lines=b"hello\n", settings=lesser)
    await machine.agent("db", "upgrade")
    status = await machine.agent("db", "status", settings=lesser)
    for ended in (upgrade, chat):
        assert (2, 1) == (ended.status, ended.err.count("\n")), ended.err
        assert f"In the database {urlsplit(owner).path[1:]} let its" in ended.err
        assert "run: GRANT USAGE, CREATE ON SCHEMA public TO lesser;\n" in ended.err
    assert (2, 1) == (status.status, status.err.count("\n")), status.err
    mend = status.err.partition("run: ")[2]
    assert mend.startswith(
        "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO lesser;"
    )
    connection = await asyncpg.connect(owner)
    await connection.execute(mend)
    answered = await machine.agent("chat", lines=b"hello\n", settings=lesser)
    doctor = await machine.agent("doctor", settings=lesser)
    await connection.execute("DROP OWNED BY lesser")
    await connection.close()
    assert (0, True, 1) == (
        answered.status,
        "You said: hello" in answered.out,
        answered.err.count("GRANT USAGE"),
    )
    assert (1, 1) == (
        doctor.status,
        doctor.out.count("GRANT USAGE, CREATE ON SCHEMA public TO lesser;"),
    )
