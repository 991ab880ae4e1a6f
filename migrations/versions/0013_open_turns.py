"""Sweeps look at what is open, not at all that was ever said.

Turns that stay open for longer than a minute are listed. The rest of them are newer than the
moment up to which they were looked through.
"""

from __future__ import annotations

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE open_turns (
    turn_id uuid PRIMARY KEY,
    noted_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE sweep_floor (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    at timestamptz NOT NULL
);
INSERT INTO open_turns (turn_id) SELECT id FROM turns WHERE state = 'open';
INSERT INTO sweep_floor (at) VALUES (now());
"""

# A turn that is opened again is noted by whoever does so, also by an instance of an older version.
# Its row counts as new, so that nobody forgets it at the same moment.
REOPENED = """
CREATE FUNCTION note_reopened_turn() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO open_turns (turn_id) VALUES (NEW.id)
    ON CONFLICT (turn_id) DO UPDATE SET noted_at = excluded.noted_at;
    RETURN NULL;
END $$
"""
TRIGGER = """
CREATE TRIGGER turn_reopened AFTER UPDATE OF state ON turns FOR EACH ROW
WHEN (OLD.state <> 'open' AND NEW.state = 'open') EXECUTE FUNCTION note_reopened_turn()
"""


def upgrade() -> None:
    # Blocks that are not summarized yet are read at each look into a BRIN index: all that is new.
    op.execute("DROP INDEX turns_created")
    op.execute("CREATE INDEX turns_created ON turns (created_at)")
    for statement in filter(str.strip, TABLES.split(";")):
        op.execute(statement)
    op.execute(REOPENED)
    op.execute(TRIGGER)


def downgrade() -> None:
    op.execute("DROP TRIGGER turn_reopened ON turns")
    op.execute("DROP FUNCTION note_reopened_turn()")
    op.execute("DROP TABLE sweep_floor")
    op.execute("DROP TABLE open_turns")
    op.execute("DROP INDEX turns_created")
    op.execute(
        "CREATE INDEX turns_created ON turns USING brin (created_at)"
        " WITH (pages_per_range = 16)"
    )
