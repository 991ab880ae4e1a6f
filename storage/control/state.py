"""All that operators set, at one epoch: as it is stored, and as it is asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import structlog
from msgspec import Struct, field

from agent.control.experiments import Experiment, read_experiment
from agent.control.flags import DECLARED, Flag, made_by_operator
from agent.control.named_rules import NAMED, has_times, named_in
from agent.control.rules import DEFINITION, EXPERIMENT, NO_RULES, Rules
from agent.control.uses import FlagUses
from agent.core.channel import ChannelSettings
from agent.core.errors import Rejected
from storage.control import STATEMENTS
from storage.control.channel_settings import read_settings
from storage.postgres import Database
from storage.transaction import transaction

log = structlog.get_logger()


_Flags = list[tuple[str, str, Any]]
_Channels = list[tuple[str, str | None, Any]]
_Experiments = list[tuple[str, dict[str, Any]]]


class ControlSnapshot(msgspec.Struct, frozen=True):
    """What Postgres holds, and what Redis and the disk keep a copy of."""

    epoch: int = 0
    lineage: str = ""
    """Names the database."""
    flags: _Flags = []
    """Scope, name and value of each rule."""
    channels: _Channels = []
    """Name, default model and settings of each channel."""
    experiments: _Experiments = []
    """Name and definition of each experiment that runs."""


def stored(
    epoch: int,
    lineage: str,
    flags: str | None,
    channels: str | None,
    experiments: str | None = None,
) -> ControlSnapshot:
    """A row of the statement `control_state`."""
    return ordered(
        epoch,
        lineage,
        msgspec.json.decode(flags or "[]", type=_Flags),
        msgspec.json.decode(channels or "[]", type=_Channels),
        msgspec.json.decode(experiments or "[]", type=_Experiments),
    )


def ordered(
    epoch: int,
    lineage: str,
    flags: _Flags,
    channels: _Channels,
    experiments: _Experiments,
) -> ControlSnapshot:
    """A snapshot with sorted rows: the same content is equal, wherever it was read."""
    return ControlSnapshot(
        epoch,
        lineage,
        sorted(flags, key=lambda row: row[:2]),
        sorted(channels, key=lambda row: row[0]),
        sorted(experiments, key=lambda row: row[0]),
    )


class ControlState(Struct, frozen=True):
    """A snapshot, ready to be asked without I/O."""

    stored: ControlSnapshot = field(default_factory=ControlSnapshot)
    rules: Mapping[str, Rules] = field(default_factory=dict)
    """By flag, then by scope, its experiment and its named rules among them."""
    made: Mapping[str, Flag[Any]] = field(default_factory=dict)
    """Flags that operators made."""
    channels: Mapping[str, ChannelSettings] = field(default_factory=dict)
    experiments: Mapping[str, Experiment] = field(default_factory=dict)
    """Those that run, by flag."""
    timed: bool = False
    """Whether a rule has a start or an end, so that the clock alone may change a value."""

    @property
    def epoch(self) -> int:
        return self.stored.epoch

    def flag(self, name: str) -> Flag[Any] | None:
        """The flag of this name, declared or made by an operator."""
        return DECLARED.get(name) or self.made.get(name)

    def rules_of(self, name: str) -> Rules:
        return self.rules.get(name, NO_RULES)


class StillControl(Struct):
    """What operators set, as it was when it was read: for looks that are no turn.

    Implements agent.ports.Control, and is a source of flags. What is asked here counts as no
    use of a flag.
    """

    state: ControlState
    stale: bool = False
    watchers: list[Callable[[], None]] = field(default_factory=list)
    uses: FlagUses = field(default_factory=FlagUses)

    @property
    def epoch(self) -> int:
        return self.state.epoch

    def channel(self, name: str) -> ChannelSettings:
        return self.state.channels.get(name, ChannelSettings())


async def read_control(database: Database) -> StillControl:
    """From Postgres. Raises StoreUnavailable."""
    async with transaction(database) as connection:
        rows = await connection.execute(STATEMENTS["control_state"])

    return StillControl(state(stored(*rows.one())))


def state(stored: ControlSnapshot) -> ControlState:
    """Leaves out what this version cannot read: a newer version's flag is no reason to stop."""
    rules: dict[str, dict[str, Any]] = {}
    for scope, name, value in stored.flags:
        rules.setdefault(name, {})[scope] = value

    made = {
        name: flag
        for name, scopes in rules.items()
        if (flag := _made(name, scopes)) is not None
    }
    channels = {
        name: read_settings(model, settings)
        for name, model, settings in stored.channels
    }
    experiments = {
        found.flag: found
        for name, definition in stored.experiments
        if (found := _read(name, definition))
    }
    for experiment in experiments.values():
        rules.setdefault(experiment.flag, {})[EXPERIMENT] = experiment

    timed = False
    for scopes in rules.values():
        if named := named_in(scopes):
            scopes[NAMED] = named
            timed = timed or has_times(named)

    return ControlState(stored, rules, made, channels, experiments, timed)


def _made(name: str, scopes: Rules) -> Flag[Any] | None:
    if DEFINITION not in scopes:
        return None

    try:
        return made_by_operator(name, scopes[DEFINITION])
    except Rejected:
        return None


def _read(name: str, definition: Mapping[str, Any]) -> Experiment | None:
    try:
        return read_experiment(name, definition)
    except ValueError as error:
        log.warning("an experiment is left out", reason=str(error))
        return None
