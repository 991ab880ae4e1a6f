"""Jobs that erase people, and what is kept where an operator wants an audit trail."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, Identity, Index, Text, Uuid, text
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


class EarlierText(Base):
    """What a message said before it was edited or deleted. It goes with its message."""

    __tablename__ = "earlier_texts"
    __table_args__ = (
        Index("earlier_texts_message", "conversation_id", "at", "seq"),
        Index("earlier_texts_author", "author"),
        Index("earlier_texts_at", "at"),
    )
    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    conversation_id: Mapped[UUID]
    at: Mapped[datetime]  # of the message
    seq: Mapped[int]
    author: Mapped[UUID | None]  # the account
    changed_at: Mapped[datetime] = mapped_column(server_default=NOW)
    content: Mapped[str]


class SystemPrompt(Base):
    """A prompt that answers were given under. Their metadata names its hash as `prompt`."""

    __tablename__ = "system_prompts"
    hash: Mapped[str] = mapped_column(primary_key=True)
    content: Mapped[str]
    used_at: Mapped[datetime] = mapped_column(server_default=NOW)  # to the day
