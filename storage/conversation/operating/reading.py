"""One conversation as an operator reads it. Reading texts is an audit row, once a session."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from agent.control.permissions import Permission
from agent.core.errors import Rejected
from agent.core.messages import delivered
from storage.connecting.connection import Connection
from storage.control import audit
from storage.control.audit import Author
from storage.control.changes import admit, as_json
from storage.conversation.operating import STATEMENTS
from storage.conversation.operating.listed import FAR
from storage.postgres import Database
from storage.transaction import transaction

PAGE = 50
SHOWN_CHARS = 20_000
"""Of a message in a page of many; by itself it is shown whole."""

WHOLE = 10_000_000
"""More characters than any message has."""

READ = "conversation.read"


class Reader(Struct, frozen=True):
    """The operator who reads, and in which session."""

    author: Author
    session: UUID
    texts: bool
    """Asks for what people and the agent wrote."""


class Head(Struct, frozen=True):
    """What is known of a conversation without its messages."""

    id: UUID
    channel: str
    chat: str
    thread: str
    title: str | None
    model: str | None
    """As a person chose it for this conversation."""
    started_at: datetime
    last_activity: datetime
    is_active: bool
    answering: UUID | None
    """The claim of the answer that is being written."""
    is_stopping: bool
    is_waiting: bool
    person: UUID | None
    username: str | None
    host: str | None
    """Of the instance that answers."""
    pid: int | None
    version: int


class ReadMessage(Struct, frozen=True):
    """A message; an answer as the person saw it, with why it was cut."""

    id: UUID
    seq: int
    at: datetime
    role: str
    text: str | None
    """None: it may not be read."""
    chars: int
    answers: int | None
    model: str | None
    prompt_tokens: int | None
    tokens: int | None
    cost: Decimal | None
    latency_ms: int | None
    metadata: Mapping[str, Any]
    state: str | None
    """Of the turn that a person's message began."""
    person: UUID | None
    username: str | None

    @property
    def is_cut(self) -> bool:
        return self.text is not None and self.chars > SHOWN_CHARS

    @property
    def troubles(self) -> list[str]:
        """What went wrong, as sentences or words. They quote nobody."""
        kept = self.metadata
        found = [kept.get("note"), kept.get("undelivered")]
        if kept.get("set_aside"):
            found.append("set aside: instances died over it")
        if self.role == "assistant" and kept.get("notice"):
            found.append("a notice instead of an answer")

        return [str(one) for one in found if one]


class ReadPage(Struct, frozen=True):
    """A conversation and a page of its messages, the oldest of them first."""

    head: Head
    messages: Sequence[ReadMessage]
    has_more: bool
    """Earlier ones."""


class Before(Struct, frozen=True):
    """A place in a conversation: what stands before it is shown."""

    at: datetime = FAR
    seq: int = 0


async def read_conversation(
    database: Database, conversation: UUID, reader: Reader, before: Before
) -> ReadPage:
    """Raises Rejected when there is none, or the reader may not read texts and asks for them.

    The audit row is written in the transaction that reads.
    """
    values = {
        "id": conversation,
        "texts": reader.texts,
        "chars": SHOWN_CHARS,
        "at": before.at,
        "seq": before.seq,
        "page": PAGE + 1,
    }
    async with transaction(database) as connection:
        head = await head_of(connection, conversation, texts=reader.texts)
        statement = STATEMENTS["messages_of_conversation"]
        rows = await connection.execute(statement, values)
        # last, because nothing may be locked after an audit row
        await note_reading(connection, conversation, reader)

    messages = [as_read(row) for row in rows[:PAGE]]

    return ReadPage(head, messages[::-1], len(rows) > PAGE)


async def head_of(connection: Connection, conversation: UUID, *, texts: bool) -> Head:
    """Raises Rejected when there is no such conversation."""
    values = {"id": conversation, "texts": texts}
    found = await connection.execute(STATEMENTS["conversation_head"], values)
    row = found.first()
    if row is None:
        raise Rejected("There is no such conversation. It may have been erased.")

    return Head(*row)


def as_read(row: Any) -> ReadMessage:
    """A row of a statement on messages."""
    message = ReadMessage(*row)
    if message.text is None or message.role != "assistant":
        return message

    return replace(message, text=str(delivered(message.text, message.metadata)))


async def note_reading(
    connection: Connection, conversation: UUID, reader: Reader
) -> None:
    """Once for each operator, conversation and session. Raises Rejected without the right."""
    if not reader.texts:
        return

    await admit(connection, reader.author, Permission.READ_MESSAGES)
    if await _was_read(connection, conversation, reader):
        return

    hold = STATEMENTS["hold_session"]
    await connection.execute(hold, {"session": reader.session})
    if await _was_read(connection, conversation, reader):
        return

    await audit.record(
        connection,
        reader.author,
        READ,
        _subject(conversation),
        before=None,
        after=as_json({"session": str(reader.session)}),
        epoch=None,
    )


async def _was_read(
    connection: Connection, conversation: UUID, reader: Reader
) -> bool:
    values = {
        "subject": _subject(conversation),
        "action": READ,
        "actor": reader.author.name,
        "session": str(reader.session),
    }

    return bool(await connection.scalar(STATEMENTS["was_read"], values))


def _subject(conversation: UUID) -> str:
    return f"conversation:{conversation}"
