"""Odd words after `agent db`: one sentence that is true, and what to do."""

from __future__ import annotations

import json

import pytest

from storage import migrate
from storage.migrate.revisions import migrations
from storage.migrate.running import migrating
from tests.support.commands import Machine

FIRST, NEWEST = migrations()[0].revision, migrations()[-1].revision
BEFORE = migrations()[-2].revision
AGREED = ("--yes", "--no-backup")

NOTHING = "No migration is applied to this database: there is nothing to take back."
UNKNOWN = (
    "There is no migration '{word}' from {here}. "
    f"There are {FIRST} to {NEWEST}, head, base, and steps such as -1."
)
EMPTY = [
    (
        "check",
        (),
        1,
        "No migration is applied to this database. Run: agent db upgrade",
    ),
    ("downgrade", ("0003",), 2, NOTHING),
    ("downgrade", ("head",), 2, NOTHING),
    ("downgrade", ("base",), 0, "schema empty"),
    ("downgrade", ("-1",), 2, UNKNOWN.format(word="-1", here="base")),
    ("downgrade", ("nosuch",), 2, UNKNOWN.format(word="nosuch", here="base")),
    ("downgrade", ("",), 2, UNKNOWN.format(word="", here="base")),
    ("upgrade", ("base",), 0, "schema empty"),
    ("upgrade", ("nosuch",), 2, UNKNOWN.format(word="nosuch", here="base")),
    ("upgrade", ("+1",), 0, f"schema {FIRST}"),
]
"""On an empty database: a command, its words, its status, and a line that it says."""

FULL = [
    ("check", (), 0, "tables and code agree"),
    ("upgrade", (), 0, f"schema {NEWEST}"),
    ("upgrade", ("head",), 0, f"schema {NEWEST}"),
    (
        "upgrade",
        ("0003",),
        2,
        f"The schema is at {NEWEST}, after 0003. "
        "`agent db downgrade 0003` goes back there.",
    ),
    ("upgrade", ("+1",), 2, f"{NEWEST} is the newest already."),
    ("upgrade", ("9999",), 2, UNKNOWN.format(word="9999", here=NEWEST)),
    ("downgrade", (NEWEST,), 0, f"schema {NEWEST}"),
    ("downgrade", ("head",), 0, f"schema {NEWEST}"),
    ("downgrade", ("+0",), 0, f"schema {NEWEST}"),
    ("downgrade", ("-99",), 2, UNKNOWN.format(word="-99", here=NEWEST)),
    ("downgrade", ("heads",), 2, UNKNOWN.format(word="heads", here=NEWEST)),
    ("downgrade", (f"{FIRST}:{NEWEST}",), 2, "There is no migration"),
    ("downgrade", ("1; DROP TABLE users",), 2, "There is no migration"),
    ("downgrade", ("-1", *AGREED), 0, f"schema {BEFORE}"),
    ("downgrade", ("--yess", "base"), 2, "Did you mean --yes?"),
    ("downgrade", (), 2, "Missing argument 'revision'"),
    ("reset", ("--yes",), 2, "No such option"),
    ("reset", ("base",), 2, "unexpected extra argument"),
    ("nosuch", (), 2, "No such command 'nosuch'"),
    ("stat", (), 2, "'? `agent db -h` shows what is possible."),
]
"""The same where everything is applied."""


@pytest.mark.parametrize(("command", "words", "status", "line"), EMPTY)
async def test_on_an_empty_database(
    machine: Machine,
    empty_database_url: str,
    command: str,
    words: tuple[str, ...],
    status: int,
    line: str,
) -> None:
    own = {"DATABASE_URL": empty_database_url}
    ended = await machine.agent("db", command, *words, settings=own)
    said = ended.out + ended.err
    assert (status, 1, True) == (ended.status, said.count("\n"), line in said), said


@pytest.mark.parametrize(("command", "words", "status", "line"), FULL)
async def test_where_everything_is_applied(
    machine: Machine, command: str, words: tuple[str, ...], status: int, line: str
) -> None:
    ended = await machine.agent("db", command, *words)
    said = ended.out + ended.err
    assert (status, 1, True) == (ended.status, said.count("\n"), line in said), said


async def test_an_earlier_schema_is_not_gone_back_to_by_going_up(
    machine: Machine,
) -> None:
    await migrate.downgrade(machine.variables["DATABASE_URL"], "0003")
    ended = await machine.agent("db", "downgrade", "0005")
    assert (2, True) == (
        ended.status,
        "The schema is at 0003, before 0005. `agent db upgrade 0005` goes there."
        in ended.err,
    )


async def test_a_check_of_an_earlier_schema_is_one_sentence(machine: Machine) -> None:
    await migrate.downgrade(machine.variables["DATABASE_URL"], "0003")
    ended = await machine.agent("db", "check")
    assert (
        1,
        f"The schema is at 0003, this version needs {NEWEST}. Run: agent db upgrade\n",
    ) == (
        ended.status,
        ended.out,
    )


async def test_tables_of_somebody_else_are_named_and_left_alone(
    machine: Machine, empty_database_url: str
) -> None:
    async with migrating(empty_database_url) as connection:
        await connection.execute("CREATE TABLE users (name text)")
    ended = await machine.agent(
        "db", "upgrade", settings={"DATABASE_URL": empty_database_url}
    )
    assert (2, 1) == (ended.status, ended.err.count("\n")), ended.err
    assert 'relation "users" already exists' in ended.err
    assert "Give the agent a database of its own." in ended.err


COMMANDS = (
    ("upgrade",),
    ("downgrade", "base", *AGREED),
    ("reset", "--confirm", "x", "--no-backup"),
)


@pytest.mark.parametrize("command", COMMANDS)
async def test_a_schema_of_a_newer_version_is_left_alone(
    machine: Machine, command: tuple[str, ...]
) -> None:
    async with migrating(machine.variables["DATABASE_URL"]) as connection:
        await connection.execute("UPDATE alembic_version SET version_num = '9000'")
    ended = await machine.agent("db", *command)
    assert (2, 1) == (ended.status, ended.err.count("\n")), ended.err
    assert "at migration 9000, which this version does not have." in ended.err


async def test_a_check_as_json_names_what_to_do(
    machine: Machine, empty_database_url: str
) -> None:
    ended = await machine.agent(
        "db", "check", "--json", settings={"DATABASE_URL": empty_database_url}
    )
    assert (1, False, 1) == (
        ended.status,
        json.loads(ended.out)["well"],
        len(json.loads(ended.out)["differences"]),
    )
