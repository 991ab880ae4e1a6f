"""Who was answered lately: a sorted set by time for each channel, `active:<channel>`.

Redis alone knows it, and may forget it. So the figure is a sign of life, and no count to bill.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from redis.exceptions import ResponseError

from storage.connecting.redis_connection import Command
from storage.redis import RedisPipe

ACTIVE_SECONDS = 300
"""Somebody is active for this long after their last answer."""

NOTED_SECONDS = 10
"""Someone who goes on is noted again after this long, so the figure is that exact."""


def noted(channel: str, account: str, now: float) -> Sequence[Command]:
    """What a turn sends: this account is active; the others are no longer when their time is up.

    `now` is in seconds since 1970. The first reply is `mistaken` where the key is no such set.
    """
    key = _key(channel)

    return (
        ("ZADD", key, int(now), account),
        ("ZREMRANGEBYSCORE", key, "-inf", int(now) - ACTIVE_SECONDS),
        ("EXPIRE", key, ACTIVE_SECONDS),
    )


def mistaken(reply: object) -> bool:
    """Whether something else stands under the key, as versions before this one wrote it."""
    return isinstance(reply, ResponseError)


async def forget(pipe: RedisPipe, channel: str) -> None:
    """Makes room for the set; the next turn begins it."""
    await pipe.send(("DEL", _key(channel)))


async def active_people(
    pipe: RedisPipe, channels: Sequence[str], now: float
) -> Mapping[str, int] | None:
    """How many accounts are active now, by channel, as far as Redis remembers.

    None: Redis did not answer.
    """
    since = f"({int(now) - ACTIVE_SECONDS}"
    counts: list[Command] = [
        ("ZCOUNT", _key(channel), since, "+inf") for channel in channels
    ]
    replies = await pipe.send(*counts)
    if replies is None:
        return None

    return {
        channel: reply if isinstance(reply, int) else 0
        for channel, reply in zip(channels, replies, strict=True)
    }


def _key(channel: str) -> str:
    return f"active:{channel}"
