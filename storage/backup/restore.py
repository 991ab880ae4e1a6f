"""Bringing a backup back: the whole database in one transaction, or nothing.

The moments at which it can die: until the COMMIT, which is sent last, the target stays as
empty as it was. The script makes the tables, compares them with the manifest, and closes what
was open; a difference ends it before the COMMIT.
"""

from __future__ import annotations

import re
import subprocess
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import IO

from agent.core.errors import ConfigurationError
from storage.backup import STATEMENTS
from storage.backup.content import DIFFERENT, NOT_EMPTY, comparison, named
from storage.backup.create import Progress
from storage.backup.failures import told
from storage.backup.manifest import Backup
from storage.backup.note import audit_row
from storage.backup.sealing import Damaged
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
from storage.control.audit import Author
from storage.lifecycle.receipts import erase_again
from storage.migrate import MIGRATION_LOCK

_UNTOUCHED = "Nothing was restored; the target is as empty as it was."

_UNKNOWN_BEFORE_17 = b"SET transaction_timeout = 0;\n"
"""Programs of Postgres 17 and later write it, and an older server does not know it."""

_QUIET = (
    *("-X", "-q", "-o", "/dev/null"),
    *("-v", "ON_ERROR_STOP=1", "-v", "VERBOSITY=sqlstate"),
)
_PREAMBLE_BYTES = 1 << 16

_LOST = "The target's server went down meanwhile, perhaps since its disk is full: its log says why."
_REFUSALS = {
    DIFFERENT: "What came out is not what the manifest says: the backup is damaged.",
    NOT_EMPTY: "Somebody filled the target meanwhile.",
    "53100": "The disk of the target is full: make room on it.",
    "57P02": _LOST,
    "42501": "The target's user may not make tables there: let its owner grant it.",
}
"""By SQLSTATE. Postgres' own words may quote a row, so they are not shown."""

_SQLSTATE = re.compile("[0-9A-Z]{5}")
"""What psql says instead is about its connection."""


async def restore(
    url: str,
    backup: Backup,
    *,
    by: Author | None = None,
    resume: bool = False,
    own_connections: int = 0,
    progress: Progress = lambda size: None,
) -> None:
    """Fills the empty database of `url` with what the backup holds, and notes in its audit
    log that it was restored, `by` whom (None: nothing is noted, as by a move).

    Turns that were open are closed as restored, so that no old answer comes into a chat;
    with `resume` they go on. Whoever was erased since is erased again, by the first instance
    that starts. `own_connections` of this process are no other user's. Raises
    ConfigurationError; then the database is as empty as before.
    """
    ending = [
        STATEMENTS["free_claims" if resume else "close_open_turns"],
        STATEMENTS["begin_another_life"],
        STATEMENTS["sign_out_everybody"],
        *([audit_row(backup, by, resume=resume)] if by else []),
        *_erased_since(backup),
    ]

    await fill(
        url,
        backup,
        ending,
        own_connections=own_connections,
        progress=progress,
    )


def _erased_since(backup: Backup) -> list[str]:
    try:
        return erase_again(backup.folder.parent)
    except OSError as error:
        raise ConfigurationError(
            f"The receipts of erased people in {backup.folder.parent} cannot be read "
            f"({error.strerror}): make them readable."
        ) from error


async def fill(
    url: str,
    backup: Backup,
    ending: list[str],
    *,
    own_connections: int = 0,
    progress: Progress = lambda size: None,
) -> None:
    """The same with another ending, in the same transaction."""
    with told(backup.folder, _UNTOUCHED):
        if read_postgres_url(url).pooled:
            raise ConfigurationError(
                "A restore is not possible through a pooler: name Postgres itself with --into."
            )

        major = await _check_target(url, own_connections)
        tools, _ = find_tools(max(major, backup.manifest.tools))
        work = partial(_restore, url, backup, tools, major, ending, progress)

        await run_programs(work)


async def _check_target(url: str, own_connections: int) -> int:
    """The major version of a server whose database is empty and that nobody else uses."""
    connection = await connect(url)
    try:
        target = await connection.fetchrow(STATEMENTS["target"])
        tables = await connection.fetch(STATEMENTS["tables_of_schema"])
    finally:
        await connection.close(timeout=1)

    assert target is not None
    name = target["database"]
    if tables:
        raise ConfigurationError(
            f"The database {name} is not empty: name a new, empty one, or a new AGENT_HOME "
            "for the embedded one."
        )
    if target["others"] > own_connections:
        raise ConfigurationError(
            f"The database {name} is in use: end the other programs that are connected to it."
        )

    return int(target["major"])


def _restore(
    url: str,
    backup: Backup,
    tools: Path,
    major: int,
    ending: list[str],
    progress: Progress,
    programs: Programs,
) -> None:
    """Pipes the dump through `pg_restore` into `psql`, between a beginning and an ending."""
    with error_file() as errors, error_file() as other_errors:
        command = [str(tools / "psql"), *_QUIET]
        psql = programs.start(
            command, surroundings(url), errors, stdin=subprocess.PIPE
        )
        command = [str(tools / "pg_restore"), "-f", "-", *_wanted(backup)]
        reader = programs.start(
            command, surroundings(url), other_errors, stdin=subprocess.PIPE
        )
        assert psql.stdin is not None

        try:
            psql.stdin.write(_beginning(backup).encode())
            _pipe(backup, reader, psql.stdin, major, progress)
            if reader.wait():
                raise ConfigurationError(
                    f"pg_restore ended with: {last_error(other_errors)}. {_UNTOUCHED}"
                )
            psql.stdin.write(_ending(backup, ending).encode())
            psql.stdin.close()
        except BrokenPipeError:
            pass  # psql found an error, and says which
        if psql.wait():
            raise ConfigurationError(f"{_refusal(last_error(errors))} {_UNTOUCHED}")


def _pipe(
    backup: Backup,
    reader: subprocess.Popen[bytes],
    target: IO[bytes],
    major: int,
    progress: Progress,
) -> None:
    """All of the dump. Raises ConfigurationError when it is not as it was once written."""
    assert reader.stdin is not None
    assert reader.stdout is not None

    feeding = _Feeding(backup, reader.stdin, progress)
    for chunk in _script(reader.stdout, major):
        target.write(chunk)
    feeding.finish()


def _wanted(backup: Backup) -> list[str]:
    """What is in the schema, without the schema itself: a database has `public` already."""
    return ["--no-owner", "--no-privileges", f"--schema={backup.manifest.namespace}"]


def _beginning(backup: Backup) -> str:
    """Takes the lock of migrations, so that nobody else begins to fill the database."""
    namespace = named(backup.manifest.namespace)

    return (
        "BEGIN;\n"
        f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK});\n"
        f"DO $empty$ BEGIN IF to_regnamespace($name${namespace}$name$) IS NULL "
        f"THEN CREATE SCHEMA {namespace}; END IF; "
        "IF EXISTS (SELECT FROM pg_class WHERE relkind IN ('r', 'p') "
        f"AND relnamespace = to_regnamespace($name${namespace}$name$)) "
        f"THEN RAISE EXCEPTION USING ERRCODE = '{NOT_EMPTY}'; END IF; END $empty$;\n"
    )


def _ending(backup: Backup, ending: list[str]) -> str:
    """Compares all tables with the manifest, changes what is to be changed, and commits."""
    manifest = backup.manifest
    settings = (
        f"search_path = {named(manifest.namespace)}",
        "TimeZone = 'UTC'",
        "DateStyle = 'ISO'",
        "IntervalStyle = 'postgres'",
        "bytea_output = 'hex'",
        "extra_float_digits = 1",
    )

    return "".join(
        [
            *(f"SET LOCAL {setting};\n" for setting in settings),
            comparison(manifest.namespace, manifest.tables, backup.pepper),
            *(f"{statement};\n" for statement in ending),
            "ANALYZE;\n",
            "COMMIT;\n",
        ]
    )


def _script(output: IO[bytes], major: int) -> Iterator[bytes]:
    first = output.read(_PREAMBLE_BYTES)
    yield first if major >= 17 else first.replace(_UNKNOWN_BEFORE_17, b"", 1)

    while chunk := output.read(CHUNK):
        yield chunk


class _Feeding:
    """Feeds the dump to a program in a thread: its output has to be read at the same time."""

    def __init__(self, backup: Backup, pipe: IO[bytes], progress: Progress) -> None:
        self._backup, self._pipe, self._progress = backup, pipe, progress
        self._failed: Exception | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def finish(self) -> None:
        """Raises ConfigurationError when not all of it was what was once written."""
        self._thread.join()
        if isinstance(self._failed, BrokenPipeError):
            return  # the program ended early, and says why
        if self._failed is not None:
            raise ConfigurationError(
                f"{self._backup.folder} is damaged, or its disk is. {_UNTOUCHED}"
            ) from self._failed

    def _run(self) -> None:
        try:
            for chunk in contents(self._backup):
                self._pipe.write(chunk)
                self._progress(len(chunk))
        except (OSError, ValueError, Damaged) as error:
            self._failed = error
        finally:
            try:
                self._pipe.close()
            except OSError as error:
                self._failed = self._failed or error


def contents(backup: Backup) -> Iterator[bytes]:
    """The dump as `pg_dump` wrote it. Raises Damaged, and OSError."""
    (name,) = backup.manifest.files
    with (backup.folder / name).open("rb") as file:
        if backup.key is not None:
            yield from backup.key.opened(file)
            return

        while chunk := file.read(CHUNK):
            yield chunk


def _refusal(error: str) -> str:
    state = error.rsplit(maxsplit=1)[-1] if error else ""
    if known := _REFUSALS.get(state):
        return known
    if not _SQLSTATE.fullmatch(state):
        return _LOST

    return f"Postgres refuses the backup ({state})."
