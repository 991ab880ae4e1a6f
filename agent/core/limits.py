"""How often somebody may speak: the generic cell rate algorithm (GCRA), pure and in memory.

A subject has one number, the moment at which it will have used up nothing ("theoretical
arrival time"). A message is taken when that moment is at most a window ahead, and moves it
on by `seconds / count`. So `count` messages may come at once, and after them one in each
`seconds / count`. The algorithm: ATM Forum, Traffic Management Specification 4.1
(af-tm-0121.000), section 4.4.2.
"""

from __future__ import annotations

import math
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

_UNITS = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400}
_WRITTEN = re.compile(r"(\d{1,9}) ?(?:/|per) ?(\d{0,9}) ?(s|second|minute|hour|day)s?")
LONGEST = 999_999_999  # seconds; as many digits as are read
MOST_A_SECOND = 1_000_000  # moments are kept in µs
REMEMBERED = 50_000  # subjects of which one process keeps the state


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `count` messages in `seconds`; so many may also come at once."""

    count: int
    seconds: int

    @classmethod
    def parse(cls, text: str) -> Limit:
        """Reads `60/minute`, `5/10s`, `3 per 2 hours`. Raises ValueError with the forms
        that are possible.
        """
        match = _WRITTEN.fullmatch(text.strip().lower())
        if match is not None:
            unit = 1 if match[3] == "s" else _UNITS[match[3]]
            count, seconds = int(match[1]), int(match[2] or 1) * unit
            if 0 < count <= seconds * MOST_A_SECOND and seconds <= LONGEST:
                return cls(count, seconds)
        raise ValueError("a limit is written 60/minute, 500/hour, 2000/day or 5/10s")

    def __str__(self) -> str:
        return f"{self.count}/{self.window}"

    @property
    def window(self) -> str:
        """The window's name, as keys and people have it."""
        return next(
            (name for name, seconds in _UNITS.items() if seconds == self.seconds),
            f"{self.seconds}s",
        )

    @property
    def interval(self) -> float:
        """Seconds after which one more message is free."""
        return self.seconds / self.count


Allowance = Limit | Literal["off"] | None
"""A limit, none at all ("off"), or nothing said about it (None)."""

PER_PERSON = Limit(60, 60)
"""What one person may say where an operator set nothing else (the specification: 60
requests a minute).
"""


@dataclass(frozen=True, slots=True)
class Rule:
    """One limit on one subject. `audience` is who hears of it when it is reached, once in a
    window.
    """

    scope: str  # user, chat, channel, ip, endpoint
    subject: str
    limit: Limit
    audience: str

    @property
    def key(self) -> str:
        """Where the state is kept: `rate:<scope>:<id>:<window>`."""
        return f"rate:{self.scope}:{self.subject}:{self.limit.window}"

    @property
    def told_key(self) -> str:
        """Where it is kept that the audience was told."""
        return f"rate:told-{self.scope}:{self.audience}:{self.limit.window}"


@dataclass(frozen=True, slots=True)
class Limited:
    """A message that came too early."""

    scope: str
    wait: float  # seconds until one may come
    tell: bool  # the first refusal in this window: the person hears of it

    @property
    def sentence(self) -> str:
        """What the person hears."""
        whose = {
            "user": "You are",
            "chat": "This chat is",
            "channel": "Everybody here together is",
        }
        return (
            f"{whose.get(self.scope, 'You are')} faster than I may answer. "
            f"Please try again in {waiting(self.wait)}."
        )


class LocalLimiter:
    """GCRA in this process's memory, bounded. `clock` gives seconds that only grow."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, size: int = REMEMBERED
    ) -> None:
        self._clock = clock
        self._size = size
        self._until: OrderedDict[str, float] = (
            OrderedDict()
        )  # by key, the least lately used first

    def judge(
        self, rules: Sequence[Rule], *, share: int = 1, slack: float = 0.0
    ) -> Limited | None:
        """Counts a message if all rules let it pass; else counts nothing and names the one
        to wait for longest.

        `share`: of each limit only so great a part is this process's. `slack`: seconds
        forgiven, at most half an interval, so that it never makes room for one more at
        once.
        """
        now = self._clock()
        used = [self._used(rule, now, share) for rule in rules]
        waits = [
            at + interval - burst * interval - now - min(slack, interval / 2)
            for at, interval, burst in used
        ]
        longest = max(range(len(rules)), key=waits.__getitem__, default=None)
        if (
            longest is not None and waits[longest] > 1e-9
        ):  # what sums of floats are off by
            rule = rules[longest]
            return Limited(
                rule.scope,
                waits[longest],
                self._first(rule.told_key, now, rule.limit.seconds),
            )
        for rule, (at, interval, _) in zip(rules, used, strict=True):
            self._put(rule.key, at + interval)
        return None

    def clear(self) -> None:
        """Forgets everything."""
        self._until.clear()

    def _used(self, rule: Rule, now: float, share: int) -> tuple[float, float, int]:
        """The moment at which nothing is used up any more, the interval, and how many may
        come at once.
        """
        interval = rule.limit.interval * share
        burst = max(1, rule.limit.count // share)
        at = self._until.get(rule.key, now)
        return min(max(at, now), now + burst * interval), interval, burst

    def _first(self, key: str, now: float, seconds: float) -> bool:
        if self._until.get(key, now) > now:
            return False
        self._put(key, now + seconds)
        return True

    def _put(self, key: str, until: float) -> None:
        self._until[key] = until
        self._until.move_to_end(key)
        if len(self._until) > self._size:
            self._until.popitem(last=False)


def waiting(seconds: float) -> str:
    """A waiting time for people, rounded up: `1 second`, `12 seconds`, `3 minutes`, `2 hours`."""
    for size, unit in ((3600, "hour"), (60, "minute"), (1, "second")):
        if seconds > size * 1.5 or size == 1:
            count = max(1, math.ceil(seconds / size))
            return f"{count} {unit}" if count == 1 else f"{count} {unit}s"
    raise AssertionError("unreachable")
