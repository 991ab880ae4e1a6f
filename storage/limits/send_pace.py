"""The send pace that all instances of a bot keep together, on Redis's clock."""

from __future__ import annotations

from typing import Protocol

from storage.redis import RedisPipe

# GCRA, in microseconds: `paid` is when all calls taken so far are paid for, `held` when a
# penalty ends. A `paid` more than one whole period ahead comes from a clock that was set
# back.
_NOW = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local kept = redis.call('HMGET', KEYS[1], 'paid', 'held')
local paid, held = tonumber(kept[1] or 0), tonumber(kept[2] or 0)
"""
_RESERVE = (
    _NOW
    + """
local interval, period = tonumber(ARGV[1]), tonumber(ARGV[2])
paid = math.max(now, math.min(paid, now + period))
local wait = math.max(held, paid - (period - interval)) - now
if wait > 0 then return math.ceil(wait) end
redis.call('HSET', KEYS[1], 'paid', string.format('%.0f', paid + interval))
redis.call('PEXPIRE', KEYS[1], math.ceil((paid + interval - now) / 1000))
return 0
"""
)
_PENALISE = (
    _NOW
    + """
held = math.max(held, now + tonumber(ARGV[1]))
redis.call('HSET', KEYS[1], 'held', string.format('%.0f', held))
redis.call('PEXPIRE', KEYS[1], math.ceil((math.max(held, paid) - now) / 1000))
return 0
"""
)


class SendRate(Protocol):
    """At most `count` calls at once, then one every `seconds / count`."""

    @property
    def count(self) -> int: ...

    @property
    def seconds(self) -> float: ...


class RedisPace:
    """Implements `SharedPace` of `channels.pacing` for one bot, in the keys
    `rate:send:<bot>:<key>`.

    Never raises and never waits longer than the pipe's deadline: without Redis it answers
    0, and each instance's own pace decides.
    """

    def __init__(self, pipe: RedisPipe, bot: str) -> None:
        self._pipe = pipe
        self._bot = bot

    async def reserve(self, key: str, rate: SendRate) -> float:
        """Takes a slot and returns 0, or takes none and returns how many seconds to wait."""
        period = rate.seconds * 1_000_000
        interval = period / rate.count
        wait = await self._run(_RESERVE, key, f"{interval:.0f}", f"{period:.0f}")

        return wait / 1_000_000

    async def penalise(self, key: str, seconds: float) -> None:
        """From now on nobody gets a slot of `key` for that long."""
        await self._run(_PENALISE, key, f"{seconds * 1_000_000:.0f}")

    async def _run(
        self,
        script: str,
        key: str,
        *arguments: str,
    ) -> int:
        name = f"rate:send:{self._bot}:{key}"
        replies = await self._pipe.send(("EVAL", script, 1, name, *arguments))

        return replies[0] if replies and isinstance(replies[0], int) else 0
