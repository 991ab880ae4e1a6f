"""What people ask of the agent in one conversation, beside the operators' prompt."""

from __future__ import annotations

from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE conversations ADD COLUMN instruction varchar(1000)")


def downgrade() -> None:
    op.execute("ALTER TABLE conversations DROP COLUMN instruction")
