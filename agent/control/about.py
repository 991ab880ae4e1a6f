"""Who looks after a flag, and its tags. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from agent.control.rules import ABOUT
from agent.core.errors import Rejected
from agent.core.text import is_text

MAX_OWNER_CHARS = 100
MAX_TAGS = 20
_TAG = re.compile(r"[a-z0-9][a-z0-9_.-]{0,39}")


class About(Struct, frozen=True):
    """What is known of a flag besides its rules."""

    owner: str | None = None
    """A person or a team."""
    tags: tuple[str, ...] = ()

    @property
    def is_set(self) -> bool:
        return self.owner is not None or bool(self.tags)

    def check(self) -> None:
        """Raises Rejected with what is allowed."""
        owner = self.owner
        if owner is not None and not (
            0 < len(owner) <= MAX_OWNER_CHARS
            and owner.isprintable()
            and is_text(owner)
        ):
            raise Rejected(
                f"An owner has 1 to {MAX_OWNER_CHARS} printable characters."
            )
        if len(self.tags) > MAX_TAGS or not all(map(_TAG.fullmatch, self.tags)):
            raise Rejected(
                f"A flag has at most {MAX_TAGS} tags of a-z, 0-9, dots, _ and -, "
                "each of at most 40 characters."
            )

    def stored(self) -> dict[str, Any]:
        return {"owner": self.owner, "tags": sorted(set(self.tags))}


NOTHING_KNOWN = About()


def about_in(rules: Mapping[str, Any]) -> About:
    """What is stored of a flag; nothing where that cannot be read."""
    match rules.get(ABOUT):
        case {"owner": str() | None as owner, "tags": list() as tags}:
            return About(owner, tuple(tag for tag in tags if isinstance(tag, str)))
        case _:
            return NOTHING_KNOWN
