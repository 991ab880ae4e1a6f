"""A line on loopback between an agent and a server that can be cut, silenced, slowed, or
lose answers.
"""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

CHUNK = 65_536

BACK_OFF = 0.5
"""TCP sends again after pauses that double (RFC 6298, 5.5): half of the time that was
waited, on the average.
"""

_REQUEST = re.compile(rb"[A-Z]+ /")

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Target = Callable[[], Awaitable[Streams]]
"""Opens a connection to the server behind the line."""


def by_socket(path: Path) -> Target:
    """A server on a unix socket."""
    return lambda: asyncio.open_unix_connection(path)


def by_port(port: int) -> Target:
    """A server on loopback."""
    return lambda: asyncio.open_connection("127.0.0.1", port)


@dataclass(frozen=True)
class Losses:
    """Answers to calls like `writes` get lost with this chance: the server did it, the
    caller never hears.
    """

    writes: re.Pattern[bytes]
    chance: float
    dice: random.Random

    def strike(self) -> bool:
        """Whether this answer gets lost."""
        return self.dice.random() < self.chance


@dataclass(eq=False)
class Link:
    """Connections to `port` lead to the server. Use `linked`."""

    target: Target
    port: int = 0
    delay: float = 0.0  # seconds that each piece of data takes
    losses: Losses | None = None
    lost: int = 0  # answers so far
    _is_cut: bool = False
    _flows: asyncio.Event = field(default_factory=asyncio.Event)
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def cut(self) -> None:
        """Every connection breaks, and new ones break at once."""
        self._is_cut = True
        self._abort()

    def silence(self) -> None:
        """A black hole: connections stay open, nothing passes. What was sent arrives some
        time after `heal`.
        """
        self._flows.clear()

    def heal(self) -> None:
        """All is well again."""
        self._is_cut = False
        self.delay = 0.0
        self.losses = None
        self._flows.set()

    def connected(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """A new connection of a client."""
        if self._is_cut:
            writer.transport.abort()
            return

        task = asyncio.get_running_loop().create_task(self._serve((reader, writer)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def aclose(self) -> None:
        """Ends all connections."""
        self._abort()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, client: Streams) -> None:
        try:
            server = await self.target()
        except OSError:
            client[1].transport.abort()
            return

        writers = {client[1], server[1]}
        self._writers |= writers
        try:
            await self._carry(client, server)
        finally:
            self._writers -= writers
            for writer in writers:
                writer.close()  # what was written before still arrives

    async def _carry(self, client: Streams, server: Streams) -> None:
        """Returns when one side has ended."""
        call = _Call()
        there = asyncio.create_task(self._pump(client[0], server[1], call.sent))
        back = asyncio.create_task(
            self._pump(server[0], client[1], self._answered(call))
        )
        try:
            await asyncio.wait({there, back}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            there.cancel()
            back.cancel()
            await asyncio.gather(there, back, return_exceptions=True)

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        passes: Callable[[bytes], bool],
    ) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(CHUNK):
                if self.delay:
                    await asyncio.sleep(self.delay)
                await self._opened()
                if not passes(data):
                    return
                writer.write(data)
                await writer.drain()

    async def _opened(self) -> None:
        """Returns when data passes: what a black hole held comes the later, the longer it
        was held.
        """
        if self._flows.is_set():
            return

        began = time.monotonic()
        await self._flows.wait()
        await asyncio.sleep(BACK_OFF * (time.monotonic() - began))

    def _answered(self, call: _Call) -> Callable[[bytes], bool]:
        def passes(data: bytes) -> bool:
            losses = self.losses
            if (
                losses is None
                or not call.begins_answer(losses.writes)
                or not losses.strike()
            ):
                return True

            self.lost += 1
            return False

        return passes

    def _abort(self) -> None:
        for writer in list(self._writers):
            writer.transport.abort()


@dataclass
class _Call:
    """The last call of one connection: HTTP sends one after the other."""

    _head: bytes = b""

    def sent(self, data: bytes) -> bool:
        if _REQUEST.match(data):  # else a body that follows its head
            self._head = data
        return True

    def begins_answer(self, kind: re.Pattern[bytes]) -> bool:
        """Whether this is the first piece of an answer to such a call."""
        head, self._head = self._head, b""
        return kind.match(head) is not None


@asynccontextmanager
async def linked(target: Target) -> AsyncIterator[Link]:
    """A line to this server, well at first, until the end of the block."""
    link = Link(target)
    link.heal()
    listener = await asyncio.start_server(link.connected, "127.0.0.1", 0)
    link.port = listener.sockets[0].getsockname()[1]
    try:
        yield link
    finally:
        listener.close()
        await link.aclose()
        await listener.wait_closed()
