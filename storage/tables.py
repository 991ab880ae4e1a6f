"""Every table. Migrations make them; a test proves that both agree. The turn's statements
are in statements.sql.
"""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    DateTime,
    FetchedValue,
    ForeignKey,
    Index,
    LargeBinary,
    Numeric,
    PrimaryKeyConstraint,
    SmallInteger,
    String,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

NOW = text("now()")
EMPTY = text("'{}'::jsonb")


class Base(DeclarativeBase):
    """Names constraints, so that migrations can name them too."""

    type_annotation_map: ClassVar = {
        datetime: DateTime(timezone=True),
        str: Text,
        int: BigInteger,
        dict[str, Any]: JSONB,
    }


class User(Base):
    """One account on one channel. Accounts of the same human share `person_id`."""

    __tablename__ = "users"
    __table_args__ = (
        UniqueConstraint("channel_type", "channel_user_id", name="users_account"),
        Index("users_person", "person_id"),
        Index(
            "users_limited",
            "channel_type",
            "channel_user_id",
            postgresql_where=text("metadata ? 'limit'"),
        ),
    )
    id: Mapped[UUID] = mapped_column(primary_key=True)
    person_id: Mapped[UUID]
    channel_type: Mapped[str] = mapped_column(String(50))
    channel_user_id: Mapped[str] = mapped_column(String(255))
    username: Mapped[str | None] = mapped_column(String(255))
    preferred_model: Mapped[str | None] = mapped_column(String(200))
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    updated_at: Mapped[datetime] = mapped_column(server_default=NOW)
    meta: Mapped[dict[str, Any]] = mapped_column("metadata", server_default=EMPTY)


class Conversation(Base):
    """One conversation, and in it the one slot that makes «one answer at a time».

    No index may name version, asked, answered, edited, answering, owner, lease_until or
    last_activity: turns update them, and only unindexed columns are updated in place (HOT).
    That is also why the seed's index on last_activity is missing.
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
    user_id: Mapped[UUID] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE")
    )  # who started it
    channel_type: Mapped[str] = mapped_column(String(50))
    chat_id: Mapped[str]
    thread_id: Mapped[str] = mapped_column(server_default="")
    model_override: Mapped[str | None] = mapped_column(String(200))
    started_at: Mapped[datetime] = mapped_column(server_default=NOW)
    last_activity: Mapped[datetime] = mapped_column(server_default=NOW)
    is_active: Mapped[bool] = mapped_column(server_default=text("true"))
    meta: Mapped[dict[str, Any]] = mapped_column("metadata", server_default=EMPTY)
    version: Mapped[int] = mapped_column(server_default="0")  # counts every change
    asked: Mapped[int] = mapped_column(
        server_default="0"
    )  # seq of the last message of a person
    answered: Mapped[int] = mapped_column(
        server_default="0"
    )  # seq of the last message that an answer covers
    edited: Mapped[int] = mapped_column(
        server_default="0"
    )  # version that the last edit of a message made
    answering: Mapped[UUID | None]  # the claim, a new id each time: the fence
    stopping: Mapped[UUID | None]  # the claim that a person asked to stop
    owner: Mapped[UUID | None]  # the instance that answers
    lease_until: Mapped[datetime | None]


class MessageRow(Base):
    """One message, partitioned by month on `timestamp`.

    The key serves window, pagination and uniqueness. There is no foreign key to
    conversations: checking it would lock the conversation's row a second time for every
    message; whoever deletes a conversation deletes its messages.
    """

    __tablename__ = "messages"
    __table_args__ = (
        PrimaryKeyConstraint("conversation_id", "timestamp", "seq"),
        CheckConstraint(
            "role IN ('user', 'assistant', 'system')", name="messages_role"
        ),
        Index("messages_timestamp", "timestamp", postgresql_using="brin"),
        {"postgresql_partition_by": 'RANGE ("timestamp")'},
    )
    conversation_id: Mapped[UUID]
    timestamp: Mapped[datetime] = mapped_column(
        server_default=NOW
    )  # taken under the conversation's lock
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
    conversation's `answered`. BRIN instead of an index on `state`, which every turn would
    move.
    """

    __tablename__ = "turns"
    __table_args__ = (
        CheckConstraint("state IN ('open', 'done', 'failed')", name="turns_state"),
        Index(
            "turns_created",
            "created_at",
            postgresql_using="brin",
            postgresql_with={"pages_per_range": 16},
        ),
    )
    id: Mapped[UUID] = mapped_column(
        primary_key=True
    )  # hash of channel, chat and platform message id
    channel_type: Mapped[str] = mapped_column(String(50))
    chat_id: Mapped[str]
    thread_id: Mapped[str] = mapped_column(server_default="")
    platform_message_id: Mapped[str]
    state: Mapped[str] = mapped_column(String(10), server_default="open")
    attempts: Mapped[int] = mapped_column(
        server_default="0"
    )  # how often an instance died or gave up over it
    address: Mapped[dict[str, Any]] = mapped_column(
        server_default=EMPTY
    )  # what else the channel needs to answer
    placed: Mapped[dict[str, Any] | None]  # what already stands on the platform
    reply: Mapped[
        str | None
    ]  # the whole answer of a turn that is no message: a command, a refusal
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    touched_at: Mapped[datetime] = mapped_column(
        server_default=NOW
    )  # renewed while somebody delivers it


class Instance(Base):
    """A running process. One that no longer beats left work to take over."""

    __tablename__ = "instances"
    id: Mapped[UUID] = mapped_column(primary_key=True)
    host: Mapped[str]
    pid: Mapped[int]
    channels: Mapped[list[str]] = mapped_column(ARRAY(Text))
    epoch: Mapped[int] = mapped_column(
        server_default="0"
    )  # of flags and settings that it applies
    started_at: Mapped[datetime] = mapped_column(server_default=NOW)
    seen_at: Mapped[datetime] = mapped_column(server_default=NOW)


class ChannelConfig(Base):
    """What an operator set for one channel; credentials are encrypted."""

    __tablename__ = "channel_configs"
    id: Mapped[UUID] = mapped_column(primary_key=True)
    channel_type: Mapped[str] = mapped_column(String(50), unique=True)
    default_model: Mapped[str | None] = mapped_column(String(200))
    settings: Mapped[dict[str, Any]] = mapped_column(server_default=EMPTY)
    credentials: Mapped[bytes | None] = mapped_column(LargeBinary)
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    updated_at: Mapped[datetime] = mapped_column(server_default=NOW)


class FeatureFlag(Base):
    """What an operator set for a flag in one scope (agent/control/rules.py names them);
    `definition`: what it is.
    """

    __tablename__ = "feature_flags"
    __table_args__ = (PrimaryKeyConstraint("scope", "name"),)
    scope: Mapped[str]
    name: Mapped[str]
    value: Mapped[Any] = mapped_column(JSONB)
    updated_at: Mapped[datetime] = mapped_column(server_default=NOW)


class ExperimentRow(Base):
    """An A/B test: variants with weights, a target, an audience, a start and an end."""

    __tablename__ = "experiments"
    name: Mapped[str] = mapped_column(primary_key=True)
    definition: Mapped[dict[str, Any]]
    started_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]


class ControlEpoch(Base):
    """One row: counts every change of flags, experiments and channel settings, in the
    change's transaction.
    """

    __tablename__ = "control_epoch"
    __table_args__ = (CheckConstraint("single", name="control_epoch_one_row"),)
    single: Mapped[bool] = mapped_column(primary_key=True, server_default=text("true"))
    epoch: Mapped[int] = mapped_column(server_default="1")
    lineage: Mapped[UUID] = mapped_column(
        server_default=text("gen_random_uuid()")
    )  # tells databases apart in Redis


class AuditEntry(Base):
    """Who changed what, and what the agent set aside by itself; a chain of hashes
    (storage/control/audit.py).

    `id`, `at` and `hash` are given by the trigger `audit_chain`, whoever inserts.
    """

    __tablename__ = "audit_log"
    __table_args__ = (Index("audit_subject", "subject", "id"),)
    id: Mapped[int] = mapped_column(
        primary_key=True, server_default=FetchedValue()
    )  # without gaps
    at: Mapped[datetime] = mapped_column(server_default=NOW)
    actor: Mapped[str]
    action: Mapped[str]
    subject: Mapped[str]
    before: Mapped[Any | None] = mapped_column(JSONB)
    after: Mapped[Any | None] = mapped_column(JSONB)
    reason: Mapped[str | None]
    origin: Mapped[str | None]  # from where
    epoch: Mapped[
        int | None
    ]  # that the change made, if it is one of flags, experiments or channel settings
    hash: Mapped[bytes] = mapped_column(LargeBinary, server_default=FetchedValue())


class AuditHead(Base):
    """One row: the end of the chain. Whoever writes an audit row holds it until the commit."""

    __tablename__ = "audit_head"
    __table_args__ = (CheckConstraint("single", name="audit_head_one_row"),)
    single: Mapped[bool] = mapped_column(primary_key=True, server_default=text("true"))
    id: Mapped[int] = mapped_column(server_default="0")
    hash: Mapped[bytes] = mapped_column(
        LargeBinary, server_default=text("decode(repeat('00', 32), 'hex')")
    )


class BudgetRow(Base):
    """What a person or a channel may use up in a day; NULL: as much as they like. Subject
    `*`: whoever has no own.
    """

    __tablename__ = "budgets"
    __table_args__ = (
        PrimaryKeyConstraint("scope", "subject"),
        CheckConstraint("scope IN ('person', 'channel')", name="budgets_scope"),
        CheckConstraint("tokens >= 0", name="budgets_tokens"),
        CheckConstraint("usd >= 0", name="budgets_usd"),
    )
    scope: Mapped[str] = mapped_column(String(10))
    subject: Mapped[str]  # a person's id, a channel's name, or *
    tokens: Mapped[int | None]
    usd: Mapped[Decimal | None] = mapped_column(Numeric(14, 8))
    updated_at: Mapped[datetime] = mapped_column(server_default=NOW)


class BudgetDay(Base):
    """What a subject used on a day (UTC), with what calls under way may use at most."""

    __tablename__ = "budget_days"
    __table_args__ = (PrimaryKeyConstraint("scope", "subject", "day"),)
    scope: Mapped[str] = mapped_column(String(10))
    subject: Mapped[str]
    day: Mapped[date]
    tokens: Mapped[int] = mapped_column(server_default="0")
    usd: Mapped[Decimal] = mapped_column(Numeric(14, 8), server_default="0")


class BudgetReservation(Base):
    """What one model call under way may use at most, and where it was counted."""

    __tablename__ = "budget_reservations"
    id: Mapped[UUID] = mapped_column(primary_key=True)
    day: Mapped[date]
    person: Mapped[str | None]
    channel: Mapped[str | None]
    tokens: Mapped[int]
    usd: Mapped[Decimal] = mapped_column(Numeric(14, 8))
    made_at: Mapped[datetime] = mapped_column(server_default=NOW)


class Vote(Base):
    """What one account thinks of one answer. Goes with the account, and with the conversation."""

    __tablename__ = "votes"
    __table_args__ = (
        PrimaryKeyConstraint("message_id", "user_id"),
        CheckConstraint("thumb IN (-1, 1)", name="votes_thumb"),
        Index("votes_user", "user_id"),
        Index("votes_conversation", "conversation_id"),
    )
    message_id: Mapped[UUID]  # of the answer
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    conversation_id: Mapped[UUID] = mapped_column(
        ForeignKey("conversations.id", ondelete="CASCADE")
    )
    thumb: Mapped[int] = mapped_column(SmallInteger)
    at: Mapped[datetime] = mapped_column(server_default=NOW)


class Operator(Base):
    """Somebody who may change what the agent does. None at all: everybody who can reach the
    database.
    """

    __tablename__ = "operators"
    name: Mapped[str] = mapped_column(primary_key=True)
    added_at: Mapped[datetime] = mapped_column(server_default=NOW)


class LinkCode(Base):
    """A one-time code that joins two accounts; only its hash is kept."""

    __tablename__ = "link_codes"
    code_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    conversation_id: Mapped[UUID | None]  # the one that continues on the other channel
    expires_at: Mapped[datetime]
