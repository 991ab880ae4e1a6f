"""Messages are found by their author: what answers cost counts for the person who asked."""

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


def upgrade() -> None:
    op.execute(INDEX)


def downgrade() -> None:
    op.execute("DROP INDEX messages_author")
