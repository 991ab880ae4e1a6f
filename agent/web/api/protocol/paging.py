"""Pages of lists: each names where the next one begins, so that nothing is skipped or shown
twice when rows come and go meanwhile.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated, Any, Generic, TypeVar
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from agent.core.text import is_text
from agent.web.api.protocol.problems import Problem

Item = TypeVar("Item")
Shown = TypeVar("Shown")
Key = tuple[Any, ...]

DEFAULT = 50
MOST = 500

ODD = "This cursor is of no page of this list. Begin again without it."


def _storable(text: str) -> str:
    if not is_text(text):
        raise ValueError("it has characters that cannot be kept")

    return text


Text = Annotated[str, Field(max_length=1_000), AfterValidator(_storable)]
"""What a program sends: valid Unicode without NUL."""

Reason = Annotated[
    str | None,
    Field(max_length=1_000, description="Why; kept in the audit log."),
    AfterValidator(lambda text: None if text is None else _storable(text)),
]


class Sent(BaseModel):
    """A body: a field that is not known is refused, and `"5"` is no number."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Asked(BaseModel):
    """A query, in which all is text. Names that are not known are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Why(Sent):
    """What goes with a change."""

    reason: Reason = None


class WhyRemoved(Asked):
    """The same in a query."""

    reason: Reason = None


class Paging(Asked):
    """Where a page begins, and how long it is."""

    cursor: Annotated[
        str | None, Field(max_length=2_000, description="`next` of the page before.")
    ] = None
    limit: Annotated[int, Field(ge=1, le=MOST)] = DEFAULT

    def after(
        self,
        *kinds: Callable[[Any], Any],
    ) -> Key | None:
        """The key of the last row of the page before; None: from the beginning.

        `kinds` read each part of it. Raises Problem for anything but such a key.
        """
        if self.cursor is None:
            return None

        try:
            padded = self.cursor + "=" * (-len(self.cursor) % 4)
            parts = json.loads(base64.b64decode(padded, b"-_", validate=True))
            if not isinstance(parts, list) or len(parts) != len(kinds):
                raise ValueError
            if not is_text(json.dumps(parts, ensure_ascii=False)):
                raise ValueError
            return tuple(kind(part) for kind, part in zip(kinds, parts, strict=True))
        except (ValueError, TypeError, OverflowError, RecursionError, binascii.Error):
            raise Problem(422, ODD) from None


class Page(BaseModel, Generic[Shown]):
    """A part of a list."""

    items: list[Shown]
    next: str | None = Field(
        description="The `cursor` of the next page; null: this is the last."
    )


def text(part: Any) -> str:
    """A part of a key that is a text. Raises ValueError."""
    if not isinstance(part, str) or "\0" in part:
        raise ValueError

    return part


def uuid_of(part: Any) -> UUID:
    """A part of a key that is an id. Raises ValueError."""
    return UUID(text(part))


def moment_of(part: Any) -> datetime:
    """A part of a key that is a moment. Raises ValueError."""
    found = datetime.fromisoformat(text(part))
    if found.tzinfo is None:
        raise ValueError

    return found


def number(part: Any) -> int:
    """A part of a key that is a row's number. Raises ValueError."""
    if not isinstance(part, int) or not 0 <= part < 2**63:
        raise ValueError

    return part


def page(
    rows: Sequence[Item],
    asked: Paging,
    key: Callable[[Item], Key],
    show: Callable[[Item], Shown],
) -> Page[Shown]:
    """`rows` are those after the cursor, one more than asked for if there is more."""
    shown = rows[: asked.limit]
    more = len(rows) > asked.limit

    return Page(
        items=[show(row) for row in shown],
        next=_cursor(key(shown[-1])) if more else None,
    )


def page_until(
    rows: Sequence[Item],
    last: Key | None,
    show: Callable[[Item], Shown],
) -> Page[Shown]:
    """Rows that were read a page at a time, up to this key; None: there are no more."""
    return Page(
        items=[show(row) for row in rows],
        next=None if last is None else _cursor(last),
    )


def page_of_all(
    rows: Sequence[Item],
    asked: Paging,
    key: Callable[[Item], Key],
    show: Callable[[Item], Shown],
    *kinds: Callable[[Any], Any],
) -> Page[Shown]:
    """The same of a list that is read whole, in the order of its keys."""
    last = asked.after(*kinds)
    rest = sorted(
        (row for row in rows if last is None or key(row) > last),
        key=key,
    )

    return page(rest, asked, key, show)


def _cursor(key: Key) -> str:
    parts = json.dumps([part if isinstance(part, int) else str(part) for part in key])

    return base64.urlsafe_b64encode(parts.encode()).decode().rstrip("=")
