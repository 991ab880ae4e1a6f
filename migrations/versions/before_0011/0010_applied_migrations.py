"""Which migration was applied when, by whom, from which file, and how long it took."""

from __future__ import annotations

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

# Written in the transaction of each migration (storage/migrate/history.py). What was applied
# before this table existed has no row.
TABLE = """
CREATE TABLE applied_migrations (
    revision text PRIMARY KEY,
    applied_at timestamptz NOT NULL DEFAULT now(),
    actor text NOT NULL,
    checksum text NOT NULL,
    seconds double precision NOT NULL
)
"""


def upgrade() -> None:
    op.execute(TABLE)


def downgrade() -> None:
    op.execute("DROP TABLE applied_migrations")
