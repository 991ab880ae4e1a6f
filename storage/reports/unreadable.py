"""Events that no instance could read, of the last days: in Redis, since they may be forgotten."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from storage.connecting.redis_connection import mapping
from storage.redis import RedisPipe

KEPT_SECONDS = 2 * 86_400
"""From the last event of a channel on."""


class RedisUnreadable:
    """Counts by channel and kind in the hash `unreadable:<channel>`. Nobody waits for it."""

    def __init__(
        self,
        pipe: RedisPipe,
    ) -> None:
        self._pipe = pipe
        self._sending: set[asyncio.Task[object]] = set()

    def note(
        self,
        channel: str,
        kind: str,
    ) -> None:
        """One more. Without Redis it is only in the log and in the metrics."""
        key = _key(channel)
        task: asyncio.Task[object] = asyncio.ensure_future(
            self._pipe.send(("HINCRBY", key, kind, 1), ("EXPIRE", key, KEPT_SECONDS))
        )
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)


async def unreadable_events(
    pipe: RedisPipe,
    channel: str,
) -> Mapping[str, int]:
    """How many of each kind lately; empty without Redis."""
    replies = await pipe.send(("HGETALL", _key(channel)))
    found = mapping(replies[0]) if replies else None

    return {kind.decode(): int(count) for kind, count in (found or {}).items()}


def _key(channel: str) -> str:
    return f"unreadable:{channel}"
