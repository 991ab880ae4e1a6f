"""Budgets, and what was used of them."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    Numeric,
    PrimaryKeyConstraint,
    SmallInteger,
    String,
)
from sqlalchemy.orm import Mapped, mapped_column

from storage.tables.base import NOW, Base


class BudgetRow(Base):
    """What a person or a channel may use in a day or a month; NULL: no bound.

    The subject `*` is for each without one of their own.
    """

    __tablename__ = "budgets"
    __table_args__ = (
        PrimaryKeyConstraint("scope", "subject", "period"),
        CheckConstraint("period IN ('day', 'month')", name="budgets_period"),
        CheckConstraint("scope IN ('person', 'channel')", name="budgets_scope"),
        CheckConstraint("tokens >= 0", name="budgets_tokens"),
        CheckConstraint("usd >= 0", name="budgets_usd"),
    )
    scope: Mapped[str] = mapped_column(String(10))
    subject: Mapped[str]  # a person's id, a channel's name, or *
    period: Mapped[str] = mapped_column(String(5), server_default="day")
    tokens: Mapped[int | None]
    usd: Mapped[Decimal | None] = mapped_column(Numeric(14, 8))
    updated_at: Mapped[datetime] = mapped_column(server_default=NOW)


class BudgetDay(Base):
    """What a subject used in a day or month (UTC), with the worst case of calls under way."""

    __tablename__ = "budget_days"
    __table_args__ = (PrimaryKeyConstraint("scope", "subject", "period", "day"),)
    scope: Mapped[str] = mapped_column(String(10))
    subject: Mapped[str]
    period: Mapped[str] = mapped_column(String(5), server_default="day")
    day: Mapped[date]  # of a month its first
    tokens: Mapped[int] = mapped_column(server_default="0")
    usd: Mapped[Decimal] = mapped_column(Numeric(14, 8), server_default="0")
    # percent of the budget that operators were told of
    alerted: Mapped[int] = mapped_column(SmallInteger, server_default="0")


class BudgetReservation(Base):
    """The worst case of one model call under way, and where it was counted."""

    __tablename__ = "budget_reservations"
    id: Mapped[UUID] = mapped_column(primary_key=True)
    day: Mapped[date]
    person: Mapped[str | None]
    channel: Mapped[str | None]
    # where it was counted in a month
    person_month: Mapped[str | None]
    channel_month: Mapped[str | None]
    tokens: Mapped[int]
    usd: Mapped[Decimal] = mapped_column(Numeric(14, 8))
    made_at: Mapped[datetime] = mapped_column(server_default=NOW)
