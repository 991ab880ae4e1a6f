"""What is found by its words."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, Identity, Index, PrimaryKeyConstraint, text
from sqlalchemy.dialects.postgresql import TSVECTOR
from sqlalchemy.orm import Mapped, mapped_column

from storage.tables.base import Base


class SearchMessage(Base):
    """The words of one message, partitioned as messages are. It leads to them by their key.

    The text is read from the message itself: nothing else is ever shown.
    """

    __tablename__ = "search_messages"
    __table_args__ = (
        PrimaryKeyConstraint("conversation_id", "at", "seq"),
        Index("search_messages_author", "author", "at"),
        # for searches of all messages alone: others do not ask for seq >= 0
        Index("search_messages_at", "at", postgresql_where=text("seq >= 0")),
        Index("search_messages_words", "words", postgresql_using="gin"),
        {"postgresql_partition_by": "RANGE (at)"},
    )
    conversation_id: Mapped[UUID]
    at: Mapped[datetime]
    seq: Mapped[int]
    # the account that wrote it, or that the answer is for
    author: Mapped[UUID | None]
    words: Mapped[str] = mapped_column(TSVECTOR)


class SearchState(Base):
    """How far messages are read. One row."""

    __tablename__ = "search_state"
    __table_args__ = (CheckConstraint("one", name="search_state_one"),)
    one: Mapped[bool] = mapped_column(primary_key=True, server_default=text("true"))
    indexed_until: Mapped[datetime]


class SearchStale(Base):
    """A message whose text was changed since."""

    __tablename__ = "search_stale"
    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    conversation_id: Mapped[UUID]
    at: Mapped[datetime]
    seq: Mapped[int]
