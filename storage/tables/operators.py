"""Operators, and how they are known: sessions, one-time links, tokens."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    CheckConstraint,
    LargeBinary,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from storage.tables.base import NOW, Base


class Operator(Base):
    """A person who may change what the agent does.

    While there is none, anybody who can reach the database may.
    """

    __tablename__ = "operators"
    __table_args__ = (
        CheckConstraint(
            "role IN ('viewer', 'operator', 'admin')", name="operators_role"
        ),
    )
    name: Mapped[str] = mapped_column(primary_key=True)
    added_at: Mapped[datetime] = mapped_column(server_default=NOW)
    role: Mapped[str] = mapped_column(server_default="admin")
    password: Mapped[str | None]  # its Argon2 hash; None: cannot sign in by password
    totp: Mapped[bytes | None] = mapped_column(
        LargeBinary
    )  # sealed, if there are keys
    totp_step: Mapped[int | None]  # of the last code that was taken
    # SHA-256 of codes that were not used yet
    recovery: Mapped[list[bytes]] = mapped_column(
        ARRAY(LargeBinary), server_default=text("'{}'")
    )


class OperatorSession(Base):
    """Somebody who is signed in to the console; only the hash of their token is kept."""

    __tablename__ = "operator_sessions"
    __table_args__ = (UniqueConstraint("token_hash", name="operator_sessions_token"),)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    token_hash: Mapped[bytes] = mapped_column(LargeBinary)
    operator: Mapped[str]
    csrf: Mapped[str]
    origin: Mapped[str]  # from where they signed in
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    seen_at: Mapped[datetime] = mapped_column(server_default=NOW)
    ends_at: Mapped[datetime]


class OperatorInvitation(Base):
    """A one-time link to set a password, or to sign in once; only its hash is kept."""

    __tablename__ = "operator_invitations"
    __table_args__ = (
        CheckConstraint(
            "purpose IN ('password', 'sign-in')", name="operator_invitations_purpose"
        ),
    )
    token_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    operator: Mapped[str]
    purpose: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    ends_at: Mapped[datetime]


class ApiToken(Base):
    """What a program signs in with, in the name of an operator; only its hash is kept."""

    __tablename__ = "api_tokens"
    __table_args__ = (
        UniqueConstraint("token_hash", name="api_tokens_token"),
        CheckConstraint(
            "scope IN ('read', 'operate', 'admin')", name="api_tokens_scope"
        ),
    )
    id: Mapped[UUID] = mapped_column(primary_key=True)
    token_hash: Mapped[bytes] = mapped_column(LargeBinary)
    operator: Mapped[str]
    label: Mapped[str]
    scope: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    used_at: Mapped[datetime | None]
    ends_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]
