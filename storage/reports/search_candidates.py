"""Which messages may match a search: a bounded number of keys, the newest first.

Three steps, none of which grows with the table for common words or for rare ones:

1. the newest WALKED messages of the scope are walked by index. A common word is found there;
2. older ones are named by the index of words. How many hits the walk met says how far back
   enough of them are to be expected, so that common words do not name all of theirs;
3. the newest messages of all, whose words are not read yet, are added as they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, TypeAlias
from uuid import UUID

from msgspec import Struct, field

from agent.core.messages import Inbound
from storage.connecting.connection import Connection, Row
from storage.reports import STATEMENTS

ENOUGH = 100
"""Messages with all the words that are compared: the newest."""

WALKED = 1_000
"""How many of the newest messages are walked before the index of words is asked."""

CONVERSATIONS_WALKED = 20
"""Of a place: its last active ones."""

UNREAD = 1_000
"""Messages whose words are not read yet, the newest. Usually those of some seconds."""

SPANS = 4
"""How often older messages are asked for, each time in a span of time GROWTH times as long."""

GROWTH = 8

BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)

_SECOND = timedelta(seconds=1)

_WALK = {
    "people": STATEMENTS["walk_people"],
    "place": STATEMENTS["walk_place"],
    "all": STATEMENTS["walk_all"],
}
_HITS = {
    "people": STATEMENTS["hits_of_people"],
    "place": STATEMENTS["hits_of_place"],
    "all": STATEMENTS["hits_of_all"],
}
_UNREAD = {
    "people": STATEMENTS["unread_of_people"],
    "place": STATEMENTS["unread_of_place"],
    "all": STATEMENTS["unread_of_all"],
}
"""By the name of the scope."""

Key: TypeAlias = tuple[UUID, datetime, int]
Values: TypeAlias = Mapping[str, Any]


class Scope(Struct, frozen=True):
    """Whose messages may be found, or those of which place."""

    name: Literal["people", "place", "all"]
    since: datetime = BEGINNING
    values: Values = field(default_factory=dict)
    """What its statements ask for."""
    walked_since: datetime = BEGINNING
    """What is older may not have been walked."""
    allowed: Values = field(default_factory=dict)
    """What each message that is shown must have; see the statement `messages_found`."""

    @property
    def is_empty(self) -> bool:
        """Nobody, or nowhere."""
        return any(found == [] for found in self.values.values())


async def scope_of_chat(connection: Connection, inbound: Inbound) -> Scope:
    """In a group what was said there, else what is the person's own."""
    channel, chat, thread = inbound.address.key
    if inbound.direct:
        account = {"channel": channel, "account": inbound.user_id}
        found = STATEMENTS["accounts_that_search"]
        accounts = await connection.scalars(found, account)
        return scope_of_people(accounts)

    place = {"channel": channel, "chat": chat, "thread": thread}
    rows = await connection.execute(STATEMENTS["conversations_of_place"], place)

    return _scope_of_place(place, rows)


def scope_of_people(accounts: Sequence[UUID], since: datetime = BEGINNING) -> Scope:
    """What these accounts wrote and were answered."""
    own = {"accounts": list(accounts)}

    return Scope("people", since, own, allowed=own)


def _scope_of_place(place: Values, conversations: Sequence[Row]) -> Scope:
    """No message of a conversation is younger than its last activity."""
    ids = [row.id for row in conversations]
    left_out = conversations[CONVERSATIONS_WALKED:]

    return Scope(
        "place",
        values={"conversations": ids, "walked": ids[:CONVERSATIONS_WALKED]},
        walked_since=left_out[0].last_activity if left_out else BEGINNING,
        allowed=place,
    )


class Walk(Struct, frozen=True):
    """What the newest messages of a scope held."""

    hits: list[Key]
    until: datetime
    """Older messages, and those of this moment, may not have been walked."""
    took: timedelta
    """Between the newest one and the last."""

    @property
    def span(self) -> timedelta:
        """How far back twice as many hits are to be expected as are still wanting."""
        wanting = ENOUGH - len(self.hits)

        return self.took * (2 * wanting / max(len(self.hits), 0.5))


async def candidates(connection: Connection, scope: Scope, words: str) -> list[Key]:
    """Keys of messages that may match `words`, a `tsquery`; each once."""
    if scope.is_empty:
        return []

    read_until = await connection.scalar(STATEMENTS["begin_search"])
    walk = await _walk(connection, scope, words)
    older = await _older(connection, scope, words, walk)
    unread = await _unread(connection, scope, read_until or BEGINNING)

    return list(dict.fromkeys((*unread, *walk.hits, *older)))


async def _walk(connection: Connection, scope: Scope, words: str) -> Walk:
    asked = {"query": words, "since": scope.since, "count": WALKED, "enough": ENOUGH}
    rows = await _rows(connection, _WALK, scope, asked)
    bounds = rows[0]
    hits = [_key(row) for row in rows if row.at]
    last = bounds.oldest if bounds.walked == WALKED else BEGINNING
    took = bounds.newest - bounds.oldest if bounds.walked else timedelta()

    return Walk(hits, max(last, scope.walked_since), took)


async def _older(
    connection: Connection, scope: Scope, words: str, walk: Walk
) -> list[Key]:
    """The newest hits that the walk did not reach, as many as are wanting."""
    found: list[Key] = []
    until, span = walk.until, walk.span
    for number in range(SPANS):
        wanting = ENOUGH - len(walk.hits) - len(found)
        if wanting <= 0 or until <= scope.since:
            break

        is_last = number == SPANS - 1
        since = scope.since if is_last else until - min(span, until - scope.since)
        asked = {"query": words, "since": since, "until": until, "count": wanting}
        rows = await _rows(connection, _HITS, scope, asked)
        found += map(_key, rows)
        until, span = since, max(span, _SECOND) * GROWTH

    return found


async def _unread(
    connection: Connection, scope: Scope, read_until: datetime
) -> list[Key]:
    asked = {"since": max(read_until, scope.since), "count": UNREAD}
    rows = await _rows(connection, _UNREAD, scope, asked)

    return [_key(row) for row in rows]


async def _rows(
    connection: Connection,
    statements: Mapping[str, str],
    scope: Scope,
    asked: Values,
) -> Sequence[Row]:
    statement = statements[scope.name]

    return await connection.execute(statement, {**scope.values, **asked})


def _key(row: Row) -> Key:
    return row.conversation_id, row.at, row.seq
