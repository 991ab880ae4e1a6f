"""What all tables share: names of constraints, types of columns, defaults."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import BigInteger, DateTime, Text, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase

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
