"""What was said and spent in a conversation, for the commands that show it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

from agent.core.channel import OutgoingFile
from agent.core.effects import ConversationEntry, HistoryEntry, UsageTotal
from agent.core.errors import Conflict, Refused
from agent.core.messages import Inbound
from agent.core.words.search import Found, Query
from storage.connecting.connection import Connection
from storage.conversation import STATEMENTS
from storage.conversation.chat import chat_transaction, place_of
from storage.conversation.conversations import PostgresTitles
from storage.lifecycle.export.making import CHAT_BYTES, export_queue, exported
from storage.lifecycle.export.package import Bound
from storage.people.accounts import account_of
from storage.reports.search import search_for

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
        wanted = {**place_of(inbound), "count": count}

        async with chat_transaction(self._database) as connection:
            last = STATEMENTS["last_messages"]
            rows = await connection.execute(last, wanted)

        return [
            HistoryEntry(role, content, at, meta.get("author"))
            for role, content, at, meta in reversed(rows)
        ]

    async def conversations(
        self, inbound: Inbound, count: int, number: int | None = None
    ) -> list[ConversationEntry]:
        wanted = {**place_of(inbound), "count": count, "number": number}

        async with chat_transaction(self._database) as connection:
            listed = STATEMENTS["conversations_of_chat"]
            rows = await connection.execute(listed, wanted)

        return [ConversationEntry(*row) for row in rows]

    async def search(self, inbound: Inbound, query: Query) -> list[Found]:
        async with chat_transaction(self._database) as connection:
            return await search_for(connection, inbound, query)

    async def usage(self, inbound: Inbound) -> tuple[UsageTotal, UsageTotal]:
        here = place_of(inbound)
        person = {**account_of(inbound), "days": USAGE_DAYS}

        async with chat_transaction(self._database) as connection:
            await connection.execute(STATEMENTS["by_index"])

            return (
                await _total(connection, STATEMENTS["usage_of_conversation"], here),
                await _total(connection, STATEMENTS["usage_of_person"], person),
            )

    async def export(self, inbound: Inbound) -> str:
        async with chat_transaction(self._database) as connection:
            known = STATEMENTS["model_and_person"]
            account = (await connection.execute(known, account_of(inbound))).first()
        if account is None:
            return "Nothing is kept of you."

        try:
            bound = Bound(rows=EXPORTED_MESSAGES)
            with await exported(self._database, account.person_id, bound) as file:
                body = file.beginning(EXPORTED_CHARS + 1)
        except (Conflict, Refused) as error:
            return error.sentence

        return (
            body if len(body) <= EXPORTED_CHARS else f"{body[:EXPORTED_CHARS]}…{MORE}"
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
    connection: Connection, sql: str, values: Mapping[str, Any]
) -> UsageTotal:
    row = (await connection.execute(sql, values)).one()

    return UsageTotal(
        answers=row.answers,
        prompt_tokens=int(row.prompt_tokens),
        completion_tokens=int(row.tokens),
        cost_usd=row.cost,
        unpriced=row.unpriced,
        estimated=row.estimated,
        models=tuple(row.models),
    )
