"""What a process remembers of what it lately saw: ids that are checked before they are believed."""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar
from uuid import UUID

REMEMBERED = 20_000  # chats, people and accounts, each

Key = TypeVar("Key")


class RecentIds(Generic[Key]):
    """The ids of what was lately seen, bounded."""

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
