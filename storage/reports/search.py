"""Finds messages by their words: the index names candidates, and each is read as it stands."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from agent.core.messages import Inbound
from agent.core.words.search import Found, Query, index_query, marked, score
from storage.connecting.connection import Connection
from storage.postgres import columns
from storage.reports import STATEMENTS
from storage.reports.search_candidates import (
    BEGINNING,
    Scope,
    candidates,
    scope_of_chat,
    scope_of_people,
)

MAX_FOUND = 10

_ANYWHERE = dict.fromkeys(("accounts", "channel", "chat", "thread"))


async def search_for(
    connection: Connection, inbound: Inbound, query: Query
) -> list[Found]:
    """What a person may find here: in a group what was said there, else what is their own."""
    return await _search(connection, await scope_of_chat(connection, inbound), query)


async def search_everything(
    connection: Connection,
    query: Query,
    *,
    person: UUID | None = None,
    channel: str | None = None,
    since: datetime | None = None,
) -> list[Found]:
    """For operators, who may see all."""
    since = since or BEGINNING
    if person is None:
        within = {"in_channel": channel}
        scope = Scope("all", since, within, allowed={"channel": channel})
        return await _search(connection, scope, query)

    asked = {"person": person, "channel": channel}
    accounts = await connection.scalars(STATEMENTS["accounts_searched"], asked)
    scope = scope_of_people(accounts, since)

    return await _search(connection, scope, query)


async def _search(connection: Connection, scope: Scope, query: Query) -> list[Found]:
    """The best matches first. Long texts are compared in a thread, beside turns."""
    keys = await candidates(connection, scope, index_query(query))
    if not keys:
        return []

    named = dict(
        zip(("conversations", "moments", "seqs"), columns(keys), strict=True)
    )
    asked = {**_ANYWHERE, **scope.allowed, **named, "since": scope.since}
    found = STATEMENTS["messages_found"]
    rows = await connection.execute(found, asked)

    return await asyncio.to_thread(_best, query, rows)


def _best(query: Query, rows: Sequence[Any]) -> list[Found]:
    scored = [(score(query, row.content, row.age_days), row) for row in rows]
    fitting = [(value, row) for value, row in scored if value is not None]
    fitting.sort(key=lambda pair: (pair[0], pair[1].at), reverse=True)

    return [_found(query, row) for _, row in fitting[:MAX_FOUND]]


def _found(query: Query, row: Any) -> Found:
    return Found(
        row.at,
        row.role,
        row.author,
        row.channel_type,
        marked(query, row.content),
        message_link(row.channel_type, row.chat_id, row.platform_message_id),
        row.conversation,
    )


def message_link(channel: str, chat: str, message: str | None) -> str | None:
    """Where a platform can be told to show a message by its ids alone: Telegram, in groups."""
    is_telegram_group = channel == "telegram" and chat.startswith("-100")
    if is_telegram_group and message is not None and message.isdecimal():
        return f"https://t.me/c/{chat.removeprefix('-100')}/{message}"

    return None
