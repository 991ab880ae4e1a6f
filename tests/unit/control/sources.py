"""A source of flags that never changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from agent.control.uses import FlagUses
from storage.control.state import ControlState


@dataclass
class Fixed:
    """Stands for control as evaluations see it."""

    state: ControlState
    stale: bool = False
    watchers: list[Callable[[], None]] = field(default_factory=list)
    uses: FlagUses = field(default_factory=FlagUses)
