"""The agent's own flags: the rules in force, evaluated in the process, without I/O."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from time import monotonic
from typing import Any, Protocol, TypeVar

from agent.control.experiments import Experiment
from agent.control.flags import Flag, Kind
from agent.control.rules import Audience, Clock, Rules, Step, resolve, utc_now
from agent.control.uses import FlagUses

T = TypeVar("T")

REMEMBERED_SECONDS = 600.0
"""How long evaluations may be remembered. Then each flag is asked again, and so noted as used:
operators look for flags that nobody asks for.
"""


class FlagState(Protocol):
    """Flags and their rules at one epoch."""

    @property
    def epoch(self) -> int: ...

    @property
    def experiments(self) -> Mapping[str, Experiment]:
        """Those that run, by flag."""

    @property
    def timed(self) -> bool:
        """Whether a rule has a start or an end."""

    def flag(self, name: str) -> Flag[Any] | None: ...

    def rules_of(self, name: str) -> Rules: ...


class FlagSource(Protocol):
    """Where the newest state is found."""

    @property
    def state(self) -> FlagState: ...

    @property
    def stale(self) -> bool: ...

    @property
    def watchers(self) -> list[Callable[[], None]]: ...

    @property
    def uses(self) -> FlagUses:
        """Which flags were asked for."""


def evaluate(
    state: FlagState, flag: Flag[Any], audience: Audience, clock: Clock = utc_now
) -> Step:
    """The rule that decides, and its value. None: as the caller's own setting says."""
    step = resolve(flag, state.rules_of(flag.name), audience, clock)
    if flag.kind is not Kind.FLOAT or step.value is None:
        return step

    # Postgres gives 1e16 back as a whole number.
    return step._replace(value=float(step.value))


class RuleFlags:
    """Implements agent.ports.Flags by the newest rules of `source`."""

    def __init__(self, source: FlagSource, clock: Clock = utc_now) -> None:
        self._source = source
        self._clock = clock
        self._seen: FlagState | None = None
        self._seen_until = 0.0
        self._version: object | None = None

    @property
    def version(self) -> object | None:
        """See `agent.ports.Flags`. None while the clock alone may change a value."""
        state = self._source.state
        now = monotonic()
        if state is not self._seen or now >= self._seen_until:
            self._seen, self._seen_until = state, now + REMEMBERED_SECONDS
            self._version = None if state.timed else object()

        return self._version

    def value(self, flag: Flag[T], audience: Audience, default: T | None = None) -> T:
        """The flag's value; `default` where neither a rule nor a default gives one."""
        state = self._source.state
        value: Any = flag.default
        if state.rules_of(flag.name):  # most flags have none
            value = evaluate(state, flag, audience, self._clock).value

        self._source.uses.note(flag.name, value)
        if value is None:
            value = default

        decided: T = value
        return decided

    def variants(
        self, audience: Audience, ignored_flags: Sequence[str] = ()
    ) -> Mapping[str, str]:
        """The variant of each running experiment that decides for them."""
        state = self._source.state
        found = {}

        for name, experiment in state.experiments.items():
            flag = None if name in ignored_flags else state.flag(name)
            if flag is None:
                continue

            step = resolve(flag, state.rules_of(name), audience, self._clock)
            if step.variant is not None:
                found[experiment.name] = step.variant

        return found
