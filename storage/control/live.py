"""All that operators set, as it is now: truth in Postgres, read through Redis, evaluated in
the process.

A turn sees the epoch in the round trip it makes anyway. The heartbeat reads it from
Postgres each second, and every change publishes it. When no store answers, the last known
values stay in force, else those on disk, else the defaults.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from contextvars import Context
from pathlib import Path

import structlog
from redis.exceptions import RedisError

from agent.control.uses import FlagUses
from agent.core.background import run_in_background
from agent.core.channel import ChannelSettings
from agent.core.errors import StoreUnavailable
from agent.ports import ControlUpdates
from storage.control import STATEMENTS, disk_copy, redis_copy
from storage.control.state import ControlSnapshot, ControlState, state, stored
from storage.postgres import Database
from storage.redis import RedisPipe

PATIENCE_SECONDS = 0.5
"""How long a turn waits for flags while Postgres is away; the last known ones will do."""

REST_SECONDS = 1.0
"""Pause after a failure before a store is asked again. The heartbeat asks each second."""

LISTEN_SECONDS = 10.0
"""How long one wait for published changes lasts."""

_NO_SETTINGS = ChannelSettings()

log = structlog.get_logger()


class RedisControl:
    """Implements agent.ports.Control and ControlUpdates.

    `file` holds a copy for a start without stores.
    """

    def __init__(
        self,
        database: Database,
        pipe: RedisPipe,
        file: Path | None = None,
        uses: FlagUses | None = None,
    ) -> None:
        self._line = database.line(planner={})
        self._pipe = pipe
        self._file = file
        self._read: asyncio.Task[None] | None = None
        self._next_read: asyncio.Task[None] | None = None
        self._wanted = -1  # the newest epoch that the next read is to show
        self._confirmed = False  # by a store, since this process started
        self._rests_until = 0.0
        self._problem = "They could not be read."
        self.state = ControlState()
        self.stale = False
        """No store answered when one was asked last."""
        self.watchers: list[Callable[[], None]] = []
        """Called after `state` or `stale` changed."""
        self.uses = uses or FlagUses()

    async def start(self) -> None:
        """Reads everything once; without stores, from the disk.

        Never raises for a store that is away.
        """
        await self._refresh(-1)
        if self._confirmed:
            return

        found = await redis_copy.read(self._pipe, at_least=0, lineage=None)
        if found is None and self._file is not None:
            found = await asyncio.to_thread(disk_copy.load, self._file)

        log.warning(
            f"flags are the last known ones: {self._problem}",
            epoch=found.epoch if found else None,
        )
        if found is not None:
            self._take(state(found), stale=True)

    async def observe(self, epoch: int | None) -> None:
        """Never raises for a store that is away: the last known values stay in force."""
        if epoch is None:
            return
        if epoch == self.state.epoch and self._confirmed:
            self._take(self.state, stale=False)
            return

        # A read that begins from now on shows what was seen here. A crowd that arrives after
        # Redis was emptied shares it, instead of each reading for itself.
        self._wanted = max(self._wanted, epoch)
        if self._next_read is None:
            read = self._read_after(self._read, self.state)
            self._next_read = asyncio.create_task(read, context=Context())

        await asyncio.shield(self._next_read)

    async def _read_after(
        self,
        current: asyncio.Task[None] | None,
        seen: ControlState,
    ) -> None:
        """Waits for the read under way, which may show too little, and reads then."""
        if current is not None and not current.done():
            await asyncio.wait({current})

        self._read, self._next_read = self._next_read, None
        wanted, self._wanted = self._wanted, -1
        read_meanwhile = self.state is not seen and wanted <= self.state.epoch
        if not read_meanwhile:
            await self._refresh(wanted)

    async def miss(self) -> None:
        if not self._confirmed:  # stale since the start
            return

        found = await self._copied(self.epoch)
        if found is None:
            self._take(self.state, stale=True)
        else:
            await self._apply(found)

    @property
    def epoch(self) -> int:
        return self.state.epoch

    @property
    def lineage(self) -> str:
        """Names the database that this was read from."""
        return self.state.stored.lineage

    def channel(self, name: str) -> ChannelSettings:
        return self.state.channels.get(name, _NO_SETTINGS)

    async def _refresh(self, epoch: int) -> None:
        if time.monotonic() < self._rests_until:
            return

        newer = self._confirmed and epoch > self.epoch
        found = await self._copied(epoch) if newer else None

        try:
            found = found or await self._truth(epoch)
        # whatever it is: messages are answered by what is known
        except Exception as error:
            if isinstance(error, StoreUnavailable):
                self._problem = error.problem
            else:
                log.exception(
                    "what operators set could not be read", error=type(error).__name__
                )
            self._rests_until = time.monotonic() + REST_SECONDS
            self._take(self.state, stale=True)
            return

        self._confirmed = True
        await self._apply(found)

    async def _copied(self, at_least: int) -> ControlSnapshot | None:
        """What Redis holds of this database, if it is at this epoch or a later one."""
        lineage = self.state.stored.lineage

        return await redis_copy.read(self._pipe, at_least=at_least, lineage=lineage)

    async def _truth(self, epoch: int) -> ControlSnapshot:
        """Reads Postgres and copies it into Redis.

        If Postgres no longer knows a later epoch that was seen, it was set back.
        """
        sql = STATEMENTS["control_state"]
        (row,) = await self._line.fetch(sql, retry=PATIENCE_SECONDS)
        truth = stored(*row)

        same_database = truth.lineage == self.state.stored.lineage
        known = max(epoch, self.epoch if same_database else 0)
        await redis_copy.write(self._pipe, truth, replace_newer=known > truth.epoch)

        return truth

    async def _apply(self, found: ControlSnapshot) -> None:
        if found == self.state.stored:
            self._take(self.state, stale=False)
            return

        self._take(state(found), stale=False)
        if self._file is not None:
            await _save(self._file, found)

    def _take(self, new: ControlState, *, stale: bool) -> None:
        if new is self.state and stale == self.stale:
            return

        self.state, self.stale = new, stale
        for watcher in self.watchers:
            watcher()


async def _save(file: Path, found: ControlSnapshot) -> None:
    try:
        await asyncio.to_thread(disk_copy.save, file, found)
    except OSError as error:
        log.warning(
            "flags are not kept on disk", file=str(file), reason=type(error).__name__
        )


def follow_changes(
    pipe: RedisPipe,
    control: ControlUpdates,
) -> AbstractAsyncContextManager[None]:
    """Inside, published changes are applied at once; without Redis the heartbeat sees them."""
    return run_in_background(_follow, pipe, control)


async def _follow(pipe: RedisPipe, control: ControlUpdates) -> None:
    while True:
        try:
            async with pipe.client.pubsub(ignore_subscribe_messages=True) as news:
                await news.subscribe(redis_copy.NEWS)
                while True:
                    message = await news.get_message(timeout=LISTEN_SECONDS)
                    if message is not None:
                        await control.observe(_epoch(message["data"]))
        except (RedisError, OSError):
            await asyncio.sleep(REST_SECONDS)
        # whatever it is: if this ended, changes would wait for the heartbeat
        except Exception as error:
            log.exception(
                "news of changes were not followed", error=type(error).__name__
            )
            await asyncio.sleep(REST_SECONDS)


def _epoch(data: object) -> int:
    """The published epoch; -1, which means "read it", for anything else."""
    return int(data) if isinstance(data, bytes) and data.isdigit() else -1
