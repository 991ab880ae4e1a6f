"""Conversations, messages, turns, votes, and the instances that answer."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    CheckConstraint,
    ForeignKey,
    Index,
    Numeric,
    PrimaryKeyConstraint,
    SmallInteger,
    String,
    Text,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from storage.tables.base import EMPTY, NOW, Base


class Conversation(Base):
    """One conversation, with the one slot that ensures one answer at a time.

    No index may name version, asked, answered, edited, answering, owner, lease_until,
    last_turn or last_activity: turns update them, and only unindexed columns are updated in
    place (HOT).
    """

    __tablename__ = "conversations"
    __table_args__ = (
        Index(
            "conversations_active",
            "channel_type",
            "chat_id",
            "thread_id",
            unique=True,
            postgresql_where=text("is_active"),
        ),
        Index("conversations_chat", "channel_type", "chat_id", "thread_id"),
        Index("conversations_user", "user_id"),
    )
    id: Mapped[UUID] = mapped_column(primary_key=True)
    # the person who started it
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="RESTRICT"))
    channel_type: Mapped[str] = mapped_column(String(50))
    chat_id: Mapped[str]
    thread_id: Mapped[str] = mapped_column(server_default="")
    model_override: Mapped[str | None] = mapped_column(String(200))
    title: Mapped[str | None] = mapped_column(
        String(80)
    )  # by a person, else by the model
    # what the person asks for in every answer; only in chats of one person
    instruction: Mapped[str | None] = mapped_column(String(1000))
    started_at: Mapped[datetime] = mapped_column(server_default=NOW)
    last_activity: Mapped[datetime] = mapped_column(server_default=NOW)
    is_active: Mapped[bool] = mapped_column(server_default=text("true"))
    meta: Mapped[dict[str, Any]] = mapped_column("metadata", server_default=EMPTY)
    version: Mapped[int] = mapped_column(server_default="0")  # counts every change
    # seq of the last message of a person
    asked: Mapped[int] = mapped_column(server_default="0")
    # seq of the last message that an answer covers
    answered: Mapped[int] = mapped_column(server_default="0")
    # version that the last edit of a message made
    edited: Mapped[int] = mapped_column(server_default="0")
    answering: Mapped[UUID | None]  # the claim, a new id each time: the fence
    stopping: Mapped[UUID | None]  # the claim that a person asked to stop
    owner: Mapped[UUID | None]  # the instance that answers
    lease_until: Mapped[datetime | None]
    last_turn: Mapped[
        UUID | None
    ]  # the first turn that the last stored answer covers


class MessageRow(Base):
    """One message, partitioned by month on `timestamp`.

    The key serves window, pagination and uniqueness. There is no foreign key to
    conversations, because checking it would lock the conversation's row a second time for
    every message. Code that deletes a conversation must delete its messages.
    """

    __tablename__ = "messages"
    __table_args__ = (
        PrimaryKeyConstraint("conversation_id", "timestamp", "seq"),
        CheckConstraint(
            "role IN ('user', 'assistant', 'system')", name="messages_role"
        ),
        Index("messages_timestamp", "timestamp", postgresql_using="brin"),
        Index(
            "messages_author",
            "user_id",
            "timestamp",
            postgresql_where=text("user_id IS NOT NULL"),
        ),
        {"postgresql_partition_by": 'RANGE ("timestamp")'},
    )
    conversation_id: Mapped[UUID]
    # taken under the conversation's lock
    timestamp: Mapped[datetime] = mapped_column(server_default=NOW)
    seq: Mapped[int]  # the conversation's version at which it was written
    id: Mapped[UUID]
    role: Mapped[str] = mapped_column(String(20))
    content: Mapped[str]
    user_id: Mapped[UUID | None]  # user: the author
    turn_id: Mapped[UUID | None]  # user: the turn it began
    answers: Mapped[int | None]  # assistant: seq of the last message it answers
    model_used: Mapped[str | None] = mapped_column(String(200))
    prompt_tokens: Mapped[int | None]
    token_count: Mapped[int | None]
    cost_usd: Mapped[Decimal | None] = mapped_column(Numeric(14, 8))
    latency_ms: Mapped[int | None]
    meta: Mapped[dict[str, Any]] = mapped_column("metadata", server_default=EMPTY)


class TurnRow(Base):
    """Every accepted message until its answer is delivered, and 30 days after.

    An open turn is the intent to deliver; its answer exists once its message's seq ≤ the
    conversation's `answered`. There is no index on `state`, which every turn would move: see
    OpenTurn.
    """

    __tablename__ = "turns"
    __table_args__ = (
        CheckConstraint(
            "state IN ('open', 'done', 'failed', 'restored')", name="turns_state"
        ),
        Index("turns_created", "created_at"),
        Index(
            "turns_reply",
            "created_at",
            postgresql_where=text("reply <> ''"),
        ),
        Index(
            "turns_erased", "id", postgresql_where=text("platform_message_id = ''")
        ),
    )
    # hash of channel, chat and platform message id
    id: Mapped[UUID] = mapped_column(primary_key=True)
    channel_type: Mapped[str] = mapped_column(String(50))
    chat_id: Mapped[str]
    thread_id: Mapped[str] = mapped_column(server_default="")
    platform_message_id: Mapped[str]
    state: Mapped[str] = mapped_column(String(10), server_default="open")
    # how often an instance died or gave up over it
    attempts: Mapped[int] = mapped_column(server_default="0")
    # what else the channel needs to answer
    address: Mapped[dict[str, Any]] = mapped_column(server_default=EMPTY)
    placed: Mapped[dict[str, Any] | None]  # what already stands on the platform
    # the whole answer of a turn that is no message: a command, a refusal; "" an hour later
    reply: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    # the instance that took its delivery over; NULL: the one that stored the answer
    deliverer: Mapped[UUID | None]
    # renewed while an instance delivers it
    touched_at: Mapped[datetime] = mapped_column(server_default=NOW)


class OpenTurn(Base):
    """A turn that was open for a minute, or was opened again. It may be closed by now.

    Sweeps look at these, and at all turns from the sweep floor on.
    """

    __tablename__ = "open_turns"
    turn_id: Mapped[UUID] = mapped_column(primary_key=True)
    noted_at: Mapped[datetime] = mapped_column(server_default=NOW)


class SweepFloor(Base):
    """Older turns are closed, or open turns that are noted. One row."""

    __tablename__ = "sweep_floor"
    __table_args__ = (CheckConstraint("one", name="sweep_floor_one_check"),)
    one: Mapped[bool] = mapped_column(primary_key=True, server_default=text("true"))
    at: Mapped[datetime]


class Instance(Base):
    """A running process. One whose heartbeat stopped left work for others."""

    __tablename__ = "instances"
    id: Mapped[UUID] = mapped_column(primary_key=True)
    host: Mapped[str]
    pid: Mapped[int]
    channels: Mapped[list[str]] = mapped_column(ARRAY(Text))
    # of the flags and settings that it applies
    epoch: Mapped[int] = mapped_column(server_default="0")
    started_at: Mapped[datetime] = mapped_column(server_default=NOW)
    seen_at: Mapped[datetime] = mapped_column(server_default=NOW)


class Vote(Base):
    """What one account thinks of one answer."""

    __tablename__ = "votes"
    __table_args__ = (
        PrimaryKeyConstraint("message_id", "user_id"),
        CheckConstraint("thumb IN (-1, 1)", name="votes_thumb"),
        Index("votes_user", "user_id"),
        Index("votes_conversation", "conversation_id"),
    )
    message_id: Mapped[UUID]  # of the answer
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="RESTRICT"))
    conversation_id: Mapped[UUID] = mapped_column(
        ForeignKey("conversations.id", ondelete="RESTRICT")
    )
    thumb: Mapped[int] = mapped_column(SmallInteger)
    at: Mapped[datetime] = mapped_column(server_default=NOW)
