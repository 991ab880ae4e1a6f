"""What an operator had answered again is no message of the person in reports; its answer counts."""

from __future__ import annotations

from importlib import import_module

from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

BEFORE: str = import_module("migrations.versions.0016_report_hours").MESSAGES
"""The view as it was: the file of a migration never changes."""

VIEW = BEFORE.replace("CREATE VIEW", "CREATE OR REPLACE VIEW")
LESS = "AND NOT (m.role = 'user' AND m.metadata ? 'again_by')"


def upgrade() -> None:
    op.execute(f"{VIEW} {LESS}")


def downgrade() -> None:
    op.execute(VIEW)
