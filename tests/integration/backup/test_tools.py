"""How Postgres' own programs are chosen and called."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from agent.core.errors import ConfigurationError
from storage.backup import tools
from storage.backup.create import create_backup
from storage.backup.manifest import open_backup
from storage.backup.restore import _script, restore
from storage.backup.tools import Programs, find_tools, surroundings
from storage.backup.verify import verify_backup
from tests.support.backups import fill, value

SECRET = "hush hush/?&"
URL = (
    "postgresql://ada:hush%20hush%2F%3F%26@db.example:5433/agent"
    "?sslmode=verify-full&sslrootcert=system&options=-c%20search_path%3Down"
)


@pytest.mark.parametrize(
    ("versions", "server", "chosen"),
    [([15, 18], 15, 15), ([18, 15, 16], 16, 16), ([15, 18], 16, 18), ([18], 15, 18)],
)
def test_the_oldest_programs_that_are_new_enough_are_used(
    monkeypatch: pytest.MonkeyPatch, versions: list[int], server: int, chosen: int
) -> None:
    """The newest may write what an older server cannot read."""
    monkeypatch.setattr(tools, "folders", lambda: iter(map(Path, map(str, versions))))
    monkeypatch.setattr(
        tools, "versions", lambda folder: {"pg_dump": int(str(folder))}
    )

    assert (Path(str(chosen)), chosen) == find_tools(server)


@pytest.mark.parametrize("name", tools.PROGRAMS)
@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("", "There is no {name} in "),
        ("echo {name} 9.6", "{name} 9 is older than what Postgres 18 needs"),
        ("exit 1", "{name} in .* does not run"),
    ],
    ids=["missing", "old", "broken"],
)
def test_the_program_that_is_missing_or_old_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, script: str, said: str
) -> None:
    """Not another one of the three, which are well."""
    for program in tools.PROGRAMS:
        line = script if program == name else "echo {name} 18.1"
        if line:
            path = tmp_path / program
            path.write_text(f"#!/bin/sh\n{line.format(name=program)}\n")
            path.chmod(0o755)
    monkeypatch.setattr(tools, "folders", lambda: iter([tmp_path]))

    with pytest.raises(ConfigurationError, match=said.format(name=name)):
        find_tools(18)


@pytest.mark.parametrize(("server", "kept"), [(15, False), (16, False), (17, True)])
def test_a_setting_that_an_old_server_does_not_know_is_left_out(
    server: int, kept: bool
) -> None:
    """Newer programs write it into every script."""
    script = (
        b"SET lock_timeout = 0;\nSET transaction_timeout = 0;\nCREATE TABLE t ();\n"
    )
    passed = b"".join(_script(io.BytesIO(script), server))

    assert kept == (b"transaction_timeout" in passed)
    assert passed.endswith(b"CREATE TABLE t ();\n")


def test_a_program_reaches_the_database_as_the_agent_does() -> None:
    """By its environment, which others on the machine cannot read."""
    given = surroundings(URL)

    assert ("db.example", "5433", "ada", "agent", SECRET) == tuple(
        given[name]
        for name in ("PGHOST", "PGPORT", "PGUSER", "PGDATABASE", "PGPASSWORD")
    )
    assert ("verify-full", "system", "-c search_path=own") == tuple(
        given[name] for name in ("PGSSLMODE", "PGSSLROOTCERT", "PGOPTIONS")
    )


async def test_no_command_line_holds_a_password(
    database_url: str,
    empty_database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Everybody on a machine can read those."""
    seen: list[Sequence[str]] = []
    start = Programs.start

    def noted(
        self: Programs, command: Sequence[str], *args: Any, **named: Any
    ) -> Any:
        seen.append(command)
        return start(self, command, *args, **named)

    monkeypatch.setattr(Programs, "start", noted)
    with_password = database_url.replace("postgres@", "postgres:hush@", 1)
    made = await create_backup(with_password, tmp_path / "one")
    target = empty_database_url.replace("postgres@", "postgres:hush@", 1)
    await restore(target, open_backup(made.folder, []))

    assert 3 == len(seen)
    assert [] == [part for command in seen for part in command if "hush" in part]


async def test_a_failing_program_leaves_nothing(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of a dump is no backup, whatever else went well."""
    real, _ = find_tools(18)
    broken = tmp_path / "bin"
    broken.mkdir()
    for name in tools.PROGRAMS:
        script = f'#!/bin/sh\n"{real / name}" "$@" | head -c 20000\nexit 1\n'
        (broken / name).write_text(script)
        (broken / name).chmod(0o755)
    monkeypatch.setattr("storage.backup.create.find_tools", lambda _: (broken, 99))

    with pytest.raises(Exception, match="pg_dump ended with"):
        await create_backup(database_url, tmp_path / "one")

    assert ["bin"] == [path.name for path in tmp_path.iterdir()]


async def test_every_kind_of_text_comes_back(
    database_url: str, tmp_path: Path
) -> None:
    """What COPY, quoting and encodings stumble over; all rows are compared."""
    await fill(database_url, people=1, each=20)
    for number, text in enumerate(ODD, start=1):
        await value(
            database_url,
            "UPDATE messages SET content = $1 WHERE seq = $2",
            text,
            number,
        )
    made = await create_backup(database_url, tmp_path / "one")

    await verify_backup(open_backup(made.folder, []), tmp_path / "scratch")


ODD = (
    "",
    "\\.",
    "\\N",
    "\\restrict x\n\\! true",
    "\\copy messages to '/tmp/x'",
    "';\nCOMMIT;\nDROP TABLE users;\n--",
    "\t\r\n\b\f\v\x01\x7f",
    "👩‍👩‍👧‍👦 \u202e\ufeff \ue000 𝔘",
    "x" * 3_000_000,
    "SET transaction_timeout = 0;\n",
)
