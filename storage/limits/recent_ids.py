"""What a process saw recently: mostly ids, hints that are checked before they are used."""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

REMEMBERED = 20_000
"""Entries of one map: chats, people or accounts."""

Key = TypeVar("Key")
Value = TypeVar("Value")


class RecentIds(Generic[Key, Value]):
    """A bounded map; a new entry replaces the one written longest ago."""

    def __init__(self, size: int = REMEMBERED) -> None:
        self._size = size
        self._ids: OrderedDict[Key, Value] = OrderedDict()

    def get(self, key: Key) -> Value | None:
        return self._ids.get(key)

    def put(self, key: Key, value: Value) -> None:
        self._ids[key] = value
        self._ids.move_to_end(key)
        if len(self._ids) > self._size:
            self._ids.popitem(last=False)

    def forget(self, key: Key) -> None:
        self._ids.pop(key, None)
