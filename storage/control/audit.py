"""The audit log: who changed what, when, why and from where, as a chain of hashes.

hash(n) = SHA-256(hash(n - 1) ‖ UTF-8 of the row as JSON), from 32 zero bytes on. The
trigger `audit_chain` makes it, so no insert can leave it out. `verify` finds a row that was
changed, removed or inserted later. Rewriting all later hashes as well is found by a head
that was noted elsewhere.

When a person is erased, a row that names them loses the name and keeps its hash; a later row,
`audit.redact`, holds the hash of what it became. So no row loses anything unseen.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from datetime import datetime
from hashlib import sha256
from typing import Any

import msgspec
import structlog
from msgspec import Struct

from agent import metrics
from agent.core.errors import Rejected
from agent.core.remedies import Amend
from agent.core.text import is_text
from storage.connecting.connection import Connection, Row
from storage.control import STATEMENTS
from storage.postgres import Database
from storage.transaction import transaction

log = structlog.get_logger()

GENESIS = bytes(32)
PAGE = 5_000
REDACT = "audit.redact"


class Author(Struct, frozen=True):
    """Who makes a change, from where, and why."""

    name: str
    origin: str
    """For people: `command line on host`, `console from 10.0.0.1`."""
    reason: str | None = None

    def __post_init__(self) -> None:
        """Raises Rejected when the name or the reason cannot be stored."""
        if not is_name(self.name):
            raise Rejected(
                "An operator's name has 1 to 100 printable characters.",
                Amend("correct", ("actor",)),
            )
        if self.reason is None:
            return
        if not self.reason.isprintable() or len(self.reason) > 1000:
            raise Rejected(
                "A reason has at most 1000 printable characters. Correct it."
            )


class Itself(Author, frozen=True):
    """The agent as the author of what an operator planned or a person did.

    It is no operator, so it need not be registered.
    """

    name: str = "agent"
    origin: str = ""


def is_name(name: str) -> bool:
    """Whether this can be the name of an operator."""
    return 0 < len(name) <= 100 and name.isprintable()


class Entry(Struct, frozen=True):
    """One row of the log."""

    id: int
    at: datetime
    actor: str
    action: str
    subject: str
    before: Any
    after: Any
    reason: str | None
    origin: str | None
    epoch: int | None
    hash: bytes


class ChainVerdict(Struct, frozen=True):
    """What `verify` found."""

    count: int
    """Rows that were looked at."""
    head: str
    """The last hash, to be noted elsewhere."""
    troubles: tuple[str, ...]
    """A sentence for each break."""


async def record(
    connection: Connection,
    author: Author,
    action: str,
    subject: str,
    *,
    before: str | None,
    after: str | None,
    epoch: int | None,
) -> int:
    """Adds a row in the transaction of its change, and returns the row's id.

    `before` and `after` are JSON texts. It holds the end of the chain until the commit, so
    nothing may be locked after it.
    """
    values = {
        "action": action,
        "subject": subject,
        "before": before,
        "after": after,
        "actor": author.name,
        "reason": author.reason,
        "origin": author.origin,
        "epoch": epoch,
    }
    entry = await connection.scalar(STATEMENTS["add_audit_row"], values)

    return int(entry or 0)


async def entries(
    connection: Connection,
    *,
    subject: str | None = None,
    actor: str | None = None,
    since: int = 0,
    before: int | None = None,
    until: datetime | None = None,
    limit: int | None = 50,
    without: Collection[str] = (),
) -> list[Entry]:
    """Rows of the log, newest first: ids after `since` and below `before`; `limit` None: all.

    `without`: actions to leave out.
    """
    if not is_text(f"{subject}{actor}"):
        return []  # no row can hold it

    wanted = {
        "subject": subject,
        "actor": actor,
        "limit": limit,
        "since": since,
        "before": before,
        "until": until,
        "without": list(without),
    }
    return [
        _entry(row)
        for row in await connection.execute(STATEMENTS["audit_rows"], wanted)
    ]


def _entry(row: Row) -> Entry:
    before, after = (
        None if part is None else msgspec.json.decode(part)
        for part in (row.before, row.after)
    )

    return Entry(**{**dict(row), "before": before, "after": after})


async def list_entries(
    database: Database,
    *,
    subject: str | None = None,
    actor: str | None = None,
    before: int | None = None,
    limit: int = 50,
    without: Collection[str] = (),
) -> list[Entry]:
    """The log, newest first, from the row `before` this id on. Raises StoreUnavailable."""
    async with transaction(database) as connection:
        return await entries(
            connection,
            subject=subject,
            actor=actor,
            before=before,
            limit=limit,
            without=without,
        )


async def verify(database: Database, noted: str | None = None) -> ChainVerdict:
    """Computes the whole chain again. Raises StoreUnavailable.

    `noted` is a head seen earlier, which must still be in the chain.
    """
    async with transaction(database) as connection:
        kept, newest = await _head(connection)
        last, head = kept or (newest or 0, b"")
        check = _Check()

        if kept is None:
            check.troubles.append(
                "The head of the chain is missing: its row in audit_head was removed."
            )
        elif newest is not None and newest > last:
            check.troubles.append(
                f"After row {last}, rows were added past the chain."
            )

        async for number, stored, row in _rows(connection, up_to=last):
            check.take(number, bytes(stored), row)

    return check.verdict(last, None if kept is None else head, noted)


async def note_head(database: Database) -> None:
    """Says how far the chain is, in the log and in the metrics: what is kept of both elsewhere
    shows later whether the whole chain was written again.
    """
    async with transaction(database) as connection:
        kept, _ = await _head(connection)

    if kept is None:
        log.error("the audit log's chain has lost its head")
        return

    count, head = kept
    metrics.audit_entries.put(count)
    log.info("audit head", entries=count, head=head.hex())


async def _head(
    connection: Connection,
) -> tuple[tuple[int, bytes] | None, int | None]:
    """Id and hash of the chain's last row, unless that was removed; the newest row's id."""
    row = (await connection.execute(STATEMENTS["audit_head"])).one()

    return (None if row.id is None else (row.id, bytes(row.hash))), row.newest


async def _rows(
    connection: Connection,
    *,
    up_to: int,
) -> AsyncIterator[tuple[int, bytes, str]]:
    after = -(2**63)
    while page := await connection.execute(
        STATEMENTS["audit_chain"],
        {"after": after, "up_to": up_to, "page": PAGE},
    ):
        for number, stored, row in page:
            yield number, stored, row
        after = page[-1][0]


class _Check:
    """A walk along the chain. After a break it goes on from the stored hash, so that each
    break is reported once.
    """

    def __init__(self) -> None:
        self._expected = 1
        self._before = GENESIS
        self._seen: set[str] = {GENESIS.hex()}
        self._changed: dict[int, str] = {}  # rows not as written, with their hash
        self._became: dict[int, str] = {}  # what rows became that lost a name
        self.count = 0
        self.troubles: list[str] = []

    def take(self, number: int, stored: bytes, row: str) -> None:
        if number != self._expected:
            self.troubles.append(
                f"Between row {self._expected - 1} and row {number}, rows are missing or too many."
            )
        elif sha256(self._before + row.encode()).digest() != stored:
            self._changed[number] = sha256(row.encode()).hexdigest()
        elif REDACT in row:
            self._redacted(row)

        self._expected, self._before = number + 1, stored
        self._seen.add(stored.hex())
        self.count += 1

    def _redacted(self, row: str) -> None:
        """A row of the chain itself says what an earlier one became; the last one counts."""
        _, _, _, action, _, _, after, *_ = msgspec.json.decode(row)
        if action == REDACT:
            self._became[after["row"]] = after["sha256"]

    def verdict(
        self,
        last: int,
        head: bytes | None,
        noted: str | None,
    ) -> ChainVerdict:
        """`head` is None where nobody knows it any more."""
        self.troubles += [
            f"Row {number} is not as it was written."
            for number, became in self._changed.items()
            if self._became.get(number) != became
        ]
        if self._expected - 1 < last:
            self.troubles.append(
                f"After row {self._expected - 1}, {last - self._expected + 1} rows are missing."
            )
        elif head is not None and self._before != head:
            self.troubles.append("The last row is not the one that was written last.")

        if noted is not None and noted.lower() not in self._seen:
            rewritten = (
                "The noted hash is not in the chain: the log was rewritten since."
            )
            self.troubles.append(rewritten)

        return ChainVerdict(self.count, self._before.hex(), tuple(self.troubles))
