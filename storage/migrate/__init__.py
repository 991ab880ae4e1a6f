"""The schema: its version, its migrations, and what people may do to both."""

from __future__ import annotations

from storage.migrate.differences import differences, no_partition
from storage.migrate.running import MIGRATION_LOCK, downgrade, upgrade
from storage.migrate.sql import STATEMENTS
from storage.migrate.version import (
    HEAD,
    check_schema,
    check_server,
    current_revision,
    match_schema,
)

__all__ = [
    "HEAD",
    "MIGRATION_LOCK",
    "STATEMENTS",
    "check_schema",
    "check_server",
    "current_revision",
    "differences",
    "downgrade",
    "match_schema",
    "no_partition",
    "upgrade",
]
