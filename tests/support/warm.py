"""Runs `agent …` in a fork of a process that has imported it: importing takes longer than
most commands do.

The fork has its own arguments, environment, folder and standard streams, and ends with its
own exit status.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import json
import os
import pkgutil
import random
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import NoReturn

READY = b"ready\n"


class Warm:
    """The process that has imported everything.

    It ends with the process that started it, or at `close`.
    """

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="agent-test-")
        self._path = f"{self._folder.name}/warm.sock"
        command = [sys.executable, "-m", "tests.support.warm", self._path]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

        assert self._process.stdout is not None

        if self._process.stdout.readline() != READY:
            raise RuntimeError("The process that runs commands did not start.")

    def close(self) -> None:
        """Takes no more commands."""
        self._process.communicate()
        self._folder.cleanup()

    async def run(
        self,
        arguments: Sequence[str],
        lines: bytes,
        folder: Path,
        environment: Mapping[str, str],
        seconds: float,
        *,
        on_terminal: bool = False,
    ) -> tuple[int, bytes, bytes]:
        """Exit status, output and errors. Raises TimeoutError after so many seconds.

        `on_terminal`: standard output is one, as wide as COLUMNS says.
        """
        output = _Terminal if on_terminal else _File
        return await asyncio.to_thread(
            self._run, arguments, lines, folder, environment, seconds, output
        )

    def _run(
        self,
        arguments: Sequence[str],
        lines: bytes,
        folder: Path,
        environment: Mapping[str, str],
        seconds: float,
        output: type[_File | _Terminal],
    ) -> tuple[int, bytes, bytes]:
        order = json.dumps(
            {
                "arguments": arguments,
                "folder": str(folder),
                "environment": dict(environment),
            }
        )
        read, write = os.pipe()
        os.write(write, lines)
        os.close(write)

        with (
            socket.socket(socket.AF_UNIX) as connection,
            os.fdopen(read, "rb") as standard_input,
            closing(output()) as out,
            closing(_File()) as err,
        ):
            connection.settimeout(seconds)
            connection.connect(self._path)
            socket.send_fds(
                connection,
                [order.encode() + b"\n"],
                [standard_input.fileno(), out.fileno(), err.fileno()],
            )
            status = int(connection.recv(100))

            return status, out.content(), err.content()


class _File:
    """Keeps what is written to it."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115

    def fileno(self) -> int:
        return self._file.fileno()

    def content(self) -> bytes:
        return os.pread(self.fileno(), os.fstat(self.fileno()).st_size, 0)

    def close(self) -> None:
        self._file.close()


class _Terminal:
    """Shows what is written to it, to a thread that keeps it."""

    def __init__(self) -> None:
        self._screen, self._file = os.openpty()
        self._shown: list[bytes] = []
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()

    def fileno(self) -> int:
        return self._file

    def content(self) -> bytes:
        os.close(self._file)
        self._file = -1
        self._reading.join(timeout=5)

        return b"".join(self._shown).replace(b"\r\n", b"\n")

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
        self._reading.join(timeout=5)
        os.close(self._screen)

    def _read(self) -> None:
        with suppress(OSError):  # how a terminal ends on Linux
            while piece := os.read(self._screen, 65536):
                self._shown.append(piece)


def main(path: str) -> None:
    """Serves commands until standard input is closed."""
    for name in ("agent", "storage"):
        package = importlib.import_module(name)
        for module in pkgutil.walk_packages(package.__path__, f"{name}."):
            importlib.import_module(module.name)

    gc.freeze()
    # nothing waits for the forks that serve one command
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        os.write(sys.stdout.fileno(), READY)

        while listener in select.select([listener, sys.stdin], [], [])[0]:
            connection, _ = listener.accept()
            if os.fork() == 0:
                _serve(connection)
            connection.close()


def _serve(connection: socket.socket) -> NoReturn:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    order, streams, _, _ = socket.recv_fds(connection, 65536, 3)

    while not order.endswith(b"\n"):
        order += connection.recv(65536)

    child = os.fork()

    if child == 0:
        connection.close()
        _become(streams=streams, **json.loads(order))

    _, status = os.waitpid(child, 0)
    connection.sendall(str(os.waitstatus_to_exitcode(status)).encode())
    os._exit(0)


def _become(
    arguments: list[str],
    folder: str,
    environment: dict[str, str],
    streams: list[int],
) -> NoReturn:
    """Runs `agent …` as if this process had been started with it, and ends."""
    from agent.cli.main import main as agent

    for number, stream in enumerate(streams):
        os.dup2(stream, number)

    os.closerange(3, max(streams) + 1)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    random.seed()
    sys.argv = ["agent", *arguments]
    # otherwise its messages call it `python -m tests.support.warm`
    sys.modules["__main__"].__package__ = None
    status = 0

    try:
        agent()
    except SystemExit as end:
        status = int(end.code or 0)
    except BaseException:
        traceback.print_exc()
        status = 1

    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    main(sys.argv[1])
