"""What was said and spent in a conversation, for the commands that show it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from agent.core.effects import ConversationEntry, HistoryEntry, UsageTotal
from agent.core.messages import Inbound
from storage.conversation import STATEMENTS
from storage.conversation.chat import chat_transaction, is_active, within_lifetime
from storage.postgres import Database
from storage.tables import Conversation, MessageRow

USAGE_DAYS = 30
"""What `/usage` calls a person's last days."""


class PostgresChatRecords:
    """Implements agent.core.effects.ChatRecords."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def history(self, inbound: Inbound, count: int) -> list[HistoryEntry]:
        last = (
            select(
                MessageRow.role,
                MessageRow.content,
                MessageRow.timestamp,
                MessageRow.meta,
            )
            .join(Conversation, Conversation.id == MessageRow.conversation_id)
            .where(is_active(inbound), within_lifetime())
            .order_by(MessageRow.timestamp.desc(), MessageRow.seq.desc())
            .limit(count)
        )

        async with chat_transaction(self._database) as connection:
            rows = (await connection.execute(last)).all()

        return [
            HistoryEntry(role, content, at, meta.get("author"))
            for role, content, at, meta in reversed(rows)
        ]

    async def conversations(
        self, inbound: Inbound, count: int, number: int | None = None
    ) -> list[ConversationEntry]:
        channel, chat, thread = inbound.address.key
        here = {"channel": channel, "chat": chat, "thread": thread}
        wanted = {**here, "count": count, "number": number}

        async with chat_transaction(self._database) as connection:
            listed = text(STATEMENTS["conversations_of_chat"])
            rows = (await connection.execute(listed, wanted)).all()

        return [ConversationEntry(*row) for row in rows]

    async def usage(self, inbound: Inbound) -> tuple[UsageTotal, UsageTotal]:
        channel, chat, thread = inbound.address.key
        here = {"channel": channel, "chat": chat, "thread": thread}
        person = {"channel": channel, "account": inbound.user_id, "days": USAGE_DAYS}

        async with chat_transaction(self._database) as connection:
            await connection.execute(text(STATEMENTS["by_index"]))

            return (
                await _total(connection, STATEMENTS["usage_of_conversation"], here),
                await _total(connection, STATEMENTS["usage_of_person"], person),
            )


async def _total(
    connection: AsyncConnection, sql: str, values: Mapping[str, Any]
) -> UsageTotal:
    row = (await connection.execute(text(sql), values)).one()

    return UsageTotal(
        answers=row.answers,
        prompt_tokens=int(row.prompt_tokens),
        completion_tokens=int(row.tokens),
        cost_usd=row.cost,
        unpriced=row.unpriced,
        estimated=row.estimated,
        models=tuple(row.models),
    )
