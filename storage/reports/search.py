"""Finds messages by their words: the index names candidates, and each is read as it stands."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from agent.core.messages import Inbound
from agent.core.words.search import Found, Query, index_query, marked, matches, score
from storage.reports import STATEMENTS

CANDIDATES = 500
"""The newest messages with all the words; the best of them are shown."""

MAX_FOUND = 10


async def search_for(
    connection: AsyncConnection, inbound: Inbound, query: Query
) -> list[Found]:
    """What a person may find here: in a group what was said there, else what is their own."""
    channel, chat, thread = inbound.address.key
    if inbound.direct:
        own = {"channel": channel, "account": inbound.user_id}
        return await _search(connection, STATEMENTS["search_own"], query, own)

    place = {"channel": channel, "chat": chat, "thread": thread}
    return await _search(connection, STATEMENTS["search_place"], query, place)


async def search_everything(
    connection: AsyncConnection,
    query: Query,
    *,
    person: UUID | None = None,
    channel: str | None = None,
    since: datetime | None = None,
) -> list[Found]:
    """For operators, who may see all."""
    values = {"person": person, "in_channel": channel, "since": since}
    return await _search(connection, STATEMENTS["search_all"], query, values)


async def _search(
    connection: AsyncConnection, sql: str, query: Query, values: Mapping[str, Any]
) -> list[Found]:
    """The best matches first."""
    asked = {**values, "query": index_query(query), "count": CANDIDATES}
    rows = (await connection.execute(text(sql), asked)).all()
    fitting = [row for row in rows if matches(query, row.content)]
    fitting.sort(key=lambda row: -score(query, row.content, row.age_days))

    return [_found(query, row) for row in fitting[:MAX_FOUND]]


def _found(query: Query, row: Any) -> Found:
    return Found(
        row.at,
        row.role,
        row.author,
        row.channel_type,
        marked(query, row.content),
        message_link(row.channel_type, row.chat_id, row.platform_message_id),
        getattr(row, "conversation", None),
    )


def message_link(channel: str, chat: str, message: str | None) -> str | None:
    """Where a platform can be told to show a message by its ids alone: Telegram, in groups."""
    is_telegram_group = channel == "telegram" and chat.startswith("-100")
    if is_telegram_group and message is not None and message.isdecimal():
        return f"https://t.me/c/{chat.removeprefix('-100')}/{message}"

    return None
