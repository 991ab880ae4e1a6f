"""What was said and spent in a conversation, for the commands that show it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, case, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from agent.core.effects import HistoryEntry, UsageTotal
from agent.core.messages import Inbound
from storage.conversation.chat import (
    chat_transaction,
    is_account,
    is_active,
    within_lifetime,
)
from storage.postgres import Database
from storage.tables import Conversation, MessageRow, User


class PostgresChatRecords:
    """Implements agent.ports.ChatRecords."""

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

    async def usage(self, inbound: Inbound) -> tuple[UsageTotal, UsageTotal]:
        person = select(User.person_id).where(is_account(inbound)).scalar_subquery()
        own = (
            select(Conversation.id)
            .join(User, User.id == Conversation.user_id)
            .where(User.person_id == person)
        )
        here = select(Conversation.id).where(is_active(inbound))
        recent = MessageRow.timestamp > func.now() - timedelta(days=30)

        async with chat_transaction(self._database) as connection:
            return (
                await _total(connection, MessageRow.conversation_id.in_(here)),
                await _total(
                    connection, MessageRow.conversation_id.in_(own) & recent
                ),
            )


async def _total(
    connection: AsyncConnection, which: ColumnElement[bool]
) -> UsageTotal:
    answered = MessageRow.model_used.is_not(None)
    sums: tuple[ColumnElement[Any], ...] = (
        func.count(),
        func.coalesce(func.sum(MessageRow.prompt_tokens), 0),
        func.coalesce(func.sum(MessageRow.token_count), 0),
        func.coalesce(func.sum(MessageRow.cost_usd), 0),
        func.count(case((MessageRow.cost_usd.is_(None), 1))),
        func.count(case((MessageRow.meta.has_key("estimated"), 1))),
        func.coalesce(func.array_agg(MessageRow.model_used.distinct()), []),
    )
    of_answers = select(*sums).where(which, MessageRow.role == "assistant", answered)
    row = (await connection.execute(of_answers)).one()

    return UsageTotal(
        answers=row[0],
        prompt_tokens=int(row[1]),
        completion_tokens=int(row[2]),
        cost_usd=row[3],
        unpriced=row[4],
        estimated=row[5],
        models=tuple(row[6]),
    )
