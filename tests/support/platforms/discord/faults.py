"""Faults that a test orders, and whether the bot kept to limits."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field

from tests.support.platforms.discord.values import Limit, Refused

TOLERANCE = 0.005  # seconds by which two clocks' readings of one moment may differ


@dataclass
class Faults:
    """Per channel: rate limits, failures, delays, answers that get lost."""

    limits: dict[str, Limit] = field(default_factory=dict)
    failures: Counter[str] = field(default_factory=Counter)
    unread: Counter[str] = field(default_factory=Counter)  # histories, for now
    delays: dict[str, float] = field(default_factory=dict)
    swallowed: Counter[str] = field(default_factory=Counter)
    # channel -> room, seconds until more
    buckets: dict[str, tuple[int, float]] = field(default_factory=dict)
    early: int = 0
    scope: str = "user"

    def limit(self, channel: str) -> tuple[float, str] | None:
        """The wait that this call is answered with. One that comes before the last wait is
        over is noted.
        """
        limit = self.limits.get(channel)
        if limit is None:
            return None

        now = time.monotonic()
        if now < limit.until - TOLERANCE:
            self.early += 1
            return limit.until - now, self.scope
        if limit.times <= 0:
            return None

        limit.times -= 1
        limit.until = now + limit.retry_after

        return limit.retry_after, self.scope

    def fail(self, channel: str) -> None:
        """Discord's own trouble."""
        if self.failures[channel] > 0:
            self.failures[channel] -= 1
            raise Refused(500, 0, "500: Internal Server Error")

    def fail_to_read(self, channel: str) -> None:
        """Discord's own trouble with the history of a channel."""
        if self.unread[channel] > 0:
            self.unread[channel] -= 1
            raise Refused(503, 0, "503: Service Unavailable")

    async def delay(self, channel: str) -> None:
        """A slow channel."""
        if channel in self.delays:
            await asyncio.sleep(self.delays[channel])

    def swallow(self, channel: str) -> bool:
        """Whether the answer to this call is lost on its way."""
        if self.swallowed[channel] > 0:
            self.swallowed[channel] -= 1
            return True

        return False

    def bucket(self, method: str, channel: str | None) -> dict[str, str]:
        """The headers that say how much room is left; only for channels that were given a
        small bucket.
        """
        if channel is None or channel not in self.buckets:
            return {}

        room, seconds = self.buckets[channel]
        room = max(0, room - 1)
        self.buckets[channel] = (room, seconds)
        if room == 0:
            del self.buckets[channel]
            self.limits[channel] = Limit(seconds, 0, time.monotonic() + seconds)

        return {
            "X-RateLimit-Bucket": f"bucket-{method}",
            "X-RateLimit-Limit": "5",
            "X-RateLimit-Remaining": str(room),
            "X-RateLimit-Reset-After": f"{seconds:.3f}",
            "X-RateLimit-Reset": f"{time.time() + seconds:.3f}",
        }
