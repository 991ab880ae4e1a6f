"""Names of conversations, by which people find them again."""

from __future__ import annotations

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE conversations ADD COLUMN title varchar(80)")


def downgrade() -> None:
    op.execute("ALTER TABLE conversations DROP COLUMN title")
