"""A person's words, taken out of conversations: a piece at a time."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec

from storage.connecting.connection import Connection
from storage.lifecycle import STATEMENTS
from storage.lifecycle.jobs import Job
from storage.lifecycle.wording import (
    INSTEAD,
    LOOK_AHEAD,
    Line,
    changes,
    names_pattern,
)

AT_ONCE = 200
"""Messages in one transaction, so that nobody in the conversation waits long."""

TURNS_AT_ONCE = timedelta(days=1)
"""How much of the table of turns is looked through in one transaction."""


async def erase_next(connection: Connection, job: Job) -> bool:
    """Works at one conversation of the person. False: there is none left."""
    here = await _found(
        connection, STATEMENTS["next_conversation"], accounts=job.account_ids
    )
    if here is None:
        return False

    conversation: UUID = here.id
    if conversation not in job.conversations:
        job.conversations.append(conversation)
    await _run(connection, STATEMENTS["take_claim_away"], conversation=conversation)
    scope = {"conversation": conversation, "accounts": job.account_ids}
    is_shared = bool((await _found(connection, STATEMENTS["is_shared"], **scope))[0])
    if not here.lost:
        _note_place(job, here.channel_type, here.chat_id, own=not is_shared)

    if is_shared:
        await _blank(connection, job, scope)
    else:
        await _delete(connection, job, conversation)

    return True


def _note_place(job: Job, channel: str, chat: str, *, own: bool) -> None:
    if (channel, chat, own) not in job.places:
        job.places.append((channel, chat, own))


async def _delete(connection: Connection, job: Job, conversation: UUID) -> None:
    values = {"conversation": conversation, "limit": AT_ONCE}
    count = (await _found(connection, STATEMENTS["delete_messages"], **values))[0]
    job.messages += count

    if count < AT_ONCE:
        await _run(
            connection, STATEMENTS["delete_conversation"], conversation=conversation
        )


async def _blank(connection: Connection, job: Job, scope: dict[str, Any]) -> None:
    """Blanks some messages, what answers them and what quotes them."""
    here = {"conversation": scope["conversation"]}
    await _run(connection, STATEMENTS["forget_earlier_texts"], **here)
    statement = STATEMENTS["messages_of_person"]
    rows = await connection.execute(statement, scope | {"limit": AT_ONCE})
    job.names = sorted({*job.names, *(row.author for row in rows if row.author)})
    if rows:
        await _take_out(connection, scope, rows)
        turns = [row.turn_id for row in rows if row.turn_id]
        await _run(connection, STATEMENTS["blank_turns"], turns=turns)
    job.messages += len(rows)

    if len(rows) < AT_ONCE:
        if pattern := names_pattern(all_names(job)):
            values = {"pattern": pattern, "instead": INSTEAD}
            await _run(connection, STATEMENTS["remove_names"], **values, **here)
        people = [str(job.person), *map(str, job.account_ids)]
        await _run(connection, STATEMENTS["remove_author"], people=people, **here)
        await _run(connection, STATEMENTS["other_owner"], **scope)


def all_names(job: Job) -> list[str]:
    """How others write about the person: by name, or as the platform mentions them."""
    return [*job.names, *(account.name for account in job.accounts)]


async def _take_out(connection: Connection, scope: dict[str, Any], rows: Any) -> None:
    limit = AT_ONCE * 10 + LOOK_AHEAD
    values = scope | {"since": rows[0].timestamp, "limit": limit}
    near = await connection.execute(STATEMENTS["messages_after"], values)
    lines = [
        Line(r.timestamp, r.seq, r.role, r.content, r.answers, own=r.own is True)
        for r in near
    ]
    found = changes(lines, frozenset(row.seq for row in rows))
    here = {"conversation": scope["conversation"]}

    for row in rows:
        key = {"timestamp": row.timestamp, "seq": row.seq}
        await _run(connection, STATEMENTS["blank_message"], **here, **key)
    for timestamp, seq in found.blanked:
        await _run(
            connection,
            STATEMENTS["blank_answer"],
            **here,
            timestamp=timestamp,
            seq=seq,
        )
    for (timestamp, seq), content in found.rewritten.items():
        key = {"timestamp": timestamp, "seq": seq, "content": content}
        await _run(connection, STATEMENTS["rewrite_message"], **here, **key)


async def erase_turns(connection: Connection, job: Job) -> bool:
    """Looks through some turns. False: that was the last part."""
    since = job.turns_until or await _first_turn(connection)
    if since is None:
        return False

    now = datetime.now(since.tzinfo)
    until = min(since + TURNS_AT_ONCE, now + TURNS_AT_ONCE)
    own = [(account.channel, account.name, True) for account in job.accounts]
    places = msgspec.json.encode([*job.places, *own]).decode()
    values = {"places": places, "since": since, "until": until}
    await _run(connection, STATEMENTS["blank_turns_of_chats"], **values)
    job.turns_until = until

    return until <= now


async def _first_turn(connection: Connection) -> datetime | None:
    found: datetime | None = await connection.scalar(STATEMENTS["first_turn"])

    return found


async def _run(connection: Connection, sql: str, **values: Any) -> None:
    await connection.execute(sql, values)


async def _found(connection: Connection, sql: str, **values: Any) -> Any:
    return (await connection.execute(sql, values)).first()
