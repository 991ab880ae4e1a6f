"""Ids that a process saw recently. They are hints, checked before they are used."""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar
from uuid import UUID

REMEMBERED = 20_000
"""Entries of one map: chats, people or accounts."""

Key = TypeVar("Key")


class RecentIds(Generic[Key]):
    """A bounded map from keys to ids; a new entry replaces the one written longest ago."""

    def __init__(self, size: int = REMEMBERED) -> None:
        self._size = size
        self._ids: OrderedDict[Key, UUID] = OrderedDict()

    def get(self, key: Key) -> UUID | None:
        return self._ids.get(key)

    def put(self, key: Key, value: UUID) -> None:
        self._ids[key] = value
        self._ids.move_to_end(key)
        if len(self._ids) > self._size:
            self._ids.popitem(last=False)
