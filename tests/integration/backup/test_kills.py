"""`kill -9` at any moment: what looks whole is whole, and what was there before still is."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from storage.backup.create import create_backup
from storage.backup.manifest import open_backup
from storage.backup.restore import restore
from tests.support.backups import fill, nobody_in, tables, value, whole
from tests.support.commands import Machine, killed
from tests.support.servers import Postgres

ROUNDS = [1, pytest.param(10, marks=pytest.mark.chaos)]

AFTER = {"create": (0.5, 2.6), "verify": (0.5, 9.0), "restore": (0.5, 3.5)}
"""Seconds between which a command is killed: about as long as it takes on an idle machine."""


@pytest.fixture
def plain(tmp_path: Path, database_url: str) -> Machine:
    """Commands as processes of their own: a forked one would not be killed whole."""
    return Machine(tmp_path, {"DATABASE_URL": database_url})


def moments(command: str, rounds: int) -> list[float]:
    """Random, and spread over the whole run, so that each part of it is met."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    first, last = AFTER[command]
    step = (last - first) / rounds

    return [first + step * (n + chance.random()) for n in range(rounds)]


@pytest.mark.parametrize("rounds", ROUNDS)
async def test_create_leaves_a_whole_backup_or_none(
    plain: Machine, database_url: str, tmp_path: Path, rounds: int
) -> None:
    """Every name is that of a whole one; the next run removes what was left."""
    await fill(database_url, each=20_000)
    folder = tmp_path / "backups"
    folder.mkdir()
    statuses = [
        await killed(plain, moment, "backup", "create", str(folder))
        for moment in moments("create", rounds)
    ]

    found = whole(folder)
    assert statuses.count(0) <= len(found)
    assert sorted(found) == sorted(
        path for path in folder.iterdir() if not path.name.startswith(".")
    )
    for path in found:
        open_backup(path, [])

    last = await plain.agent("backup", "create", str(folder))
    assert (0, "") == (last.status, last.err)
    assert [] == [path for path in folder.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize("rounds", ROUNDS)
async def test_verify_leaves_the_backup_and_no_server(
    plain: Machine, database_url: str, tmp_path: Path, rounds: int
) -> None:
    """Its server ends with it, and its folder is removed by the next."""
    await fill(database_url, each=2000)
    made = await create_backup(database_url, tmp_path / "one")
    before = {path: path.read_bytes() for path in made.folder.iterdir()}
    for moment in moments("verify", rounds):
        await killed(plain, moment, "backup", "verify", str(made.folder))

    scratch = tmp_path / "home" / "scratch"
    async with asyncio.timeout(20):
        while servers_in(scratch):
            await asyncio.sleep(0.1)

    last = await plain.agent("backup", "verify", str(made.folder))
    assert (0, "") == (last.status, last.err)
    assert [] == list(scratch.iterdir())
    assert before == {path: path.read_bytes() for path in made.folder.iterdir()}


def servers_in(folder: Path) -> list[int]:
    """The Postgres servers whose data is below a folder and that still run."""
    found = []
    for file in folder.glob("*/data/postmaster.pid"):
        pid = int(file.read_text().split("\n")[0])
        command = Path(f"/proc/{pid}/cmdline")
        if command.exists() and b"postgres" in command.read_bytes():
            found.append(pid)

    return found


@pytest.mark.parametrize("rounds", ROUNDS)
async def test_restore_leaves_a_whole_database_or_an_empty_one(
    plain: Machine,
    database_url: str,
    own_postgres: Postgres,
    tmp_path: Path,
    rounds: int,
) -> None:
    """The source and the backup stay; an empty one is filled by the next run."""
    await fill(database_url, each=20_000)
    made = await create_backup(database_url, tmp_path / "one")
    for moment in moments("restore", rounds):
        async with own_postgres.database() as url:
            status = await killed(
                plain, moment, *("backup", "restore", str(made.folder), "--into", url)
            )
            await nobody_in(own_postgres.url(), url.split("/")[3].partition("?")[0])
            if await tables(url):
                rows = await value(url, "SELECT count(*) FROM messages")
                known = await value(url, "SELECT restored_at FROM control_epoch")
                assert (60_000, True) == (rows, known is not None)
            else:
                assert status != 0
                await restore(url, open_backup(made.folder, []))

    assert 60_000 == await value(database_url, "SELECT count(*) FROM messages")
