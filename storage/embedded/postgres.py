"""Postgres in a folder: the same Postgres as on a server, fsync on, reached over a unix
socket only.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

import asyncpg

from agent.core.errors import ConfigurationError
from storage.embedded.binaries import account_for, reachable
from storage.embedded.cluster import (
    DISK_FULL,
    NAME,
    START_SECONDS,
    disk_is_full,
    make_cluster,
    reason_of,
    seen_by_server,
)
from storage.embedded.made_by import programs_for
from storage.embedded.process import (
    POLL_SECONDS,
    end,
    launch,
    let_go,
    remove_link,
    short_path,
    until,
)
from storage.embedded.replacing import settle

STOP_SECONDS = 20.0
ANSWER_SECONDS = 5.0
RETRY_SECONDS = 0.1

SETTINGS = {
    "listen_addresses": "",
    "port": "5432",
    # the data folder: relative, so that its path may be long
    "unix_socket_directories": ".",
    "unix_socket_permissions": "0700",
    # compiling takes longer than any statement here
    "jit": "off",
    # the log is about the server's own life, never about what statements or rows hold
    "log_min_messages": "log",
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_checkpoints": "off",
}


class EmbeddedPostgres:
    """A Postgres whose cluster is `folder/data`; it is made if it is missing.

    `binaries`: the folder of its programs; else those that fit the cluster are found.
    """

    def __init__(self, folder: Path, binaries: Path | None = None) -> None:
        self.folder = folder
        self._binaries = binaries
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
        """A fast shutdown, which ends connections and writes a checkpoint.

        One that does not answer, such as for lack of disk space, would not get so far. It ends
        at once, and the next start recovers.
        """
        answers = await self._answers()
        pid = self._pid() if answers else None
        await self._hang_up()
        if self._process and self._process.poll() is None:
            how = signal.SIGINT if answers else signal.SIGQUIT
            await end(self._process, how, STOP_SECONDS)
        elif pid:  # another process started it, perhaps after ours had died
            with contextlib.suppress(TimeoutError, ProcessLookupError):
                os.kill(pid, signal.SIGINT)
                async with asyncio.timeout(STOP_SECONDS):
                    # the server removes the file last; a zombie's pid may stay
                    await until(lambda: self._pid() != pid)

        remove_link(self._short, self._data)

    async def _start(self) -> None:
        settle(self.folder)
        binaries = await asyncio.to_thread(self._reachable_programs)
        if not (self._data / "PG_VERSION").exists():
            await asyncio.to_thread(make_cluster, binaries, self.folder)

        while True:
            if await self._started(binaries):
                return
            await asyncio.sleep(RETRY_SECONDS)

    def _reachable_programs(self) -> Path:
        binaries = self._binaries or programs_for(self._data)

        return reachable(binaries, account_for(self._data))

    async def _started(self, binaries: Path) -> bool:
        """False: it is worth another try. Raises ConfigurationError when it is not."""
        if (
            self._process and self._process.poll() is None
        ):  # busy, or about to be gone
            return await self._answers()

        process = self._process = self._launched(binaries)
        try:
            while not await self._answers():
                if process.poll() is not None:
                    self._check_passing()
                    return False
                await asyncio.sleep(POLL_SECONDS)
        except BaseException:
            if process.poll() is None:
                process.send_signal(
                    signal.SIGQUIT
                )  # at once; the next start recovers
                process.wait(STOP_SECONDS)
            raise

        return True

    def _launched(self, binaries: Path) -> subprocess.Popen[bytes]:
        with seen_by_server(self._data) as (data, options):
            command = [str(binaries / "postgres"), "-D", data]
            for name, value in SETTINGS.items():
                command += ["-c", f"{name}={value}"]

            return launch(command, self.folder, **options)

    def _check_passing(self) -> None:
        """Raises ConfigurationError unless the reason why it ended passes by itself."""
        output = (self.folder / "log").read_text(errors="replace")
        if "pre-existing shared memory block" in output:
            return  # backends of a killed server are still leaving
        if 'lock file "' in output and '" already exists' in output:
            self._forget_stale_pid()
            return

        # a full disk leaves no room for the line that would say so
        reason = DISK_FULL if disk_is_full(self.folder) else reason_of(output)
        raise ConfigurationError(
            f"The embedded Postgres did not start: {reason} (see {self.folder / 'log'})."
        )

    def _forget_stale_pid(self) -> None:
        """Removes the lock files when their process is no Postgres.

        After a restart of the machine or its container, the number may be another
        program's. A Postgres may be shutting down, so it is waited for. If backends of a
        killed one still live, the shared memory block stops the next server, not this file.
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
        """The process id of the server that runs, or ran until it was killed."""
        try:
            return int((self._data / "postmaster.pid").read_text().split("\n")[0])
        except (FileNotFoundError, ValueError):
            return None


def _runs_postgres(pid: int) -> bool:
    """Whether this process is a Postgres.

    A zombie (state Z: killed, but its parent has not asked for it yet) does not run.
    """
    try:
        if sys.platform == "linux":
            name, _, rest = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")
        else:
            command = ["/bin/ps", "-p", str(pid), "-o", "stat=,comm="]
            listed = subprocess.run(  # noqa: S603
                command,
                capture_output=True,
                text=True,
                timeout=ANSWER_SECONDS,
                check=False,
            )
            rest = name = listed.stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        return False

    return "postgres" in name and not rest.startswith("Z")
