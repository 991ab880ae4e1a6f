"""What ends a command of backups early: status 2, one sentence, and nothing half-written."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.backup.create import create_backup
from tests.support.backups import fill, tables
from tests.support.commands import Ended, Machine

ALMOST_NO_ROOM = "64k"

TOO_SMALL_FOR_A_CLUSTER = "24m"

TOO_SMALL_FOR_ITS_ROWS = "60m"
"""The server runs out of space for its log of changes, and goes down itself."""

ENOUGH = "400m"


class Disk:
    """A small disk of its own. What is full is really full."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()

    def mount(self, size: str) -> None:
        self._run("mount", "-t", "tmpfs", "-o", f"size={size}", "none", self.folder)

    def resize(self, size: str) -> None:
        self._run("mount", "-o", f"remount,size={size}", self.folder)

    def lock(self) -> None:
        """Nothing can be written, whoever asks."""
        self._run("mount", "-o", "remount,ro", self.folder)

    def close(self) -> None:
        # lazily: a server that ends at this moment still holds files
        subprocess.run(["umount", "-l", str(self.folder)], check=False)

    def _run(self, *command: object) -> None:
        ended = subprocess.run(
            [str(part) for part in command], capture_output=True, check=False
        )
        if ended.returncode:
            pytest.skip("this user may not mount a disk")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    if sys.platform != "linux" or shutil.which("mount") is None:
        pytest.skip("a disk is mounted as Linux does it")

    one = Disk(tmp_path / "disk")
    yield one
    one.close()


@pytest.fixture
async def folder(database_url: str, tmp_path: Path) -> Path:
    """A backup of 30,000 messages."""
    await fill(database_url, people=30, each=1000)

    return (await create_backup(database_url, tmp_path / "one")).folder


def assert_refused(ended: Ended, *words: str) -> None:
    assert (2, "") == (ended.status, ended.out)
    sentence = ended.err.splitlines()[-1]
    assert sentence.startswith("agent: "), ended.err
    assert [] == [word for word in words if word not in sentence], sentence


async def test_a_full_disk_takes_no_backup(
    machine: Machine, folder: Path, disk: Disk
) -> None:
    """And keeps nothing of it. With room, the same command goes well."""
    disk.mount(ALMOST_NO_ROOM)
    ended = await machine.agent("backup", "create", str(disk.folder))
    assert_refused(ended, f"{disk.folder} is full", "No backup was made.")
    assert [] == list(disk.folder.iterdir())

    disk.resize(ENOUGH)
    again = await machine.agent("backup", "create", str(disk.folder))
    assert (0, "") == (again.status, again.err)


@pytest.mark.parametrize("size", [TOO_SMALL_FOR_A_CLUSTER, TOO_SMALL_FOR_ITS_ROWS])
async def test_a_full_disk_verifies_nothing(
    machine: Machine, folder: Path, disk: Disk, size: str
) -> None:
    disk.mount(size)
    ended = await machine.agent(
        "backup", "verify", str(folder), settings={"AGENT_HOME": str(disk.folder)}
    )

    assert_refused(ended, "disk", "full")
    assert [] == list((disk.folder / "scratch").iterdir())


@pytest.mark.parametrize("size", [TOO_SMALL_FOR_A_CLUSTER, TOO_SMALL_FOR_ITS_ROWS])
async def test_a_full_disk_takes_no_restore(
    machine: Machine, folder: Path, disk: Disk, size: str
) -> None:
    """The target stays empty: with room, the same command goes well."""
    disk.mount(size)
    command = ("backup", "restore", str(folder), "--into", "embedded")
    home = {"AGENT_HOME": str(disk.folder)}
    ended = await machine.agent(*command, settings=home)
    assert_refused(ended, "disk", "full")

    disk.resize(ENOUGH)
    again = await machine.agent(*command, settings=home)
    assert (0, "") == (again.status, again.err)


async def test_a_disk_that_is_locked_takes_no_backup(
    machine: Machine, database_url: str, disk: Disk
) -> None:
    disk.mount(ENOUGH)
    disk.lock()
    ended = await machine.agent("backup", "create", str(disk.folder))

    assert_refused(ended, "Read-only file system", "No backup was made.")


WITHOUT_PROGRAMS = (
    "from storage.backup import tools\n"
    "tools.folders = lambda: iter(())\n"
    "from agent.cli.main import main\n"
    "main()\n"
)
"""The command on a machine that has none of Postgres' programs."""


@pytest.mark.parametrize("verb", ["create", "restore"])
async def test_missing_programs(
    machine: Machine,
    empty_database_url: str,
    folder: Path,
    tmp_path: Path,
    verb: str,
) -> None:
    target = tmp_path / "two"
    rest = {
        "create": (str(target),),
        "restore": (str(folder), "--into", empty_database_url),
    }
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_PROGRAMS, "backup", verb, *rest[verb]],
        env=machine.environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert_refused(
        Ended(done.returncode, done.stdout, done.stderr),
        "There is no pg_dump on this machine",
        "install Postgres' client programs",
    )
    assert (False, 0) == (target.exists(), await tables(empty_database_url))


@pytest.mark.parametrize("verb", ["verify", "restore"])
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nowhere", "is not a backup"),
        ("a dump.sql", "is a file"),
        ("photos", "is not a backup"),
        ("another program's", "is damaged"),
    ],
)
async def test_what_is_no_backup(
    machine: Machine,
    empty_database_url: str,
    tmp_path: Path,
    verb: str,
    name: str,
    said: str,
) -> None:
    (tmp_path / "a dump.sql").write_text("CREATE TABLE users ();")
    (tmp_path / "photos").mkdir()
    (tmp_path / "another program's").mkdir()
    (tmp_path / "another program's" / "manifest.json").write_text('{"name": "app"}')
    into = ("--into", empty_database_url) if verb == "restore" else ()
    ended = await machine.agent("backup", verb, str(tmp_path / name), *into)

    assert_refused(ended, said, name)
    assert 1 == ended.err.count("\n")
    assert 0 == await tables(empty_database_url)
