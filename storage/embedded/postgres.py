"""Postgres in a folder: the same Postgres as on a server, fsync on, reached over a unix
socket only.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import asyncpg

from agent.core.errors import ConfigurationError
from storage.embedded.binaries import (
    account_for,
    locale_options,
    postgres_folder,
    reachable,
    version_of,
)
from storage.embedded.process import (
    POLL_SECONDS,
    end,
    environment,
    launch,
    let_go,
    remove_link,
    short_path,
    until,
)

NAME = "agent"  # of the database and of its owner
START_SECONDS = 60.0
STOP_SECONDS = 20.0
ANSWER_SECONDS = 5.0
RETRY_SECONDS = 0.1

SETTINGS = {
    "listen_addresses": "",
    "port": "5432",
    "unix_socket_directories": ".",  # the data folder: relative, so that its path may be long
    "unix_socket_permissions": "0700",
    "jit": "off",  # compiling takes longer than any statement here
    "log_min_messages": "log",  # the log tells of the server's own life …
    "log_min_error_statement": "panic",  # … never what statements or rows hold
    "log_error_verbosity": "terse",
    "log_checkpoints": "off",
}


class EmbeddedPostgres:
    """A Postgres whose cluster is `folder/data`, made there when missing."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._data = folder / "data"
        self._short = self._data
        self._version = ""
        self._process: subprocess.Popen[bytes] | None = None
        self._wire: asyncpg.Connection | None = None

    @property
    def url(self) -> str:
        """Where it is. Known once it runs."""
        return f"postgresql://{NAME}@/{NAME}?host={quote(str(self._short))}&port={SETTINGS['port']}"

    @property
    def description(self) -> str:
        """What it is. Known once it runs."""
        return f"Postgres {self._version}, embedded for one machine, in {self.folder}"

    async def ensure(self) -> None:
        """Finds it running or starts it. Raises ConfigurationError."""
        self._short = short_path(self._data)
        try:
            async with asyncio.timeout(START_SECONDS):
                if not await self._answers():
                    await self._start()
        except TimeoutError as error:
            raise ConfigurationError(
                f"The embedded Postgres does not answer: end process {self._pid()} and start again "
                f"(see {self.folder / 'log'})."
            ) from error

    async def gone(self) -> None:
        """The open connection ends with the server."""
        lost = asyncio.Event()
        if self._wire and not self._wire.is_closed():
            self._wire.add_termination_listener(lambda _: lost.set())
            await lost.wait()

    async def leave(self) -> None:
        """Lets go of it; it runs on."""
        await self._hang_up()
        if self._process:
            let_go(self._process)

    async def stop(self) -> None:
        """SIGINT: a fast shutdown, which ends connections and writes a checkpoint."""
        pid = self._pid() if await self._answers() else None
        await self._hang_up()
        if self._process and self._process.poll() is None:
            await end(self._process, signal.SIGINT, STOP_SECONDS)
        elif pid:  # somebody else started it, perhaps after ours had died
            with contextlib.suppress(TimeoutError, ProcessLookupError):
                os.kill(pid, signal.SIGINT)
                async with asyncio.timeout(STOP_SECONDS):
                    await until(
                        lambda: self._pid() != pid
                    )  # the file goes last; a zombie's pid may stay
        remove_link(self._short, self._data)

    async def _start(self) -> None:
        binaries = await asyncio.to_thread(
            reachable, postgres_folder(), account_for(self._data)
        )
        if not (self._data / "PG_VERSION").exists():
            await asyncio.to_thread(_make_cluster, binaries, self.folder)
        while True:
            if await self._started(binaries):
                return
            await asyncio.sleep(RETRY_SECONDS)

    async def _started(self, binaries: Path) -> bool:
        """False: it is worth another try. Raises ConfigurationError when it is not."""
        if self._process and self._process.poll() is None:  # busy, or about to be gone
            return await self._answers()
        with _seen_by_server(self._data) as (data, options):
            command = [str(binaries / "postgres"), "-D", data]
            command += [
                part
                for name, value in SETTINGS.items()
                for part in ("-c", f"{name}={value}")
            ]
            self._process = launch(command, self.folder, **options)
        try:
            while not await self._answers():
                if self._process.poll() is not None:
                    return self._judge(binaries)
                await asyncio.sleep(POLL_SECONDS)
        except BaseException:
            if self._process.poll() is None:
                self._process.send_signal(
                    signal.SIGQUIT
                )  # at once; the next start recovers
                self._process.wait(STOP_SECONDS)
            raise
        return True

    def _judge(self, binaries: Path) -> bool:
        """Why it ended. False when that passes by itself."""
        said = (self.folder / "log").read_text(errors="replace")
        if (
            "pre-existing shared memory block" in said
        ):  # backends of a killed server are still leaving
            return False
        if 'lock file "' in said and '" already exists' in said:
            self._forget_stale_pid()
            return False
        made_by = (self._data / "PG_VERSION").read_text().strip()
        installed = version_of(binaries)
        if made_by != installed.split(".")[0]:
            raise ConfigurationError(
                f"{self._data} was made by Postgres {made_by}, and Postgres "
                f"{installed} is installed: "
                f"install {made_by}, or move the folder away to begin anew."
            )
        raise ConfigurationError(
            f"The embedded Postgres did not start: {_reason(said)} (see {self.folder / 'log'})."
        )

    def _forget_stale_pid(self) -> None:
        """After a restart of the machine, or of its container, the number may be another program's.

        One that is a Postgres is left alone: it may be shutting down, and is waited for.
        Should backends of a killed one still live, then the shared memory block stops the
        next, not this file.
        """
        pid = self._pid()
        if pid and not _runs_postgres(pid):
            for name in ("postmaster.pid", f".s.PGSQL.{SETTINGS['port']}.lock"):
                (self._data / name).unlink(missing_ok=True)

    async def _answers(self) -> bool:
        """Whether it takes statements. The connection stays, to notice when the server dies."""
        await self._hang_up()
        try:
            try:
                self._wire = await asyncpg.connect(self.url, timeout=ANSWER_SECONDS)
            except asyncpg.InvalidCatalogNameError:
                await self._create_database()
                self._wire = await asyncpg.connect(self.url, timeout=ANSWER_SECONDS)
        except (
            OSError,
            TimeoutError,
            asyncpg.PostgresConnectionError,
            asyncpg.CannotConnectNowError,
        ):
            return False
        except asyncpg.PostgresError as error:  # such as: too many connections
            raise ConfigurationError(
                f"The embedded Postgres in {self.folder} refuses: {error}."
            ) from error
        self._version = self._wire.get_settings().server_version.split()[0]
        return True

    async def _create_database(self) -> None:
        connection = await asyncpg.connect(
            self.url, database="postgres", timeout=ANSWER_SECONDS
        )
        try:
            await connection.execute(f"CREATE DATABASE {NAME}", timeout=START_SECONDS)
        finally:
            await connection.close(timeout=ANSWER_SECONDS)

    async def _hang_up(self) -> None:
        if self._wire:
            self._wire.terminate()
            self._wire = None

    def _pid(self) -> int | None:
        """Of the server that runs, or ran until it was killed."""
        try:
            return int((self._data / "postmaster.pid").read_text().split("\n")[0])
        except (FileNotFoundError, ValueError):
            return None


def _make_cluster(binaries: Path, folder: Path) -> None:
    """Beside its place, and moved there when finished: a half-made one never looks finished."""
    for half_made in folder.glob("new-*"):
        shutil.rmtree(half_made, ignore_errors=True)
    new = Path(tempfile.mkdtemp(prefix="new-", dir=folder))
    if account := account_for(new):
        os.chown(new, account.uid, account.gid)
    with _seen_by_server(new) as (data, options):
        command = [
            str(binaries / "initdb"),
            "-D",
            data,
            "-U",
            NAME,
            "-A",
            "trust",
            "-E",
            "UTF8",
        ]
        made = subprocess.run(  # noqa: S603
            [*command, *locale_options(binaries)],
            capture_output=True,
            text=True,
            errors="replace",
            env=environment(),
            timeout=START_SECONDS,
            check=False,
            **options,
        )
    if made.returncode:
        shutil.rmtree(new, ignore_errors=True)
        raise ConfigurationError(
            f"The embedded Postgres could not make {folder / 'data'}: {_reason(made.stderr)}."
        )
    _put_in_place(new, folder / "data")


def _put_in_place(new: Path, data: Path) -> None:
    try:
        new.rename(data)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        if (
            data / "PG_VERSION"
        ).exists():  # made meanwhile, after our turn was cut short
            shutil.rmtree(new)
            return
        raise ConfigurationError(
            f"{data} holds files but no Postgres cluster: move it away and start again."
        ) from error


@contextlib.contextmanager
def _seen_by_server(data: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The folder's name for a server process, and how to start that.

    Postgres refuses to run as root, and the account it then runs as may not pass the
    folders above (`/root`). On Linux it gets the folder as an open file, whose name leads
    there directly.
    """
    account = account_for(data)
    if account is None:
        yield str(data), {"cwd": "/"}
        return
    options = {
        "cwd": "/",
        "user": account.uid,
        "group": account.gid,
        "extra_groups": [],
    }
    if sys.platform != "linux":
        yield str(data), options
        return
    descriptor = os.open(data, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{descriptor}", {**options, "pass_fds": (descriptor,)}
    finally:
        os.close(descriptor)


def _reason(said: str) -> str:
    """The line that tells why, without its time and program."""
    if "No space left on device" in said:
        return "its disk is full; make room and start again"
    lines = [
        line.strip()
        for line in said.splitlines()
        if "FATAL:" in line or "error:" in line
    ]
    return (lines[0] if lines else "it said nothing").partition("FATAL:")[
        2
    ].strip() or "".join(lines[:1])


def _runs_postgres(pid: int) -> bool:
    """A killed one whose parent has not asked for it yet (a zombie, state Z) does not run
    any more.
    """
    try:
        if sys.platform == "linux":
            name, _, rest = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")
        else:
            command = ["/bin/ps", "-p", str(pid), "-o", "stat=,comm="]
            rest = name = subprocess.run(  # noqa: S603
                command,
                capture_output=True,
                text=True,
                timeout=ANSWER_SECONDS,
                check=False,
            ).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        return False
    return "postgres" in name and not rest.startswith("Z")
