"""Forgetting a person, as a job that survives the death of whoever works at it.

Each step is one short transaction that locks the job's row and notes there how far it is. The
inventory says what happens to each column, key and file; here is the order:

- `messages`: conversations that are theirs alone go. In others their words are blanked, and the
  answers to them; an answer under way loses its claim, and is written again from what is left.
- `turns`: commands in their own chats, and what commands quoted.
- `settings`, `audit`: rules, budgets, lists; the log loses the name and keeps its chain.
- `people`: what reports and searches know of the accounts, and then the accounts themselves.
  From now on whoever writes is somebody new.
- `redis`: keys that name them, and windows that held their words.
- `settle`: what transactions under way wrote meanwhile. If they wrote, it begins again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import asyncpg
import structlog
from msgspec import Struct
from redis.exceptions import RedisError

from agent.core.errors import StoreUnavailable
from storage.connecting.connection import Connection
from storage.control import audit
from storage.control.audit import Itself
from storage.control.changes import begun
from storage.control.redis_copy import announce
from storage.lifecycle import STATEMENTS, jobs, traces
from storage.lifecycle.conversations import erase_next, erase_turns
from storage.lifecycle.jobs import Job
from storage.lifecycle.settings import erase_budgets, erase_settings
from storage.lifecycle.wording import audit_patterns, names_pattern
from storage.postgres import STATEMENT_SECONDS, Database
from storage.redis import RedisPipe
from storage.reports.forgetting import forget_people, forget_words, hold_sums
from storage.transaction import transaction

SETTLE_SECONDS = STATEMENT_SECONDS + 1
"""After this long, no statement is under way any more that saw the person."""

KEYS_LIVE_SECONDS = 3 * 3600
"""A Redis that was away for longer has nothing left that could name the person."""

log = structlog.get_logger()


class Stores(Struct, frozen=True):
    """Where a person can be found. `home` is AGENT_HOME."""

    database: Database
    pipe: RedisPipe
    home: Path | None = None


class Progress(Struct, frozen=True):
    """How far the job is that was worked at; not `moved`: it waits."""

    step: str
    messages: int
    moved: bool = True


async def work(stores: Stores) -> Progress | None:
    """Does one piece of the oldest erasure. None: there is none, or others work at all.

    Raises StoreUnavailable.
    """
    try:
        async with transaction(stores.database) as connection:
            job = await jobs.next_job(connection)
            if job is None:
                return None

            before = job.step
            moved = await _STEPS[before](stores, connection, job)
            if moved and job.step != "done":
                await jobs.keep(connection, job)
    except asyncpg.IntegrityConstraintViolationError:
        # they wrote again at this moment; the next look finds it
        return Progress("people", 0, moved=False)

    if before == "settings" and moved:
        await _tell(stores)
    if job.step == "done":
        log.info("a person was erased", messages=job.messages)

    return Progress(job.step, job.messages, moved)


async def _tell(stores: Stores) -> None:
    """Rules of the person are gone: instances write their copies again."""
    try:
        await announce(stores.database, stores.pipe)
    except StoreUnavailable:
        log.warning("instances see with their next heartbeat what was changed")


async def _messages(stores: Stores, connection: Connection, job: Job) -> bool:
    if not await erase_next(connection, job):
        job.go_on()

    return True


async def _turns(stores: Stores, connection: Connection, job: Job) -> bool:
    if not await erase_turns(connection, job):
        job.go_on()

    return True


async def _settings(stores: Stores, connection: Connection, job: Job) -> bool:
    change = await begun(connection, Itself(origin="erasure"))
    await erase_settings(connection, job)
    values = {"epoch": change.epoch}
    await connection.execute(STATEMENTS["begin_epoch"], values)
    job.go_on()

    return True


async def _audit(stores: Stores, connection: Connection, job: Job) -> bool:
    accounts = [(one.channel, one.name) for one in job.accounts]
    own_chats = [(channel, chat) for channel, chat, own in job.places if own]
    ids = [str(job.person), *map(str, job.account_ids)]
    words = names_pattern(job.names)
    values = {
        "patterns": audit_patterns(ids, [*accounts, *own_chats]),
        "words": [words] if words else [],
    }
    await connection.execute(STATEMENTS["redact_audit"], values)
    job.go_on()

    return True


async def _people(stores: Stores, connection: Connection, job: Job) -> bool:
    values = {"accounts": job.account_ids}
    if await _is_somewhere(connection, job):
        job.step = "messages"
        return True
    if not await hold_sums(connection):
        return False

    await forget_people(connection, job.account_ids)
    await forget_words(
        connection, accounts=job.account_ids, conversations=job.conversations
    )
    await connection.execute(STATEMENTS["erase_accounts"], values)
    await connection.execute(STATEMENTS["delete_users"], values)
    job.go_on()

    return True


async def _redis(stores: Stores, connection: Connection, job: Job) -> bool:
    if not await _forget_traces(stores, job):
        return False

    job.go_on()

    return True


async def _settle(stores: Stores, connection: Connection, job: Job) -> bool:
    if job.idle < SETTLE_SECONDS:
        return False
    if await _is_somewhere(connection, job):
        job.step = "messages"
        return True

    values = {"conversations": job.conversations}
    await connection.execute(STATEMENTS["blank_answered_turns"], values)
    await connection.execute(STATEMENTS["blank_turns_again"])
    await erase_budgets(connection, job)
    if not await _forget_traces(stores, job):
        return False

    await _end(connection, job)

    return True


async def _end(connection: Connection, job: Job) -> None:
    """The receipt names no one: hashes of ids that nothing else holds any more."""
    receipts = await jobs.finish(connection, job)
    found: Mapping[str, Any] = {"accounts": receipts, "messages": job.messages}
    name = job.requested_by if job.requested_by != "person" else "agent"
    await audit.record(
        connection,
        Itself(name=name, origin="erasure"),
        "person.erase",
        f"erasure:{job.id}",
        before=None,
        after=traces.as_json(found),
        epoch=None,
    )


async def _is_somewhere(connection: Connection, job: Job) -> bool:
    statement = STATEMENTS["next_conversation"]
    values = {"accounts": job.account_ids}

    return (await connection.execute(statement, values)).first() is not None


async def _forget_traces(stores: Stores, job: Job) -> bool:
    """In Redis and in files. False: Redis is away, and is asked again."""
    traces.forget_files(stores.home, job)
    if not stores.pipe.usable:
        return True
    try:
        await traces.forget_keys(stores.pipe, job)
    except (RedisError, OSError):
        return job.idle > KEYS_LIVE_SECONDS

    return True


_STEPS: Mapping[str, Callable[[Stores, Connection, Job], Awaitable[bool]]] = {
    "messages": _messages,
    "turns": _turns,
    "settings": _settings,
    "audit": _audit,
    "people": _people,
    "redis": _redis,
    "settle": _settle,
}
