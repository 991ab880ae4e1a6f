"""Which flags were asked for in this process, and whether their value differed. No I/O."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any

from msgspec import Struct

_NOTHING = object()


class FlagUse(Struct, frozen=True):
    """What became of a flag since the last look."""

    name: str
    digest: str
    """Of the first value, so that values of different processes can be compared."""
    varied: bool
    """Whether not all values were the same."""


class FlagUses:
    """Asked on the turn's path: one look into a mapping, and rarely a write."""

    def __init__(self) -> None:
        self._first: dict[str, Any] = {}
        self._varied: set[str] = set()

    def note(self, name: str, value: Any) -> None:
        """A flag was asked for. `value` None: the caller's own setting applied."""
        first = self._first.get(name, _NOTHING)
        if first is value:
            return
        if first is _NOTHING:
            self._first[name] = value
        elif first != value:
            self._varied.add(name)

    def take(self) -> list[FlagUse]:
        """What was asked since this was called last, by name."""
        first, self._first = self._first, {}
        varied, self._varied = self._varied, set()

        return [
            FlagUse(name, _digest(value), name in varied)
            for name, value in sorted(first.items())
        ]


def _digest(value: Any) -> str:
    written = json.dumps(value, sort_keys=True)

    return sha256(written.encode("utf-8", "surrogatepass")).hexdigest()[:16]
