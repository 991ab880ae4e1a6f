"""What was used, summed up by hour."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    CheckConstraint,
    Identity,
    Index,
    Integer,
    Numeric,
    PrimaryKeyConstraint,
    String,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from storage.tables.base import Base


class ReportHour(Base):
    """What one account used of one model in one hour on one channel.

    The view `report_messages` says how each message counts. An account belongs to one person at
    any time, so linking accounts changes no row.
    """

    __tablename__ = "report_hours"
    __table_args__ = (
        PrimaryKeyConstraint("hour", "channel_type", "model", "user_id"),
        Index("report_hours_user", "user_id"),
    )
    hour: Mapped[datetime]
    channel_type: Mapped[str] = mapped_column(String(50))
    model: Mapped[str] = mapped_column(String(200))  # '': no model wrote it
    user_id: Mapped[UUID]  # the account that asked; zeros: nobody that is known
    messages: Mapped[int]  # of people, those sent again too
    retries: Mapped[int]
    answers: Mapped[int]
    failures: Mapped[int]  # replies that are no answer
    estimated: Mapped[int]  # answers whose tokens were estimated
    unpriced: Mapped[int]  # replies of models whose cost is unknown
    prompt_tokens: Mapped[int]
    cached_tokens: Mapped[int]  # of prompt_tokens
    tokens: Mapped[int]
    cost_usd: Mapped[Decimal] = mapped_column(Numeric(20, 8))
    thumbs_up: Mapped[int]
    thumbs_down: Mapped[int]
    latencies: Mapped[list[int]] = mapped_column(ARRAY(Integer))  # ms of each answer


class ReportState(Base):
    """How far hours are summed up. One row."""

    __tablename__ = "report_state"
    __table_args__ = (CheckConstraint("one", name="report_state_one"),)
    one: Mapped[bool] = mapped_column(primary_key=True, server_default=text("true"))
    counted_until: Mapped[datetime]  # a full hour; earlier ones are in report_hours
    cohorts_at: Mapped[datetime | None]  # when cohorts were last counted


class ReportFloor(Base):
    """Retention deleted messages of this channel: their hours are not summed up again."""

    __tablename__ = "report_floors"
    channel_type: Mapped[str] = mapped_column(String(50), primary_key=True)
    until: Mapped[datetime]  # hours that begin before it stay as they are


class LateVote(Base):
    """A vote that was given, changed or taken back since hours were last summed up."""

    __tablename__ = "report_late_votes"
    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    message_id: Mapped[UUID]
    conversation_id: Mapped[UUID]
