"""Budgets of a month beside those of a day, alerts of both, and which flags are asked for."""

from __future__ import annotations

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

UP = (
    "ALTER TABLE budgets ADD COLUMN period varchar(5) NOT NULL DEFAULT 'day'"
    " CONSTRAINT budgets_period CHECK (period IN ('day', 'month'))",
    "ALTER TABLE budgets DROP CONSTRAINT budgets_pkey",
    "ALTER TABLE budgets ADD PRIMARY KEY (scope, subject, period)",
    "ALTER TABLE budget_days ADD COLUMN period varchar(5) NOT NULL DEFAULT 'day',"
    " ADD COLUMN alerted smallint NOT NULL DEFAULT 0",
    "ALTER TABLE budget_days DROP CONSTRAINT budget_days_pkey",
    "ALTER TABLE budget_days ADD PRIMARY KEY (scope, subject, period, day)",
    "ALTER TABLE budget_reservations ADD COLUMN person_month text,"
    " ADD COLUMN channel_month text",
    """
CREATE TABLE flag_uses (
    name text PRIMARY KEY,
    digest text NOT NULL,
    first_at timestamptz NOT NULL DEFAULT now(),
    asked_at timestamptz NOT NULL DEFAULT now(),
    same_since timestamptz NOT NULL DEFAULT now()
)""",
)
DOWN = (
    "DROP TABLE flag_uses",
    "ALTER TABLE budget_reservations DROP COLUMN person_month, DROP COLUMN channel_month",
    "DELETE FROM budget_days WHERE period <> 'day'",
    "ALTER TABLE budget_days DROP CONSTRAINT budget_days_pkey",
    "ALTER TABLE budget_days DROP COLUMN period, DROP COLUMN alerted",
    "ALTER TABLE budget_days ADD PRIMARY KEY (scope, subject, day)",
    "DELETE FROM budgets WHERE period <> 'day'",
    "ALTER TABLE budgets DROP CONSTRAINT budgets_pkey",
    "ALTER TABLE budgets DROP COLUMN period",
    "ALTER TABLE budgets ADD PRIMARY KEY (scope, subject)",
)


def upgrade() -> None:
    for statement in UP:
        op.execute(statement)


def downgrade() -> None:
    for statement in DOWN:
        op.execute(statement)
