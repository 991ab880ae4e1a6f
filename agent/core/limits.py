"""Rate limits: the generic cell rate algorithm (GCRA), pure and in memory.

Each subject has one number: the moment at which nothing will be used up any more (its
"theoretical arrival time"). A message is taken if that moment is at most one window ahead;
it moves the moment on by `seconds / count`. So `count` messages may come at once, and then one
in each `seconds / count`. Source: ATM Forum, Traffic Management Specification 4.1
(af-tm-0121.000), section 4.4.2.
"""

from __future__ import annotations

import math
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

from msgspec import Struct
from msgspec.structs import force_setattr

MAX_SECONDS = 999_999_999
"""The longest window: as many digits as are read."""

MAX_PER_SECOND = 1_000_000
"""The highest rate: moments are kept in microseconds."""

REMEMBERED = 50_000
"""Subjects whose state one process keeps."""

_UNITS = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400}
_WRITTEN = re.compile(
    r"(\d{1,9}) ?(?:/|per) ?(\d{0,9}) ?(s|second|minute|hour|day)s?"
)
_ROUNDING = 1e-9
"""Seconds by which sums of floats may be off."""


class Limit(Struct, frozen=True):
    """At most `count` messages in `seconds`. All of them may come at once."""

    count: int
    seconds: int

    @classmethod
    def parse(cls, text: str) -> Limit:
        """Reads `60/minute`, `5/10s`, `3 per 2 hours`.

        Raises ValueError with the forms that are possible.
        """
        match = _WRITTEN.fullmatch(text.strip().lower())
        if match is not None:
            unit = 1 if match[3] == "s" else _UNITS[match[3]]
            count, seconds = int(match[1]), int(match[2] or 1) * unit
            if 0 < count <= seconds * MAX_PER_SECOND and seconds <= MAX_SECONDS:
                return cls(count, seconds)

        raise ValueError("a limit is written 60/minute, 500/hour, 2000/day or 5/10s")

    def __str__(self) -> str:
        return f"{self.count}/{self.window}"

    @property
    def window(self) -> str:
        """The window's name, for keys and for people."""
        for name, seconds in _UNITS.items():
            if seconds == self.seconds:
                return name

        return f"{self.seconds}s"

    @property
    def interval(self) -> float:
        """Seconds after which one more message is free."""
        return self.seconds / self.count


Allowance = Limit | Literal["off"] | None
"""A limit, no limit at all ("off"), or not set (None)."""

PER_PERSON = Limit(60, 60)
"""The limit of one person where an operator set none: 60 requests a minute, as specified."""


class Rule(Struct, frozen=True):
    """One limit on one subject."""

    scope: str
    """user, chat, channel, ip or endpoint."""
    subject: str
    limit: Limit
    audience: str
    """Those that are told when the limit is reached, once in its window."""
    key: str = ""
    """Where the state is kept: `rate:<scope>:<id>:<window>`. It follows from the other fields, as
    does the next.
    """
    told_key: str = ""
    """Where it is kept that the audience was told."""

    def __post_init__(self) -> None:
        scope, window = self.scope, self.limit.window
        # Once: a turn asks for them several times.
        force_setattr(self, "key", f"rate:{scope}:{self.subject}:{window}")
        told_key = f"rate:told-{scope}:{self.audience}:{window}"
        force_setattr(self, "told_key", told_key)


class Limited(Struct, frozen=True):
    """A message that came too early."""

    scope: str
    wait: float
    """Seconds until one may come."""
    tell: bool
    """The first refusal in this window: the person is told."""

    @property
    def sentence(self) -> str:
        """What the person is told."""
        over = {
            "chat": "This chat is over its limit.",
            "channel": "This channel is over its limit.",
        }
        what = over.get(self.scope, "You are sending messages too quickly.")

        return f"{what} Please try again in {waiting(self.wait)}."


class _State(NamedTuple):
    """One subject under one rule."""

    moment: float
    """When nothing is used up any more."""
    interval: float
    """Seconds after which one more message is free."""
    burst: int
    """How many messages may come at once."""


class LocalLimiter:
    """GCRA in this process's memory, bounded. `clock` gives seconds that only grow."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, size: int = REMEMBERED
    ) -> None:
        self._clock = clock
        self._size = size
        # By key, the least recently used first.
        self._until: OrderedDict[str, float] = OrderedDict()

    def judge(
        self, rules: Sequence[Rule], *, share: int = 1, slack: float = 0.0
    ) -> Limited | None:
        """Counts a message if all rules let it pass.

        Otherwise it counts nothing and names the rule with the longest wait. `share`: this
        process may use one part in so many of each limit. `slack`: seconds forgiven, at most
        half an interval, so that it never makes room for one more at once.
        """
        now = self._clock()
        states = [self._state(rule, now, share) for rule in rules]
        waits = [_wait(state, now, slack) for state in states]
        worst = max(range(len(rules)), key=waits.__getitem__, default=None)

        if worst is not None and waits[worst] > _ROUNDING:
            rule = rules[worst]
            tell = self._is_first(rule.told_key, now, rule.limit.seconds)
            return Limited(rule.scope, waits[worst], tell)

        for rule, state in zip(rules, states, strict=True):
            self._put(rule.key, state.moment + state.interval)

        return None

    def clear(self) -> None:
        """Forgets everything."""
        self._until.clear()

    def _state(self, rule: Rule, now: float, share: int) -> _State:
        interval = rule.limit.interval * share
        burst = max(1, rule.limit.count // share)
        moment = self._until.get(rule.key, now)

        return _State(min(max(moment, now), now + burst * interval), interval, burst)

    def _is_first(self, key: str, now: float, seconds: float) -> bool:
        if self._until.get(key, now) > now:
            return False

        self._put(key, now + seconds)
        return True

    def _put(self, key: str, until: float) -> None:
        self._until[key] = until
        self._until.move_to_end(key)
        if len(self._until) > self._size:
            self._until.popitem(last=False)


def _wait(state: _State, now: float, slack: float) -> float:
    """Seconds until a message may come; negative if it may come now."""
    earliest = state.moment + state.interval - state.burst * state.interval
    return earliest - now - min(slack, state.interval / 2)


def waiting(seconds: float) -> str:
    """A waiting time for people, rounded up: `1 second`, `12 seconds`, `3 minutes`, `2 hours`,
    `9 days`.
    """
    for size, unit in ((86400, "day"), (3600, "hour"), (60, "minute"), (1, "second")):
        if seconds > size * 1.5 or size == 1:
            count = max(1, math.ceil(seconds / size))
            return f"{count} {unit}" if count == 1 else f"{count} {unit}s"

    raise AssertionError("unreachable")
