"""A backup is one moment of the database, and says of itself what it is."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from storage.backup.create import create_backup
from storage.backup.manifest import open_backup
from storage.backup.verify import verify_backup
from storage.connecting.postgres import connect
from storage.control.credentials import new_key
from tests.support.backups import fill, value, whole
from tests.support.commands import Machine

PRIVATE = "nobody else may read this"


@pytest.mark.parametrize("encrypted", [False, True])
async def test_it_says_what_it_holds(
    machine: Machine, database_url: str, encrypted: bool
) -> None:
    """Rows by table, schema, epoch, the audit log's end, and under which kind of lock."""
    await fill(database_url)
    keys = {"ENCRYPTION_KEYS": new_key()} if encrypted else {}
    made = await machine.agent("backup", "create", "--json", settings=keys)
    facts = json.loads(made.out)
    listed = await machine.agent("backup", "list", "--json")
    head = await value(database_url, "SELECT encode(hash, 'hex') FROM audit_head")

    assert (0, "") == (made.status, made.err)
    assert [facts] == json.loads(listed.out)["backups"]
    assert (3, 120, 3) == tuple(
        facts["rows"][name] for name in ("users", "messages", "conversations")
    )
    assert {"rows": 12, "head": head} == facts["audit"]
    assert (encrypted, 1) == (facts["encrypted"], facts["epoch"])


async def test_it_says_plainly_what_the_key_is_for(
    machine: Machine, database_url: str
) -> None:
    """With a key: keep it. Without: everybody who has the file can read it."""
    plain = await machine.agent("backup", "create")
    sealed = await machine.agent(
        "backup", "create", settings={"ENCRYPTION_KEYS": new_key()}
    )
    listed = await machine.agent("backup", "list")

    assert "It is not encrypted: whoever reads it reads every message." in plain.out
    assert "Keep that key elsewhere: without it nobody can restore" in sealed.out
    assert 3 == len(listed.out.splitlines())


async def test_an_encrypted_one_shows_nothing_of_what_was_said(
    database_url: str, tmp_path: Path
) -> None:
    """Nor can its digests be compared with a guess."""
    await fill(database_url, people=1, each=2)
    await value(database_url, "UPDATE messages SET content = $1", PRIVATE)
    one, other = [
        await create_backup(database_url, tmp_path, secrets=[new_key()])
        for _ in range(2)
    ]
    plain = await create_backup(database_url, tmp_path)
    contents = b"".join(path.read_bytes() for path in one.folder.iterdir())

    assert PRIVATE.encode() not in contents
    assert 3 == len(
        {made.manifest.tables["messages"].digest for made in (one, other, plain)}
    )


async def test_counts_and_dump_are_of_one_moment(
    database_url: str, tmp_path: Path
) -> None:
    """Rows that are written meanwhile are in neither: it verifies."""
    await fill(database_url)
    connection = await connect(database_url)
    writing = asyncio.create_task(_write(connection))
    try:
        made = [await create_backup(database_url, tmp_path) for _ in range(3)]
    finally:
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
        await connection.close()

    counts = [one.manifest.tables["audit_log"].rows for one in made]
    assert counts == sorted(set(counts))
    await verify_backup(open_backup(made[1].folder, []), tmp_path / "scratch")


async def _write(connection: object) -> None:
    while True:
        await connection.execute(  # type: ignore[attr-defined]
            "INSERT INTO audit_log (actor, action, subject) VALUES ('ada', 'test', 'x')"
        )


async def test_an_existing_path_is_never_written_over(
    machine: Machine, database_url: str, tmp_path: Path
) -> None:
    """A folder gets a new one inside; anything else is refused."""
    folder, file = tmp_path / "there", tmp_path / "file"
    folder.mkdir()
    file.write_text("mine")
    twice = [await machine.agent("backup", "create", str(folder)) for _ in range(2)]
    refused = await machine.agent("backup", "create", str(file))
    named = await machine.agent("backup", "create", str(tmp_path / "named"))

    assert [0, 0, 0] == [ended.status for ended in (*twice, named)]
    assert (2, f"agent: {file} exists already: name another path.\n") == (
        refused.status,
        refused.err,
    )
    assert (2, "mine") == (len(whole(folder)), file.read_text())
    assert [tmp_path / "named"] == whole(tmp_path)


async def test_an_empty_database_is_no_backup(
    machine: Machine, empty_database_url: str
) -> None:
    """One sentence, and nothing is left."""
    ended = await machine.agent("backup", "create", "--from", empty_database_url)

    assert (2, [""]) == (ended.status, ended.out.splitlines() or [""])
    assert "nothing to back up" in ended.err
    assert [] == list((machine.folder / "home" / "backups").iterdir())


async def test_a_key_that_is_none_is_said_in_one_sentence(
    machine: Machine, database_url: str, empty_database_url: str, tmp_path: Path
) -> None:
    """Whatever needs the keys; a backup that was encrypted is left as it is."""
    sealed = await create_backup(database_url, tmp_path / "one", secrets=[new_key()])
    commands = (
        ("create",),
        ("verify", str(sealed.folder)),
        ("restore", str(sealed.folder), "--into", empty_database_url),
    )
    for garbage in ("garbage", f"{new_key()},bm90IDMyIGJ5dGVz"):
        for command in commands:
            ended = await machine.agent(
                "backup", *command, settings={"ENCRYPTION_KEYS": garbage}
            )
            assert (2, "", 1) == (ended.status, ended.out, ended.err.count("\n"))
            assert "each key is 32 bytes in URL-safe base64" in ended.err


async def test_a_path_of_another_kind_is_said(
    machine: Machine, database_url: str, tmp_path: Path
) -> None:
    """A backup inside a backup, a file for a folder, and a misspelt `embedded`."""
    made = (await create_backup(database_url, tmp_path / "one")).folder
    file = made / "manifest.json"
    asked = {
        ("create", str(made)): f"{made} is a backup already: name another path.",
        ("list",): f"{file} is not a folder",
        ("verify", str(file)): f"{file} is a file: name the folder",
        ("restore", str(made), "--into", "embeded"): "or `embedded` for the one",
    }
    for command, said in asked.items():
        own = {"BACKUP_DIR": str(file)} if command == ("list",) else {}
        ended = await machine.agent("backup", *command, settings=own)
        assert (2, "", 1) == (ended.status, ended.out, ended.err.count("\n")), command
        assert said in ended.err

    assert [made] == whole(tmp_path)
