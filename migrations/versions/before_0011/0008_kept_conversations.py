"""Nobody's account is deleted with the conversations of others; replies are forgotten in time."""

from __future__ import annotations

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

# A group's conversation belongs to everyone in it, not to the account that began it. And the
# messages of a conversation have no foreign key: deleting it would leave them behind.
REFERENCES = (
    ("conversations", "user_id", "users"),
    ("link_codes", "user_id", "users"),
    ("votes", "user_id", "users"),
    ("votes", "conversation_id", "conversations"),
)

# For housekeeping: the few turns whose reply is text that nobody needs any more.
REPLIES = "CREATE INDEX turns_reply ON turns (created_at) WHERE reply <> ''"


def upgrade() -> None:
    _refer("RESTRICT")
    op.execute(REPLIES)


def downgrade() -> None:
    op.execute("DROP INDEX turns_reply")
    _refer("CASCADE")


def _refer(action: str) -> None:
    for table, column, target in REFERENCES:
        name = f"{table}_{column}_fkey"
        op.execute(
            f"ALTER TABLE {table} DROP CONSTRAINT {name}, ADD CONSTRAINT {name} "
            f"FOREIGN KEY ({column}) REFERENCES {target} (id) ON DELETE {action}"
        )
