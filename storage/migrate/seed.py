"""Made-up data of any size, marked so that exactly it can be removed again."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any, TypeAlias

import asyncpg
from msgspec import Struct

from agent.core.remedies import Run
from storage.control import audit
from storage.control.audit import Author
from storage.migrate.guarded import guard
from storage.migrate.running import migrating
from storage.migrate.seed_story import DAYS_A_MONTH, Person, Talk, Turn, people, talks
from storage.migrate.sql import STATEMENTS
from storage.postgres import connect
from storage.reports.rollup import note_past_changes
from storage.reports.search_index import index_now

BATCH = 5_000
"""Messages in one transaction."""

REMOVED_AT_ONCE = 200
"""Conversations in one transaction."""

MODELS = ("openai:gpt-5-mini", "openai:gpt-5", "anthropic:claude-sonnet")
SETTLED = timedelta(minutes=1)
"""Nothing is made up that is younger: it would look as if somebody wrote just now."""

MARK = json.dumps({"seeded": True})
"""In the metadata of every person and every conversation."""

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
Progress = Callable[[int], object]
"""Told how many messages more are done."""


class Seeded(Struct, frozen=True):
    """How much was made, or removed."""

    people: int
    conversations: int
    messages: int


async def check_may_seed(url: str, author: Author, again: Run | None) -> None:
    """Raises Rejected unless the author may now; see `storage.migrate.guarded.guard`."""
    async with migrating(url, keep=False) as connection:
        await guard(connection, author, again)


async def sow(
    url: str,
    wanted: Seeded,
    months: int,
    author: Author,
    progress: Progress,
    chance: Random,
) -> Seeded:
    """Makes people and their messages of the last months, in batches.

    Broken off, it leaves whole batches; `clean` removes them. Raises SchemaError.
    """
    await _make_partitions(url, months)
    known = people(wanted.people, chance)
    conversations = messages = 0

    connection = await connect(url, None)
    try:
        until = await connection.fetchval(STATEMENTS["now"]) - SETTLED
        since = until - timedelta(days=DAYS_A_MONTH * months)
        await _copy(connection, "users", _USER, map(_user, known))
        told = talks(known, wanted.messages, since, until, chance)
        for batch in _batches(told):
            made = sum(len(talk.turns) for talk in batch)
            await _write(connection, batch, chance)
            conversations, messages = conversations + len(batch), messages + made
            progress(made)
    finally:
        await connection.close()

    await note_past_changes(url, since)
    await index_now(url, since)
    done = Seeded(len(known), conversations, messages)
    await _record(url, author, "seed.make", done)

    return done


async def clean(url: str, author: Author, progress: Progress) -> Seeded:
    """Removes everything that `sow` ever made here, in batches, and nothing else."""
    connection = await connect(url, None)
    messages = 0
    try:
        rows = await connection.fetch(STATEMENTS["seeded_conversations"])
        ids = [row["id"] for row in rows]
        for start in range(0, len(ids), REMOVED_AT_ONCE):
            batch = ids[start : start + REMOVED_AT_ONCE]
            gone = int(
                await connection.fetchval(STATEMENTS["remove_conversations"], batch)
            )
            messages += gone
            progress(gone)
        removed = await connection.fetchval(STATEMENTS["remove_people"])
    finally:
        await connection.close()

    await _drop_partitions(url)
    await note_past_changes(url, None)
    done = Seeded(int(removed), len(ids), messages)
    await _record(url, author, "seed.clean", done)

    return done


async def count(url: str) -> int:
    """How many conversations are made up."""
    connection = await connect(url)
    try:
        return len(await connection.fetch(STATEMENTS["seeded_conversations"]))
    finally:
        await connection.close()


def _batches(told: Iterator[Talk]) -> Iterator[list[Talk]]:
    batch: list[Talk] = []
    size = 0
    for talk in told:
        batch.append(talk)
        size += len(talk.turns)
        if size >= BATCH:
            yield batch
            batch, size = [], 0

    if batch:
        yield batch


async def _write(
    connection: Connection, batch: Sequence[Talk], chance: Random
) -> None:
    messages = [row for talk in batch for row in _messages(talk, chance)]
    votes = [row for talk in batch for row in _votes(talk)]

    async with connection.transaction():
        await _copy(
            connection, "conversations", _CONVERSATION, map(_conversation, batch)
        )
        await _copy(connection, "messages", _MESSAGE, iter(messages))
        await _copy(connection, "votes", _VOTE, iter(votes))


async def _copy(
    connection: Connection,
    table: str,
    columns: Sequence[str],
    rows: Iterator[tuple[Any, ...]],
) -> None:
    await connection.copy_records_to_table(table, records=list(rows), columns=columns)


_USER = ("id", "person_id", "channel_type", "channel_user_id", "username", "metadata")
_CONVERSATION = (
    "id",
    "user_id",
    "channel_type",
    "chat_id",
    "started_at",
    "last_activity",
    "version",
    "asked",
    "answered",
    "metadata",
)
_MESSAGE = (
    "conversation_id",
    "timestamp",
    "seq",
    "id",
    "role",
    "content",
    "user_id",
    "answers",
    "model_used",
    "prompt_tokens",
    "token_count",
    "cost_usd",
    "latency_ms",
    "metadata",
)
_VOTE = ("message_id", "user_id", "conversation_id", "thumb", "at")


def _user(person: Person) -> tuple[Any, ...]:
    return (person.id, person.id, person.channel, person.account, person.name, MARK)


def _conversation(talk: Talk) -> tuple[Any, ...]:
    """Answered to its end: no instance finds anything to do in it."""
    first, last = talk.turns[0], talk.turns[-1]
    assert first.author is not None
    seq = len(talk.turns)

    return (
        talk.id,
        first.author.id,
        talk.channel,
        talk.chat,
        first.at,
        last.at,
        seq,
        seq - 1,
        seq - 1,
        MARK,
    )


def _messages(talk: Talk, chance: Random) -> Iterator[tuple[Any, ...]]:
    model = chance.choice(MODELS)
    authors = {turn.author.id for turn in talk.turns if turn.author}
    read = 0
    for seq, turn in enumerate(talk.turns, start=1):
        written = max(1, len(turn.text) // 4)
        read = min(4_000, read + written)
        start = (talk.id, turn.at, seq, turn.id)
        if turn.author is not None:
            named = {"author": turn.author.name} if len(authors) > 1 else {}
            rest = (turn.author.id, *[None] * 6, json.dumps(named))
            yield (*start, "user", turn.text, *rest)
        else:
            cost = Decimal(read + 8 * written) / 4_000_000
            used = (model, read, written, cost, _latency(talk, seq, turn))
            yield (*start, "assistant", turn.text, None, seq - 1, *used, "{}")


def _latency(talk: Talk, seq: int, turn: Turn) -> int:
    """Milliseconds since the message before."""
    return round((turn.at - talk.turns[seq - 2].at).total_seconds() * 1000)


def _votes(talk: Talk) -> Iterator[tuple[Any, ...]]:
    for asked, turn in zip(talk.turns, talk.turns[1:], strict=False):
        if turn.thumb and asked.author is not None:
            yield (turn.id, asked.author.id, talk.id, turn.thumb, _later(turn.at))


def _later(at: datetime) -> datetime:
    return at + timedelta(seconds=20)


async def _make_partitions(url: str, months: int) -> None:
    """For the months that are past: the agent itself only makes those ahead."""
    async with migrating(url) as connection:
        missing = await connection.execute(
            STATEMENTS["past_partitions"], {"months": months + 1}
        )
        for create, comment in missing:
            await connection.driver.execute(create)
            await connection.driver.execute(comment)


async def _drop_partitions(url: str) -> None:
    """Those that `sow` made, if nobody else wrote into them."""
    async with migrating(url) as connection:
        made = await connection.execute(STATEMENTS["seeded_partitions"])
        for exists, drop in made:
            if not await connection.scalar(exists):
                await connection.driver.execute(drop)


async def _record(url: str, author: Author, action: str, done: Seeded) -> None:
    after = {
        "people": done.people,
        "conversations": done.conversations,
        "messages": done.messages,
    }
    async with migrating(url) as connection:
        database = await connection.scalar(STATEMENTS["database_name"])
        await audit.record(
            connection,
            author,
            action,
            f"seed:{database}",
            before=None,
            after=json.dumps(after),
            epoch=None,
        )
