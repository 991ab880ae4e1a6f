"""A restored database knows it: what was open then is closed, and nothing older is caught up."""

from __future__ import annotations

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

# A restore of an older backup has made both already, so that it can say so, too.
STATES = "('open', 'done', 'failed', 'restored')"
OLD_STATES = "('open', 'done', 'failed')"


def upgrade() -> None:
    _allow(STATES)
    op.execute(
        "ALTER TABLE control_epoch ADD COLUMN IF NOT EXISTS restored_at timestamptz"
    )


def downgrade() -> None:
    op.execute("UPDATE turns SET state = 'failed' WHERE state = 'restored'")
    _allow(OLD_STATES)
    op.execute("ALTER TABLE control_epoch DROP COLUMN restored_at")


def _allow(states: str) -> None:
    op.execute(
        "ALTER TABLE turns DROP CONSTRAINT turns_state, "
        f"ADD CONSTRAINT turns_state CHECK (state IN {states})"
    )
