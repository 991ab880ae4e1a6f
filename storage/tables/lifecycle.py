"""Jobs that erase people."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, Index, Text, Uuid, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from storage.tables.base import NOW, Base

NONE = text("'{}'")


class Erasure(Base):
    """A person who is being erased, or a receipt that one was.

    When it is done, everything that names the person is taken out of the row.
    """

    __tablename__ = "erasures"
    __table_args__ = (
        Index(
            "erasures_person",
            "person_id",
            unique=True,
            postgresql_where=text("person_id IS NOT NULL"),
        ),
    )
    id: Mapped[UUID] = mapped_column(primary_key=True)
    person_id: Mapped[UUID | None]
    step: Mapped[str] = mapped_column(server_default="messages")
    requested_by: Mapped[str]  # an operator, or `person`
    requested_at: Mapped[datetime] = mapped_column(server_default=NOW)
    touched_at: Mapped[datetime] = mapped_column(server_default=NOW)
    finished_at: Mapped[datetime | None]
    # id, channel, the platform's id and name of each account
    accounts: Mapped[Any] = mapped_column(JSONB, server_default=text("'[]'::jsonb"))
    names: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=NONE)
    # channel and chat of the person's own chats
    places: Mapped[Any] = mapped_column(JSONB, server_default=text("'[]'::jsonb"))
    conversations: Mapped[list[UUID]] = mapped_column(
        ARRAY(Uuid), server_default=NONE
    )
    turns_until: Mapped[datetime | None]  # turns made before are done
    receipts: Mapped[list[str]] = mapped_column(
        ARRAY(Text)
    )  # SHA-256 of accounts' ids
    messages: Mapped[int] = mapped_column(server_default="0")  # so many were blanked
