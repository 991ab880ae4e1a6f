"""Budgets for each day, and an index for people with limits of their own."""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

TABLES = (
    """
CREATE TABLE budgets (
    scope varchar(10) NOT NULL CONSTRAINT budgets_scope CHECK (scope IN ('person', 'channel')),
    subject text NOT NULL,
    tokens bigint CONSTRAINT budgets_tokens CHECK (tokens >= 0),
    usd numeric(14, 8) CONSTRAINT budgets_usd CHECK (usd >= 0),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (scope, subject)
)""",
    """
CREATE TABLE budget_days (
    scope varchar(10) NOT NULL,
    subject text NOT NULL,
    day date NOT NULL,
    tokens bigint NOT NULL DEFAULT 0,
    usd numeric(14, 8) NOT NULL DEFAULT 0,
    PRIMARY KEY (scope, subject, day)
) WITH (fillfactor = 50)""",
    """
CREATE TABLE budget_reservations (
    id uuid PRIMARY KEY,
    day date NOT NULL,
    person text,
    channel text,
    tokens bigint NOT NULL,
    usd numeric(14, 8) NOT NULL,
    made_at timestamptz NOT NULL DEFAULT now()
)""",
    "CREATE INDEX users_limited ON users (channel_type, channel_user_id) WHERE metadata ? 'limit'",
)


def upgrade() -> None:
    for statement in TABLES:
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP INDEX users_limited")

    for table in ("budget_reservations", "budget_days", "budgets"):
        op.execute(f"DROP TABLE {table}")
