"""Which answer was stored last in a conversation, and which instance took a delivery over.

The next answer waits until the last one has arrived, and an instance that lost a delivery stops.
"""

from __future__ import annotations

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE conversations ADD COLUMN last_turn uuid")
    op.execute("ALTER TABLE turns ADD COLUMN deliverer uuid")


def downgrade() -> None:
    op.execute("ALTER TABLE turns DROP COLUMN deliverer")
    op.execute("ALTER TABLE conversations DROP COLUMN last_turn")
