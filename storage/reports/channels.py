"""What Redis remembers of channels, since it may be forgotten: events that no instance could
read in the last days, and whether the channels of each instance listen.
"""

from __future__ import annotations

import asyncio
from collections.abc import (
    Mapping,
    Sequence,
)
from typing import TYPE_CHECKING

import msgspec

from storage.connecting.redis_connection import mapping
from storage.redis import RedisPipe

if TYPE_CHECKING:
    from storage.reports.status import LiveInstance

KEPT_SECONDS = 2 * 86_400
"""From the last event of a channel on."""


TOLD_SECONDS = 20
"""An instance that says nothing for this long is not believed any more."""

States = Mapping[str, str]
"""By channel, why it takes no messages, as a sentence; "": it listens."""


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


def unreadable_sentence(
    kinds: Mapping[str, int],
) -> str:
    """What `unreadable_events` found, for people."""
    named = ", ".join(f"{kind} ({count})" for kind, count in sorted(kinds.items()))
    total = sum(kinds.values())

    return f"{total} events could not be read in the last two days: {named}."


def _key(
    channel: str,
) -> str:
    return f"unreadable:{channel}"


async def tell_states(
    pipe: RedisPipe,
    host: str,
    pid: int,
    states: States,
) -> None:
    """Nothing happens without Redis."""
    told = msgspec.json.encode(states).decode()
    await pipe.send(("SET", _states_key(host, pid), told, "EX", TOLD_SECONDS))


async def told_states(
    pipe: RedisPipe,
    instances: Sequence[LiveInstance],
) -> list[States | None]:
    """Of each of these instances; None: it said nothing lately, or Redis is away."""
    keys = [_states_key(one.host, one.pid) for one in instances]
    replies = await pipe.send(*(("GET", key) for key in keys)) if keys else None

    return [_read(reply) for reply in replies or [None] * len(keys)]


def _read(
    reply: object,
) -> States | None:
    if not isinstance(reply, (bytes, str)):
        return None
    try:
        return msgspec.json.decode(reply, type=dict[str, str])
    except msgspec.MsgspecError:  # of another version
        return None


def _states_key(
    host: str,
    pid: int,
) -> str:
    return f"channel-states:{host}:{pid}"
