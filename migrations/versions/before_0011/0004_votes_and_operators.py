"""Votes on answers, and operators who may change what the agent does."""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

TABLES = (
    """
CREATE TABLE votes (
    message_id uuid NOT NULL,
    user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    conversation_id uuid NOT NULL REFERENCES conversations (id) ON DELETE CASCADE,
    thumb smallint NOT NULL CONSTRAINT votes_thumb CHECK (thumb IN (-1, 1)),
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (message_id, user_id)
)""",
    "CREATE INDEX votes_user ON votes (user_id)",
    "CREATE INDEX votes_conversation ON votes (conversation_id)",
    """
CREATE TABLE operators (
    name text PRIMARY KEY,
    added_at timestamptz NOT NULL DEFAULT now()
)""",
)


def upgrade() -> None:
    for statement in TABLES:
        op.execute(statement)


def downgrade() -> None:
    for table in ("operators", "votes"):
        op.execute(f"DROP TABLE {table}")
