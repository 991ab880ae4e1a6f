"""Sends whose outcome nobody knows: the platform's reply to them was lost."""

from __future__ import annotations

from agent.core.errors import Undeliverable

MOST_UNSEEN = 5
"""Sends of one answer of which nobody can tell whether they arrived. All may have arrived."""


class UnseenSends:
    """Counts such sends of one answer, so that a person gets only a few copies of it."""

    def __init__(self) -> None:
        self._count = 0

    def __bool__(self) -> bool:
        return self._count > 0

    def add(self) -> None:
        """Another send has an unknown outcome."""
        self._count += 1

    def clear(self) -> None:
        """The platform said what arrived of them."""
        self._count = 0

    def check(self) -> None:
        """Raises Undeliverable when no other send may follow."""
        if self._count >= MOST_UNSEEN:
            raise Undeliverable(
                f"The replies to {self._count} sends of this answer were lost: "
                "the person may have it. Check the network to the platform."
            )
