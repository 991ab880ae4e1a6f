"""Why an answer is as it is: what the database knows of how it was made."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from msgspec import Struct

from agent.core.errors import Rejected
from storage.conversation.operating import STATEMENTS
from storage.conversation.operating.reading import (
    WHOLE,
    Head,
    Reader,
    ReadMessage,
    as_read,
    head_of,
    note_reading,
)
from storage.postgres import Database
from storage.transaction import transaction

MAX_TURNS = 20
"""Messages that one answer covers, as many as are shown."""


class AnsweredTurn(Struct, frozen=True):
    """A message that the answer covers, and how its turn went. Turns are kept for 30 days."""

    seq: int
    at: datetime
    metadata: Any
    person: UUID | None
    turn: UUID | None
    """None: it is no longer kept."""
    state: str | None
    attempts: int | None
    """How often an instance died or gave up over it."""
    accepted_at: datetime | None
    touched_at: datetime | None
    """Its last change; of a closed one, when it was closed."""
    platform_id: str | None
    placed: Sequence[str] | None
    """The platform's ids of what stands of the answer."""
    deliverer: UUID | None
    """The instance that took the delivery over."""


class Step(Struct, frozen=True):
    """A part of the time that an answer took."""

    name: str
    seconds: float


class Why(Struct, frozen=True):
    """A message; of an answer also what it covers, the newest first."""

    head: Head
    message: ReadMessage
    turns: Sequence[AnsweredTurn]
    thumbs_up: int
    thumbs_down: int

    @property
    def planned_at(self) -> datetime:
        """When the model was asked: what was set then is what the answer obeyed."""
        took = timedelta(milliseconds=self.message.latency_ms or 0)

        return self.message.at - took

    @property
    def steps(self) -> list[Step]:
        """Where the time went, as far as it is stored."""
        if not self.turns:
            return []

        lead = self.turns[0]
        found = [("waited until a model was asked", self.planned_at - lead.at)]
        if lead.accepted_at is not None:
            found.insert(0, ("accepted and stored", lead.at - lead.accepted_at))
        found.append(("written by the model", self.message.at - self.planned_at))
        if lead.state == "done" and lead.touched_at is not None:
            found.append(("delivered", lead.touched_at - self.message.at))

        return [Step(name, max(0.0, one.total_seconds())) for name, one in found]


async def read_why(
    database: Database, conversation: UUID, seq: int, reader: Reader
) -> Why:
    """One message with what is known of it. Raises Rejected; audited as reading is."""
    wanted = {
        "id": conversation,
        "seq": seq,
        "texts": reader.texts,
        "chars": WHOLE,
    }
    async with transaction(database) as connection:
        head = await head_of(connection, conversation, texts=reader.texts)
        found = await connection.execute(STATEMENTS["one_message"], wanted)
        row = found.first()
        if row is None:
            raise Rejected("There is no such message. It may have been erased.")

        message = as_read(row)
        covered = STATEMENTS["answered_turns"]
        values = {
            "id": conversation,
            "answers": message.answers or 0,
            "at": message.at,
            "page": MAX_TURNS,
        }
        turns = await connection.execute(covered, values)
        votes = await connection.execute(
            STATEMENTS["votes_on_message"], {"message": message.id}
        )
        up, down = votes.one()
        await note_reading(connection, conversation, reader)

    return Why(head, message, [AnsweredTurn(*turn) for turn in turns], up, down)
