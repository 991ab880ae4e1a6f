"""Locks between the processes of this machine that use one embedded server.

The system frees them when a process dies.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import IO

from agent.core.errors import ConfigurationError
from storage.embedded.process import until

LOCK_SECONDS = 90.0
"""Longer than a first start in another process (START_SECONDS of the servers)."""


@contextlib.asynccontextmanager
async def turn(
    folder: Path,
    seconds: float = LOCK_SECONDS,
) -> AsyncIterator[None]:
    """Inside, no other process starts or stops the server. Raises ConfigurationError."""
    with (folder / "turn").open("ab") as file:
        try:
            async with asyncio.timeout(seconds):
                await until(lambda: lock(file, alone=True))
        except TimeoutError as error:
            raise ConfigurationError(
                "Another process has been starting, stopping or moving the server in "
                f"{folder} for {seconds:.0f} s: end it and start again."
            ) from error

        yield


@contextlib.asynccontextmanager
async def alone(folder: Path) -> AsyncIterator[None]:
    """Inside, no other process uses the server, and none starts it.

    Raises ConfigurationError when one uses it now.
    """
    with open_locks(folder) as users:
        async with turn(folder):
            if not lock(users, alone=True):
                raise ConfigurationError(
                    f"Another process uses the embedded store in {folder}: end it first."
                )

            yield


def open_locks(folder: Path) -> IO[bytes]:
    """The file that every user of the server holds as a shared lock."""
    with sentences(folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        (folder / "turn").touch(mode=0o600)
        return (folder / "users").open("ab")


def lock(file: IO[bytes], *, alone: bool) -> bool:
    """Takes a lock, if it is free. It ends with the file, and so with the process."""
    import fcntl

    kind = fcntl.LOCK_EX if alone else fcntl.LOCK_SH
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False

    return True


@contextlib.contextmanager
def sentences(folder: Path) -> Iterator[None]:
    """Turns errors of the file system into a sentence that names the setting."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ConfigurationError(
            f"{folder} cannot be used ({reason}): set AGENT_HOME to a folder that this "
            "user can write to, with room on its disk."
        ) from error
