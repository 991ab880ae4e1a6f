"""When a message of a conversation was last edited, so that an answer can tell whether it
was begun before.
"""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE conversations ADD COLUMN edited bigint NOT NULL DEFAULT 0")


def downgrade() -> None:
    op.execute("ALTER TABLE conversations DROP COLUMN edited")
