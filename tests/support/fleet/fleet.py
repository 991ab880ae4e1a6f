"""Starts members, talks to them, and ends exactly those it started."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import asyncpg

from storage.postgres import connect
from tests.support.fleet.member import PLATFORM


class MemberGone(Exception):
    """The member ended before it told whether the message is durable."""


@dataclass(eq=False)
class Member:
    """One agent process."""

    pid: int
    writer: asyncio.StreamWriter
    pending: dict[int, asyncio.Future[bool]] = field(default_factory=dict)
    _ids: count[int] = field(default_factory=count)
    alive: bool = True

    async def deliver(self, chat: str, identifier: str, text: str) -> bool:
        """Whether the message is durable now. Raises MemberGone when nobody can tell."""
        if not self.alive:
            raise MemberGone

        delivery = next(self._ids)
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self.pending[delivery] = future
        message = {"delivery": delivery, "chat": chat, "id": identifier, "text": text}
        self.writer.write(json.dumps(message).encode() + b"\n")

        return await future

    def kill(self) -> None:
        self.signal(signal.SIGKILL)

    def freeze(self) -> None:
        self.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.signal(signal.SIGCONT)

    def signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def leave(self) -> None:
        """Ends its input: it drains and stops."""
        self.writer.close()

    def gone(self) -> None:
        self.alive = False
        for future in self.pending.values():
            if not future.done():
                future.set_exception(MemberGone())


@dataclass
class Fleet:
    """All members of one test."""

    database_url: str
    redis_url: str
    nursery: asyncio.subprocess.Process
    socket: Path
    probe: asyncpg.Connection[asyncpg.Record]
    members: list[Member] = field(default_factory=list)
    _arrivals: asyncio.Queue[tuple[str, Member]] = field(
        default_factory=asyncio.Queue
    )
    _names: count[int] = field(default_factory=count)

    async def spawn(
        self,
        *,
        hangs: bool = False,
        pause: float = 0.02,
        lease: float = 5.0,
        beat: float = 1.0,
        drain: float = 8.0,
    ) -> Member:
        """A new member, connected and ready."""
        spec = {
            "name": str(next(self._names)),
            "socket": str(self.socket),
            "database_url": self.database_url,
            "redis_url": self.redis_url,
            "hangs": hangs,
            "pause": pause,
            "lease": lease,
            "beat": beat,
            "drain": drain,
        }

        assert self.nursery.stdin is not None
        assert self.nursery.stdout is not None

        self.nursery.stdin.write(json.dumps(spec).encode() + b"\n")

        async with asyncio.timeout(30):
            await self.nursery.stdout.readline()
            _, member = await self._arrivals.get()

        return member

    async def meet(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        hello = json.loads(await reader.readline())
        member = Member(hello["pid"], writer)
        self.members.append(member)
        self._arrivals.put_nowait((hello["hello"], member))

        with suppress(ConnectionError):
            while line := await reader.readline():
                verdict: dict[str, Any] = json.loads(line)
                accepted = "accepted" in verdict
                future = member.pending.pop(
                    verdict["accepted" if accepted else "refused"]
                )
                if not future.done():
                    future.set_result(accepted)

        member.gone()
        writer.close()

    async def until(self, sql: str, *arguments: Any, deadline: float) -> None:
        """Returns once the query gives true; raises TimeoutError when it does not come true."""
        async with asyncio.timeout(deadline):
            while not await self.probe.fetchval(sql, *arguments):
                await self.probe.execute("SELECT pg_sleep(0.05)")

    async def settle(self, deadline: float) -> None:
        """Returns once every turn is closed."""
        await self.until(
            "SELECT NOT EXISTS (SELECT FROM turns WHERE state = 'open')",
            deadline=deadline,
        )


@asynccontextmanager
async def fleet(database_url: str, redis_url: str) -> AsyncIterator[Fleet]:
    probe = await connect(database_url)
    await probe.execute(PLATFORM)

    with tempfile.TemporaryDirectory() as folder:
        nursery = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.support.fleet.member",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        group = Fleet(database_url, redis_url, nursery, Path(folder) / "s", probe)
        server = await asyncio.start_unix_server(group.meet, group.socket)

        try:
            yield group
        finally:
            for member in group.members:
                if member.alive:
                    member.thaw()
                    member.kill()

            nursery.kill()
            await nursery.wait()
            server.close()
            await probe.close()
