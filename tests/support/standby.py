"""A standby of a test's own Postgres, whose replay can be held."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import quote

import asyncpg

from storage.connecting.postgres import connect
from tests.support.servers import Postgres

_ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C"}


@asynccontextmanager
async def standby_of(
    primary: Postgres,
) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """A connection to a standby that follows `primary`, until the end of the block."""
    folder = Path(tempfile.mkdtemp(prefix="agent-test-"))
    account = primary._account
    if account:
        os.chown(folder, account["user"], account["group"])
    data = str(folder / "data")
    copy = (
        "-D",
        data,
        "-h",
        str(primary.folder),
        "-U",
        "postgres",
        "-R",
        "-c",
        "fast",
    )
    subprocess.run(
        [primary._bin / "pg_basebackup", *copy],
        env=_ENVIRONMENT,
        cwd="/",
        check=True,
        **account,
    )
    options = (f"unix_socket_directories={folder}", "listen_addresses=")
    alike = ("max_connections=200", "fsync=off")
    flags = [part for one in (*options, *alike) for part in ("-c", one)]
    process = subprocess.Popen(
        [primary._bin / "postgres", "-D", data, *flags],
        env=_ENVIRONMENT,
        cwd="/",
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        **account,
    )
    url = f"postgresql://postgres@/postgres?host={quote(str(folder))}&port=5432"
    try:
        connection = await _answering(url)
        yield connection
        await connection.close()
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)


async def _answering(url: str) -> asyncpg.Connection[asyncpg.Record]:
    async with asyncio.timeout(30):
        while True:
            try:
                return await connect(url)
            except (OSError, asyncpg.CannotConnectNowError):
                await asyncio.sleep(0.1)
