"""A Postgres for one job of this process, which ends with it."""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from agent.core.errors import ConfigurationError
from storage.backup.places import hidden_folder
from storage.embedded.process import environment

_WATCH = 'read -r _; kill -QUIT "$0"'
"""Reads until the pipe's other end, this process, is gone."""


@asynccontextmanager
async def scratch_postgres(parent: Path) -> AsyncIterator[str]:
    """The URL of an empty database in a server of its own. Raises ConfigurationError.

    The server ends also when this process is killed; its folder is removed by the next one.
    """
    with hidden_folder(parent) as folder:
        async with watched_postgres(folder) as url:
            yield url


@asynccontextmanager
async def watched_postgres(folder: Path) -> AsyncIterator[str]:
    """The same in a folder that stays. In the end the server has written all and stopped."""
    from storage.embedded.postgres import EmbeddedPostgres

    server = EmbeddedPostgres(folder)
    try:
        await server.ensure()
    except ConfigurationError as error:
        raise ConfigurationError(
            f"A Postgres on this machine is needed. {error.sentence}"
        ) from error

    watch = _watch(folder)
    try:
        yield server.url
    finally:
        try:
            await server.stop()
        finally:
            watch.kill()
            watch.communicate()


def _watch(folder: Path) -> subprocess.Popen[bytes]:
    pid = (folder / "data" / "postmaster.pid").read_text().split("\n")[0]

    return subprocess.Popen(  # noqa: S603 - a constant and a number
        ["/bin/sh", "-c", _WATCH, str(int(pid))],
        stdin=subprocess.PIPE,
        env=environment(),
        start_new_session=True,
    )
