"""All that operators set, as it is now: truth in Postgres, read through Redis, evaluated in
the process.

A turn sees the epoch in the round trip it makes anyway, the heartbeat reads it from
Postgres each second, and who makes a change publishes it. When no store answers, the last
known values go on, or those on disk, or the defaults.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import structlog
from redis.exceptions import RedisError

from agent.core.channel import ChannelSettings
from agent.core.errors import StoreUnavailable
from agent.ports import ControlUpdates
from storage.background import run_in_background
from storage.control import STATEMENTS, disk_copy, redis_copy
from storage.control.state import ControlSnapshot, ControlState, state, stored
from storage.postgres import Database
from storage.redis import RedisPipe

# how long a turn waits for flags when Postgres breaks off; the last known ones are good
# enough
PATIENCE_SECONDS = 0.5
REST_SECONDS = 1.0  # after a failure, stores are left alone for this long: the heartbeat asks again
LISTEN_SECONDS = 10.0

_NO_SETTINGS = ChannelSettings()

log = structlog.get_logger()


class RedisControl:
    """Implements agent.ports.Control and ControlUpdates.

    `file` is where a copy is kept for a start without stores.
    """

    def __init__(
        self, database: Database, pipe: RedisPipe, file: Path | None = None
    ) -> None:
        self._line = database.line(planner={})
        self._pipe = pipe
        self._file = file
        self._lock = asyncio.Lock()
        self._confirmed = False  # by a store, since this process runs
        self._rests_until = 0.0
        self.state = ControlState()
        self.stale = False  # no store answered when it was asked last
        self.watchers: list[
            Callable[[], None]
        ] = []  # called after `state` or `stale` changed

    async def start(self) -> None:
        """Reads everything once; without stores, what is on disk. Never raises for a store
        that is away.
        """
        await self._refresh(-1)
        if self._confirmed:
            return
        found = await redis_copy.read(self._pipe, at_least=0, lineage=None)
        if found is None and self._file is not None:
            found = await asyncio.to_thread(disk_copy.load, self._file)
        log.warning(
            "flags are the last known ones: Postgres does not answer",
            epoch=found.epoch if found else None,
        )
        if found is not None:
            self._take(state(found), stale=True)

    async def observe(self, epoch: int | None) -> None:
        """Never raises for a store that is away: the last known values stand."""
        if epoch is None:
            return
        if epoch == self.state.epoch and self._confirmed:
            self._take(self.state, stale=False)
            return
        seen = self.state
        async with self._lock:
            if (
                self.state is seen or epoch > self.state.epoch
            ):  # else somebody read it while we waited
                await self._refresh(epoch)

    async def miss(self) -> None:
        if not self._confirmed:  # stale since the start
            return
        found = await redis_copy.read(
            self._pipe, at_least=self.epoch, lineage=self.state.stored.lineage
        )
        if found is None:
            self._take(self.state, stale=True)
        else:
            await self._apply(found)

    @property
    def epoch(self) -> int:
        return self.state.epoch

    def channel(self, name: str) -> ChannelSettings:
        return self.state.channels.get(name, _NO_SETTINGS)

    async def _refresh(self, epoch: int) -> None:
        if time.monotonic() < self._rests_until:
            return
        found = None
        if self._confirmed and epoch > self.epoch:
            found = await redis_copy.read(
                self._pipe, at_least=epoch, lineage=self.state.stored.lineage
            )
        try:
            found = found or await self._truth(epoch)
        except (
            Exception
        ) as error:  # whatever it is: messages are answered by what is known
            if not isinstance(error, StoreUnavailable):
                log.exception(
                    "what operators set could not be read", error=type(error).__name__
                )
            self._rests_until = time.monotonic() + REST_SECONDS
            self._take(self.state, stale=True)
            return
        self._confirmed = True
        await self._apply(found)

    async def _truth(self, epoch: int) -> ControlSnapshot:
        """From Postgres, and from there into Redis. An epoch that it does not know any more
        means it was set back.
        """
        (row,) = await self._line.fetch(
            STATEMENTS["control_state"], retry=PATIENCE_SECONDS
        )
        truth = stored(*row)
        known = max(
            epoch, self.epoch if truth.lineage == self.state.stored.lineage else 0
        )
        await redis_copy.write(self._pipe, truth, replace_newer=known > truth.epoch)
        return truth

    async def _apply(self, found: ControlSnapshot) -> None:
        changed = found != self.state.stored
        self._take(state(found) if changed else self.state, stale=False)
        if changed and self._file is not None:
            try:
                await asyncio.to_thread(disk_copy.save, self._file, found)
            except OSError as error:
                log.warning(
                    "flags are not kept on disk",
                    file=str(self._file),
                    reason=type(error).__name__,
                )

    def _take(self, new: ControlState, *, stale: bool) -> None:
        if new is self.state and stale == self.stale:
            return
        self.state, self.stale = new, stale
        for watcher in self.watchers:
            watcher()


def follow_changes(
    pipe: RedisPipe, control: ControlUpdates
) -> AbstractAsyncContextManager[None]:
    """Inside, changes that are published are applied at once; without Redis the heartbeat
    sees them.
    """
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
        except (
            Exception
        ) as error:  # whatever it is: from now on changes would wait for the heartbeat
            log.exception(
                "news of changes were not followed", error=type(error).__name__
            )
            await asyncio.sleep(REST_SECONDS)


def _epoch(data: object) -> int:
    """Whatever else was published: look for yourself."""
    return int(data) if isinstance(data, bytes) and data.isdigit() else -1
