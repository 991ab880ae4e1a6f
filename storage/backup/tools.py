"""Postgres' own programs (`pg_dump`, `pg_restore`, `psql`): where they are, and how to run them."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, TypeVar

from agent.core.errors import ConfigurationError
from agent.core.text import visible
from storage.connecting.postgres_url import PostgresUrl, read_postgres_url
from storage.embedded.binaries import INSTALLED, WHEEL
from storage.embedded.process import environment, package_folder

PROGRAMS = ("pg_dump", "pg_restore", "psql")
CHUNK = 1 << 20
"""Bytes that are read, sealed and written at once."""

_END_SECONDS = 10.0

Result = TypeVar("Result")


def find_tools(at_least: int) -> tuple[Path, int]:
    """The folder of the oldest programs that are new enough, and their major version.

    A server's own version reads and writes it best. Raises ConfigurationError when there is none.
    """
    found = {folder: versions(folder) for folder in folders()}
    usable = sorted(
        (min(by_name.values()), folder) for folder, by_name in found.items()
    )
    for major, folder in usable:
        if major >= at_least:
            return folder, major

    raise ConfigurationError(
        f"{_lacking(found, at_least)}: install Postgres' client programs of version "
        f'{at_least} or later, or run `pip install "simple-ai-agent[embedded]"`.'
    )


def _lacking(found: Mapping[Path, Mapping[str, int]], at_least: int) -> str:
    """Which program is missing or too old, where the least is."""
    if not found:
        return "There is no pg_dump on this machine"

    folder, by_name = min(
        found.items(),
        key=lambda one: sum(major < at_least for major in one[1].values()),
    )
    name, major = next(one for one in by_name.items() if one[1] < at_least)
    if major:
        return f"{name} {major} is older than what Postgres {at_least} needs"
    if os.access(folder / name, os.X_OK):
        return f"{name} in {folder} does not run"

    return f"There is no {name} in {folder}"


def folders() -> Iterator[Path]:
    """Every folder of this machine that has one of the programs."""
    wheel = package_folder(WHEEL)
    candidates = [wheel / "pginstall" / "bin"] if wheel else []
    candidates += [found for name in INSTALLED for found in Path("/").glob(name[1:])]
    candidates += [
        Path(found).parent for found in map(shutil.which, PROGRAMS) if found
    ]

    for folder in candidates:
        if any(os.access(folder / name, os.X_OK) for name in PROGRAMS):
            yield folder


def versions(folder: Path) -> dict[str, int]:
    """The major version of each program there; 0 where it is missing or does not run."""
    return {name: _version(folder / name) for name in PROGRAMS}


def _version(program: Path) -> int:
    try:
        finished = subprocess.run(  # noqa: S603 - a program that was looked up
            [str(program), "--version"],
            capture_output=True,
            text=True,
            env=environment(),
            timeout=_END_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return 0

    digits = re.search(r"\d+", finished.stdout)

    return int(digits.group()) if digits else 0


def surroundings(url: str) -> dict[str, str]:
    """The environment in which a program reaches this database as the agent does.

    A command line could be read by everybody on the machine, and a URL holds a password.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if name == "HOME" or name.startswith("PG")
    }

    return {**environment(), **kept, **_as_variables(read_postgres_url(url))}


def _as_variables(where: PostgresUrl) -> dict[str, str]:
    hosts = [host for host, _ in where.servers]
    ports = [str(port) for _, port in where.servers]
    root = "system" if where.system_roots else where.rest.get("sslrootcert")
    given: Mapping[str, str | None] = {
        "PGHOST": ",".join(hosts),
        "PGPORT": ",".join(ports),
        "PGUSER": where.user,
        "PGPASSWORD": where.password,
        "PGPASSFILE": str(where.passfile) if where.passfile else None,
        "PGDATABASE": where.database,
        "PGTARGETSESSIONATTRS": where.target,
        "PGSSLMODE": where.sslmode,
        "PGSSLROOTCERT": root,
        "PGSSLCERT": where.rest.get("sslcert"),
        "PGSSLKEY": where.rest.get("sslkey"),
        "PGSERVICE": where.rest.get("service"),
        "PGOPTIONS": where.settings.get("options"),
        "PGAPPNAME": "simple-ai-agent backup",
        "PGCONNECT_TIMEOUT": str(round(where.connect_seconds)),
    }

    return {name: value for name, value in given.items() if value}


class Programs:
    """The programs of one job. They end with it, and no pipe of one keeps another alive."""

    def __init__(self) -> None:
        self._running: list[subprocess.Popen[bytes]] = []
        self._killed = False

    def start(
        self,
        command: Sequence[str],
        variables: Mapping[str, str],
        errors: IO[bytes],
        *,
        stdin: int | IO[bytes] = subprocess.DEVNULL,
        stdout: int | IO[bytes] = subprocess.PIPE,
    ) -> subprocess.Popen[bytes]:
        """Starts one. It ends when this process dies: nothing then reads or writes its pipes."""
        process = subprocess.Popen(  # noqa: S603 - a program that was looked up
            command, stdin=stdin, stdout=stdout, stderr=errors, env=dict(variables)
        )
        self._running.append(process)
        if self._killed:
            process.kill()

        return process

    def kill(self) -> None:
        """Ends all of them at once, also those that are started later."""
        self._killed = True
        for process in self._running:
            with suppress(OSError):
                process.kill()

    def close(self) -> None:
        """Nothing stays: neither a process nor a pipe."""
        self.kill()
        for process in self._running:
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with suppress(OSError):
                        pipe.close()
            process.wait()


async def run_programs(work: Callable[[Programs], Result]) -> Result:
    """Does the work in a thread, beside the event loop. Cancelled, it ends its programs."""
    programs = Programs()

    def job() -> Result:
        try:
            return work(programs)
        finally:
            programs.close()

    future = asyncio.get_running_loop().run_in_executor(None, job)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        programs.kill()
        await asyncio.wait([future])
        with suppress(Exception):
            future.result()
        raise


def error_file() -> Any:
    """Where a program writes its errors: a file, since nobody reads a pipe meanwhile."""
    return tempfile.TemporaryFile()


def last_error(errors: IO[bytes]) -> str:
    """The line of a program's errors that says why; "" where it said nothing."""
    errors.seek(0)
    lines = errors.read(CHUNK).decode(errors="replace").splitlines()
    named = [line for line in lines if "error:" in line or "ERROR:" in line]
    chosen = (named or lines or [""])[0]

    return visible(chosen.rpartition("error:")[2].strip().rstrip("."))[:300]
