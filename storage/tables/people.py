"""People: their accounts, and the codes that link them."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKey, Index, LargeBinary, String, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from storage.tables.base import EMPTY, NOW, Base


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


class LinkCode(Base):
    """A one-time code that joins two accounts; only its hash is kept."""

    __tablename__ = "link_codes"
    code_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="RESTRICT"))
    conversation_id: Mapped[
        UUID | None
    ]  # the one that continues on the other channel
    expires_at: Mapped[datetime]
