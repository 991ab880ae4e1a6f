"""What operators set, who they are, and the log of their changes."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    FetchedValue,
    Index,
    LargeBinary,
    PrimaryKeyConstraint,
    String,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from storage.tables.base import EMPTY, NOW, Base


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
    """What an operator set for a flag in one scope (agent/control/rules.py names them).

    The scope `definition` says what a flag is that no code declares.
    """

    __tablename__ = "feature_flags"
    __table_args__ = (PrimaryKeyConstraint("scope", "name"),)
    scope: Mapped[str]
    name: Mapped[str]
    value: Mapped[Any] = mapped_column(JSONB)
    updated_at: Mapped[datetime] = mapped_column(server_default=NOW)


class FlagUse(Base):
    """When a flag was asked for, and since when its value is the same. Written every few
    minutes.
    """

    __tablename__ = "flag_uses"
    name: Mapped[str] = mapped_column(primary_key=True)
    digest: Mapped[str]  # of its last value
    first_at: Mapped[datetime] = mapped_column(server_default=NOW)
    asked_at: Mapped[datetime] = mapped_column(server_default=NOW)
    same_since: Mapped[datetime] = mapped_column(server_default=NOW)


class ExperimentRow(Base):
    """An A/B test: variants with weights, a target, an audience, a start and an end."""

    __tablename__ = "experiments"
    name: Mapped[str] = mapped_column(primary_key=True)
    definition: Mapped[dict[str, Any]]
    started_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]


class ControlEpoch(Base):
    """One row: counts every change of flags, experiments and channel settings, in the
    transaction of the change.
    """

    __tablename__ = "control_epoch"
    __table_args__ = (CheckConstraint("single", name="control_epoch_one_row"),)
    single: Mapped[bool] = mapped_column(
        primary_key=True, server_default=text("true")
    )
    epoch: Mapped[int] = mapped_column(server_default="1")
    # tells databases apart in Redis
    lineage: Mapped[UUID] = mapped_column(server_default=text("gen_random_uuid()"))
    # from a backup; None: never, or --resume was given
    restored_at: Mapped[datetime | None]


class AuditEntry(Base):
    """Changes by operators, and messages that the agent set aside; a chain of hashes
    (storage/control/audit.py).

    The trigger `audit_chain` sets `id`, `at` and `hash` of every insert.
    """

    __tablename__ = "audit_log"
    __table_args__ = (Index("audit_subject", "subject", "id"),)
    # without gaps
    id: Mapped[int] = mapped_column(primary_key=True, server_default=FetchedValue())
    at: Mapped[datetime] = mapped_column(server_default=NOW)
    actor: Mapped[str]
    action: Mapped[str]
    subject: Mapped[str]
    before: Mapped[Any | None] = mapped_column(JSONB)
    after: Mapped[Any | None] = mapped_column(JSONB)
    reason: Mapped[str | None]
    origin: Mapped[str | None]  # from where
    # that the change began, if it is one of flags, experiments or channel settings
    epoch: Mapped[int | None]
    hash: Mapped[bytes] = mapped_column(LargeBinary, server_default=FetchedValue())


class AuditHead(Base):
    """One row: the end of the chain. Writing an audit row locks it until the commit."""

    __tablename__ = "audit_head"
    __table_args__ = (CheckConstraint("single", name="audit_head_one_row"),)
    single: Mapped[bool] = mapped_column(
        primary_key=True, server_default=text("true")
    )
    id: Mapped[int] = mapped_column(server_default="0")
    hash: Mapped[bytes] = mapped_column(
        LargeBinary, server_default=text("decode(repeat('00', 32), 'hex')")
    )
