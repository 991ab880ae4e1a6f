"""What cannot be backed up or brought back: status 2, one sentence, and nothing half-written."""

from __future__ import annotations

import json
import resource
import subprocess
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from agent.core.errors import ConfigurationError
from storage.backup import manifest, tools
from storage.backup.create import DUMP, create_backup
from storage.backup.manifest import open_backup, read
from storage.backup.restore import restore
from storage.control.credentials import new_key
from tests.support.backups import fill, tables, whole
from tests.support.commands import AGENT, Machine

KEY, OTHER_KEY = new_key(), new_key()


@pytest.fixture
async def folder(database_url: str, tmp_path: Path) -> Path:
    """An encrypted backup."""
    await fill(database_url)
    made = await create_backup(database_url, tmp_path / "one", secrets=[KEY])

    return made.folder


def sealed_file(folder: Path) -> Path:
    (path,) = (path for path in folder.iterdir() if path.suffix == ".sealed")

    return path


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(bytes(data))


def rewrite(folder: Path, **changes: object) -> None:
    """As a newer version would have written it."""
    key = open_backup(folder, [KEY]).key
    new = msgspec.structs.replace(read(folder), seal="", **changes)
    (folder / manifest.NAME).unlink()
    manifest.write(folder, new, key)


def cut(path: Path, size: int) -> None:
    with path.open("rb+") as file:
        file.truncate(size)


def foreign(folder: Path) -> None:
    for path in folder.iterdir():
        path.write_bytes(b"PGDMP something else")


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "a byte of the dump": (lambda f: flip(sealed_file(f), 5), "is damaged"),
    "the last byte of the dump": (lambda f: flip(sealed_file(f), -1), "is damaged"),
    "the dump is cut off": (lambda f: cut(sealed_file(f), 20_000), "was cut off"),
    "the dump is empty": (lambda f: cut(sealed_file(f), 0), "was cut off"),
    "the dump is gone": (lambda f: sealed_file(f).unlink(), "cannot be read"),
    "the manifest is cut off": (lambda f: cut(f / manifest.NAME, 300), "is damaged"),
    "the manifest is gone": (lambda f: (f / manifest.NAME).unlink(), "not a backup"),
    "other files": (foreign, "is damaged"),
    "a newer schema": (
        lambda f: rewrite(f, schema="9999"),
        "newer than this version",
    ),
    "a newer format": (lambda f: rewrite(f, format=2), "made by a newer version"),
}


@pytest.mark.parametrize(("spoil", "said"), BROKEN.values(), ids=BROKEN)
async def test_what_is_not_whole_is_refused(
    machine: Machine,
    empty_database_url: str,
    folder: Path,
    spoil: Callable[[Path], object],
    said: str,
) -> None:
    """The sentence names the backup, and the target stays empty."""
    spoil(folder)
    commands = (
        ("verify", str(folder)),
        ("restore", str(folder), "--into", empty_database_url),
    )
    for command in commands:
        ended = await machine.agent(
            "backup", *command, settings={"ENCRYPTION_KEYS": KEY}
        )
        assert (2, "", 1) == (ended.status, ended.out, ended.err.count("\n"))
        assert said in ended.err
        assert str(folder) in ended.err

    assert 0 == await tables(empty_database_url)


def test_every_byte_of_a_manifest_counts(tmp_path: Path) -> None:
    """Whatever is another one is found, blanks included."""
    path = tmp_path / manifest.NAME
    whole_one = msgspec.json.decode(EXAMPLE, type=manifest.Manifest)
    manifest.write(tmp_path, msgspec.structs.replace(whole_one, files={}), None)
    data = path.read_bytes()
    assert open_backup(tmp_path, [])

    for at in range(len(data)):
        path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        with pytest.raises(ConfigurationError):
            open_backup(tmp_path, [])


EXAMPLE = json.dumps(
    {
        "format": 1,
        "agent": "0.1.0",
        "taken_at": "2026-01-02T03:04:05Z",
        "scheduled": False,
        "server": "18.6",
        "tools": 18,
        "schema": "0001",
        "namespace": "public",
        "epoch": 1,
        "audit_rows": 0,
        "audit_head": "",
        "tables": {"users": {"rows": 1, "digest": "-5"}},
        "files": {},
        "encryption": None,
    }
)


@pytest.mark.parametrize(
    ("keys", "said"),
    [("", "is encrypted: set"), (OTHER_KEY, "No key of ENCRYPTION_")],
    ids=["no key", "another key"],
)
async def test_without_its_key_nothing_is_opened(
    machine: Machine, empty_database_url: str, folder: Path, keys: str, said: str
) -> None:
    """A missing key and a wrong one are told apart; an older one still opens."""
    into = ("--into", empty_database_url)
    ended = await machine.agent(
        "backup", "restore", str(folder), *into, settings={"ENCRYPTION_KEYS": keys}
    )
    assert (2, 1, True) == (ended.status, ended.err.count("\n"), said in ended.err)
    assert 0 == await tables(empty_database_url)

    rotated = f"{new_key()},{KEY}"
    opened = await machine.agent(
        "backup", "restore", str(folder), *into, settings={"ENCRYPTION_KEYS": rotated}
    )
    assert (0, "") == (opened.status, opened.err)


@pytest.mark.parametrize("name", ["file/backups/one", "/proc/backups/one"])
async def test_a_path_that_cannot_be_written(
    machine: Machine, tmp_path: Path, name: str
) -> None:
    """It is named, and the database is left alone."""
    (tmp_path / "file").write_text("")
    ended = await machine.agent("backup", "create", str(tmp_path / name))

    assert (2, "", 1) == (ended.status, ended.out, ended.err.count("\n"))
    assert "cannot be used" in ended.err
    assert "No backup was made." in ended.err


async def test_a_file_that_may_not_grow_leaves_nothing(
    machine: Machine, database_url: str, tmp_path: Path
) -> None:
    """The files so far are removed. A limit of the process is no full disk, and is named."""
    await fill(database_url, each=2000)
    folder = tmp_path / "small"
    folder.mkdir()

    def small() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))

    ended = subprocess.run(
        [AGENT, "backup", "create", str(folder)],
        # what Python compiles would be cut off, too, and stay
        env={**machine.environment, "PYTHONDONTWRITEBYTECODE": "1"},
        cwd=tmp_path,
        preexec_fn=small,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert (2, "", 1) == (ended.returncode, ended.stdout, ended.stderr.count("\n"))
    assert "larger than this process may write" in ended.stderr
    assert [] == list(folder.iterdir())


@pytest.mark.parametrize(
    ("versions", "said"),
    [([], "There is no pg_dump on this machine"), ([9], "pg_dump 9 is older than")],
)
async def test_programs_that_are_missing_or_too_old_are_named(
    database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    versions: list[int],
    said: str,
) -> None:
    """With what to install, and for which version."""
    monkeypatch.setattr(tools, "folders", lambda: iter(map(Path, map(str, versions))))
    monkeypatch.setattr(
        tools, "versions", lambda folder: {"pg_dump": int(str(folder))}
    )

    with pytest.raises(ConfigurationError, match=said):
        await create_backup(database_url, tmp_path / "one")

    assert [] == list(tmp_path.iterdir())


async def test_a_database_with_something_in_it_is_left_alone(
    machine: Machine, database_url: str, folder: Path
) -> None:
    """It is named; so is one that somebody else uses."""
    ended = await machine.agent(
        "backup",
        "restore",
        str(folder),
        "--into",
        database_url,
        settings={"ENCRYPTION_KEYS": KEY},
    )

    assert (2, 1) == (ended.status, ended.err.count("\n"))
    assert "is not empty" in ended.err


async def test_a_database_in_use_is_left_alone(
    empty_database_url: str, folder: Path
) -> None:
    """Somebody might be filling it at this moment."""
    from storage.connecting.postgres import connect

    backup = open_backup(folder, [KEY])
    other = await connect(empty_database_url)
    try:
        with pytest.raises(ConfigurationError, match="is in use"):
            await restore(empty_database_url, backup)
    finally:
        await other.close()

    assert 0 == await tables(empty_database_url)


@pytest.mark.parametrize("table", ["users", "messages", "control_epoch"])
async def test_a_dump_that_is_not_what_the_manifest_says_is_taken_back(
    empty_database_url: str, folder: Path, table: str
) -> None:
    """The comparison stands before the COMMIT."""
    found = read(folder).tables
    other = msgspec.structs.replace(found[table], digest="1")
    rewrite(folder, tables={**found, table: other})

    with pytest.raises(ConfigurationError, match="not what the manifest says"):
        await restore(empty_database_url, open_backup(folder, [KEY]))

    assert 0 == await tables(empty_database_url)


async def test_a_dump_of_something_else_is_taken_back(
    empty_database_url: str, database_url: str, tmp_path: Path
) -> None:
    """Also when its manifest was made for it."""
    made = await create_backup(database_url, tmp_path / "plain")
    path = made.folder / DUMP
    path.write_bytes(path.read_bytes()[:-2000])
    size, digest = path.stat().st_size, manifest._digest(path)
    (made.folder / manifest.NAME).unlink()
    files = {DUMP: manifest.DumpFile(size, digest)}
    manifest.write(
        made.folder,
        msgspec.structs.replace(made.manifest, files=files, seal=""),
        None,
    )

    with pytest.raises(ConfigurationError, match="Nothing was restored"):
        await restore(empty_database_url, open_backup(made.folder, []))

    assert 0 == await tables(empty_database_url)
    assert [made.folder] == whole(tmp_path)


async def test_a_pooler_is_refused_before_anything_is_written(
    machine: Machine, database_url: str, empty_database_url: str, folder: Path
) -> None:
    """A snapshot needs a session; the sentence names the option for Postgres itself."""
    created = await machine.agent(
        "backup", "create", "--from", f"{database_url}&pooled=true"
    )
    restored = await machine.agent(
        *("backup", "restore", str(folder), "--into"),
        f"{empty_database_url}&pooled=true",
        settings={"ENCRYPTION_KEYS": KEY},
    )

    assert (2, 2) == (created.status, restored.status)
    assert "name Postgres itself with --from" in created.err
    assert "name Postgres itself with --into" in restored.err
    assert 0 == await tables(empty_database_url)
