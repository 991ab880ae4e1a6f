"""What was said and spent in a conversation, for the commands that show it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from agent.core.channel import OutgoingFile
from agent.core.effects import ConversationEntry, HistoryEntry, UsageTotal
from agent.core.errors import Conflict, Refused
from agent.core.messages import Inbound
from agent.core.words.search import Found, Query
from storage.conversation import STATEMENTS
from storage.conversation.chat import (
    chat_transaction,
    is_account,
    is_active,
    within_lifetime,
)
from storage.conversation.conversations import PostgresTitles
from storage.lifecycle.export.making import CHAT_BYTES, export_queue, exported
from storage.lifecycle.export.package import Bound
from storage.reports.search import search_for
from storage.tables import Conversation, MessageRow, User

USAGE_DAYS = 30
"""What `/usage` calls a person's last days."""

EXPORTED_MESSAGES = 100
EXPORTED_CHARS = 12_000
"""How much `/export` shows where a chat takes no file."""

IN_PART = (
    "Here is the newest of what is kept of you; all of it is too large for this chat. "
    "`export.txt` says what is missing: please ask the operator of this agent for it, who "
    "gets it by `agent people export` or from the console."
)
"""Said instead of the reply."""

MORE = "\n\nThere is more: ask whoever runs this agent for all of it as a file."


class PostgresChatRecords(PostgresTitles):
    """Implements agent.ports.chat.ChatRecords."""

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

    async def search(self, inbound: Inbound, query: Query) -> list[Found]:
        async with chat_transaction(self._database) as connection:
            return await search_for(connection, inbound, query)

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

    async def export(self, inbound: Inbound) -> str:
        of_account = select(User.person_id).where(is_account(inbound))
        async with chat_transaction(self._database) as connection:
            person = await connection.scalar(of_account)
        if person is None:
            return "Nothing is kept of you."

        try:
            bound = Bound(rows=EXPORTED_MESSAGES)
            with await exported(self._database, person, bound) as file:
                text = file.beginning(EXPORTED_CHARS + 1)
        except (Conflict, Refused) as error:
            return error.sentence

        return (
            text if len(text) <= EXPORTED_CHARS else f"{text[:EXPORTED_CHARS]}…{MORE}"
        )

    @asynccontextmanager
    async def export_file(
        self, person: UUID, max_bytes: int
    ) -> AsyncIterator[OutgoingFile]:
        bound = Bound(size=min(max_bytes, CHAT_BYTES))
        async with export_queue().sending():
            with await exported(self._database, person, bound) as file:
                content = file.content()

            remark = IN_PART if file.missing else ""

            yield OutgoingFile("export.zip", content, remark)


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
