"""Exports are made one at a time, so that many at once take nothing away from turns."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from typing import TypeVar
from uuid import UUID
from weakref import WeakKeyDictionary

from agent.core.errors import Conflict, Refused
from storage.connecting.connection import Connection
from storage.connecting.gate import passed
from storage.lifecycle import STATEMENTS
from storage.lifecycle.export.kinds import KINDS, Kind
from storage.lifecycle.export.package import Bound, ExportFile, Package
from storage.postgres import Database
from storage.transaction import transaction

PAGE = 200
"""Rows in memory at a time."""

WAIT_SECONDS = 30.0
"""How long an export waits for the one before it."""

WHOLE = Bound()

CHAT_BYTES = 30_000_000
"""Of a file for a chat at most: it is sent from memory."""

SENT_AT_ONCE = 2
"""Files on their way to chats at a time, each in memory. No other export waits for them."""

BROWSER = Bound(size=200_000_000)
"""For the console and the API."""

UNDER_WAY = (
    "This export is being made already; wait for it, or try again in a few minutes."
)
BUSY = "Another export is being made; try again in a few minutes."
NO_ROOM = "The export cannot be written here; its operator must make room in the temporary folder."
ERASED = "An erasure of this person began; nothing is handed over."

Made = TypeVar("Made")


class ExportQueue:
    """Who waits for an export in this event loop, and the thread that packs."""

    def __init__(self) -> None:
        self._packing = asyncio.Semaphore()
        self._sending = asyncio.Semaphore(SENT_AT_ONCE)
        self._people: set[UUID] = set()
        self.thread = ThreadPoolExecutor(1, "export")

    @asynccontextmanager
    async def alone(self, person: UUID) -> AsyncIterator[None]:
        """Raises Refused when the person has one under way, or another takes too long."""
        if person in self._people:
            raise Refused(UNDER_WAY)

        self._people.add(person)
        try:
            async with passed(self._packing, WAIT_SECONDS, Refused(BUSY)):
                yield
        finally:
            self._people.discard(person)

    def sending(self) -> AbstractAsyncContextManager[None]:
        """Raises Refused when the files before take too long."""
        return passed(self._sending, WAIT_SECONDS, Refused(BUSY))

    async def pack(self, work: Callable[..., Made], *values: object) -> Made:
        """Beside the event loop. Raises Refused when the disk takes no more."""
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self.thread, work, *values)
        except OSError as error:
            raise Refused(NO_ROOM) from error


_queues: WeakKeyDictionary[asyncio.AbstractEventLoop, ExportQueue] = (
    WeakKeyDictionary()
)


def export_queue() -> ExportQueue:
    """The one of this event loop."""
    return _queues.setdefault(asyncio.get_running_loop(), ExportQueue())


async def exported(
    database: Database, person: UUID, bound: Bound = WHOLE
) -> ExportFile:
    """All that is kept of a person, packed. The caller closes the file.

    Raises Refused, with a sentence for the person, Conflict when an erasure began, and
    StoreUnavailable.
    """
    queue = export_queue()
    async with queue.alone(person):
        return await _packed(queue, database, person, bound)


async def _packed(
    queue: ExportQueue, database: Database, person: UUID, bound: Bound
) -> ExportFile:
    package = Package(person, bound)
    try:
        async with transaction(database) as connection:
            for kind in KINDS:
                await _read(queue, connection, kind, person, package)

        file = await queue.pack(package.finish)
        async with transaction(database) as connection:
            await _refuse_if_erased(connection, person)

        return file
    except BaseException:
        # after what the thread is packing now; nobody waits for it
        queue.thread.submit(package.close)
        raise


async def _read(
    queue: ExportQueue,
    connection: Connection,
    kind: Kind,
    person: UUID,
    package: Package,
) -> None:
    values = {"person": person, "name": str(person), "scope": f"person:{person}"}
    await queue.pack(package.begin, kind)

    pages = connection.pages(kind.statement, values, PAGE)
    async with aclosing(pages) as read:
        async for rows in read:
            if not await queue.pack(package.add, rows):
                break

    await queue.pack(package.end)


async def _refuse_if_erased(connection: Connection, person: UUID) -> None:
    """What was read before an erasure began must not outlive it. Raises Conflict."""
    statement = STATEMENTS["is_kept"]
    if not await connection.scalar(statement, {"person": person}):
        raise Conflict(ERASED)
