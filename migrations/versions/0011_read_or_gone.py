"""Messages are found by their author, and columns that nobody reads are gone."""

from __future__ import annotations

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

# Only people's messages have an author, so answers pay nothing. While it is built, nobody can
# write a message: about a second for a million of them.
INDEX = """
CREATE INDEX messages_author ON messages (user_id, "timestamp") WHERE user_id IS NOT NULL
"""

# When a rule or a budget was set, and by whom, is in the audit log.
UNREAD = ("feature_flags", "budgets")


def upgrade() -> None:
    op.execute(INDEX)
    for table in UNREAD:
        op.execute(f"ALTER TABLE {table} DROP COLUMN updated_at")


def downgrade() -> None:
    for table in UNREAD:
        op.execute(
            f"ALTER TABLE {table} ADD COLUMN updated_at timestamptz NOT NULL DEFAULT now()"
        )
    op.execute("DROP INDEX messages_author")
