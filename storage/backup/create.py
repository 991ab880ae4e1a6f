"""Making a backup: a dump and its manifest, of one snapshot.

The moments at which it can die: until the last step there is only a hidden folder, which the
next run removes; the last step is one rename.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

import asyncpg

from agent.core.errors import ConfigurationError
from storage.backup import STATEMENTS, manifest
from storage.backup.content import read_tables
from storage.backup.failures import told
from storage.backup.manifest import Backup, DumpFile, Encryption, Manifest
from storage.backup.places import check_free, hidden_folder, put_in_place
from storage.backup.sealing import SALT_BYTES, Key
from storage.backup.tools import (
    CHUNK,
    Programs,
    error_file,
    find_tools,
    last_error,
    run_programs,
    surroundings,
)
from storage.connecting.postgres import connect
from storage.connecting.postgres_url import read_postgres_url

DUMP = "database.dump"
SEALED = "database.dump.sealed"

LOCK_WAIT = "10s"
"""A migration under way holds tables longer than turns may wait behind a waiting backup."""

Progress = Callable[[int], None]
"""Is told how many bytes were done since the last time."""


async def create_backup(
    url: str,
    path: Path,
    *,
    secrets: Sequence[str] = (),
    scheduled: bool = False,
    progress: Progress = lambda size: None,
) -> Backup:
    """Copies the database of `url` to `path`, or into it where it is a folder.

    `secrets` are the keys of ENCRYPTION_KEYS, the newest first: with one the copy is
    encrypted under it. While it runs, the agent works on. Raises ConfigurationError; then
    nothing is left at `path`.
    """
    with told(path, "No backup was made."):
        _check_direct(url)
        async with _snapshot(url) as (connection, facts):
            tools, major = find_tools(facts["major"])
            key = Key(secrets[0], os.urandom(SALT_BYTES)) if secrets else None
            described = await _describe(connection, facts, major, scheduled, key)

            with hidden_folder(check_free(path)) as hidden:
                dump = partial(_dump, url, tools, facts, hidden, key, progress)
                files = await run_programs(dump)
                whole = _with_files(described, files)
                written = manifest.write(hidden, whole, key)
                target = put_in_place(hidden, path, described.taken_at)

    return Backup(target, written, key)


async def check_possible(url: str, path: Path) -> None:
    """Raises ConfigurationError with what `create_backup` would say of programs and folder."""
    with told(path, "No backup can be made."):
        _check_direct(url)
        connection = await connect(url)
        try:
            target = await connection.fetchrow(STATEMENTS["target"])
        finally:
            await connection.close(timeout=1)

        assert target is not None
        find_tools(target["major"])
        with hidden_folder(check_free(path)):
            pass


def _check_direct(url: str) -> None:
    """A snapshot needs a session of its own. Raises ConfigurationError."""
    if read_postgres_url(url).pooled:
        raise ConfigurationError(
            "A backup is not possible through a pooler: name Postgres itself with --from."
        )


@asynccontextmanager
async def _snapshot(
    url: str,
) -> AsyncIterator[tuple[asyncpg.Connection[asyncpg.Record], asyncpg.Record]]:
    """A transaction that sees one moment, and what is asked of it first."""
    connection = await connect(url, statement_seconds=None)
    try:
        await connection.execute(STATEMENTS["begin_snapshot"])
        tables = [
            row["name"]
            for row in await connection.fetch(STATEMENTS["tables_of_schema"])
        ]
        if "alembic_version" not in tables:
            raise ConfigurationError(
                "There is nothing to back up: the database's schema is empty."
            )
        facts = await connection.fetchrow(STATEMENTS["snapshot"])
        assert facts is not None

        yield connection, facts
    finally:
        await connection.close(timeout=1)


async def _describe(
    connection: asyncpg.Connection[asyncpg.Record],
    facts: asyncpg.Record,
    tools: int,
    scheduled: bool,
    key: Key | None,
) -> Manifest:
    """The manifest of this snapshot, still without its files."""
    names = [
        row["name"] for row in await connection.fetch(STATEMENTS["tables_of_schema"])
    ]
    end = (
        await connection.fetchrow(STATEMENTS["audit_end"])
        if "audit_head" in names
        else None
    )
    pepper = key.pepper if key else ""
    tables = await read_tables(connection, facts["namespace"], names, pepper)

    return Manifest(
        format=manifest.FORMAT,
        agent=version("simple-ai-agent"),
        taken_at=facts["taken_at"],
        scheduled=scheduled,
        server=facts["server"].split()[0],
        tools=tools,
        schema=facts["schema"],
        namespace=facts["namespace"],
        epoch=facts["epoch"],
        audit_rows=end["id"] if end else 0,
        audit_head=end["hash"] if end else "",
        tables=tables,
        files={},
        encryption=_encryption(key),
    )


def _encryption(key: Key | None) -> Encryption | None:
    return Encryption(key.salt, key.fingerprint) if key else None


def _with_files(described: Manifest, files: dict[str, DumpFile]) -> Manifest:
    from msgspec.structs import replace

    return replace(described, files=files)


def _dump(
    url: str,
    tools: Path,
    facts: asyncpg.Record,
    folder: Path,
    key: Key | None,
    progress: Progress,
    programs: Programs,
) -> dict[str, DumpFile]:
    """Writes what `pg_dump` says, and returns the file it made."""
    command = [
        str(tools / "pg_dump"),
        "--format=custom",
        "--no-owner",
        "--no-privileges",
        f"--schema={_pattern(facts['namespace'])}",
        f"--snapshot={facts['snapshot']}",
        f"--lock-wait-timeout={LOCK_WAIT}",
    ]
    with error_file() as errors:
        process = programs.start(command, surroundings(url), errors)
        assert process.stdout is not None
        chunks = _chunks(process.stdout.read, progress)
        name = SEALED if key else DUMP
        written = _write(folder / name, key.sealed(chunks) if key else chunks)

        if process.wait():
            raise ConfigurationError(
                f"pg_dump ended with: {last_error(errors) or 'no reason'}. No backup was made."
            )

    return {name: written}


def _pattern(name: str) -> str:
    """The name as pg_dump's patterns write it: in quotes nothing is a wildcard."""
    return '"' + name.replace('"', '""') + '"'


def _chunks(read: Callable[[int], bytes], progress: Progress) -> Iterator[bytes]:
    while chunk := read(CHUNK):
        yield chunk
        progress(len(chunk))


def _write(path: Path, chunks: Iterable[bytes]) -> DumpFile:
    """Writes a file that survives a power cut."""
    digest, size = sha256(), 0
    with path.open("xb") as file:
        for chunk in chunks:
            file.write(chunk)
            digest.update(chunk)
            size += len(chunk)
        file.flush()
        os.fsync(file.fileno())

    return DumpFile(size, digest.hexdigest())
