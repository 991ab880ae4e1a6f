"""What operators allow a person in one chat, as far as commands need to know it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from uuid import UUID

from msgspec import Struct

Allows = Callable[[UUID | None], bool]
"""Whether a flag allows something to a person; None: not known yet."""


class ChatRules(Struct, frozen=True):
    """What flags and settings say."""

    default_model: Callable[[UUID | None], str]
    """What answers a person who chose no model."""
    buttons: Allows
    instructions: Allows
    menu: bool
    """Whether the channel's own menu offers commands."""
    files: bool = False
    """Whether the channel can hand over a file."""
    allowed_models: Sequence[str] = ()
    """Empty: all."""

    def switched_off(self, person: UUID | None) -> frozenset[str]:
        """Commands that flags do not allow this person."""
        return frozenset() if self.instructions(person) else frozenset({"system"})
