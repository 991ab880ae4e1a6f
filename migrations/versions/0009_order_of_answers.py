"""Which answer was stored last in a conversation: the next one waits until it has arrived."""

from __future__ import annotations

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE conversations ADD COLUMN last_turn uuid")


def downgrade() -> None:
    op.execute("ALTER TABLE conversations DROP COLUMN last_turn")
