"""What is known of the schema itself."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Double
from sqlalchemy.orm import Mapped, mapped_column

from storage.tables.base import NOW, Base


class AppliedMigration(Base):
    """A migration that the schema is made of; a row goes when its migration is taken back."""

    __tablename__ = "applied_migrations"
    revision: Mapped[str] = mapped_column(primary_key=True)
    applied_at: Mapped[datetime] = mapped_column(server_default=NOW)
    actor: Mapped[str]
    checksum: Mapped[str]  # SHA-256 of its file
    seconds: Mapped[float] = mapped_column(Double)
