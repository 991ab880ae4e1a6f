"""People can be erased: jobs that any instance goes on with, and audit rows that can lose a name
without breaking the chain.
"""

from __future__ import annotations

from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

# A restore of an older backup has made it already, to erase again what was erased since.
TABLE = """
CREATE TABLE IF NOT EXISTS erasures (
    id uuid PRIMARY KEY,
    person_id uuid,
    step text NOT NULL DEFAULT 'messages',
    requested_by text NOT NULL,
    requested_at timestamptz NOT NULL DEFAULT now(),
    touched_at timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz,
    accounts jsonb NOT NULL DEFAULT '[]',
    names text[] NOT NULL DEFAULT '{}',
    places jsonb NOT NULL DEFAULT '[]',
    conversations uuid[] NOT NULL DEFAULT '{}',
    turns_until timestamptz,
    receipts text[] NOT NULL,
    messages bigint NOT NULL DEFAULT 0
)
"""
INDEX = """
CREATE UNIQUE INDEX IF NOT EXISTS erasures_person ON erasures (person_id)
    WHERE person_id IS NOT NULL
"""

# Turns of which only the id is left, so that a repeated delivery is no new message.
TURNS = """
CREATE INDEX turns_erased ON turns (id) WHERE platform_message_id = ''
"""

# The hash of a row stays as it was, so the chain goes on. What the row became is hashed by a row of
# its own, further along the same chain: nothing can be blanked unseen.
REDACT = """
CREATE FUNCTION redact_audit(patterns text[], words text[]) RETURNS bigint LANGUAGE plpgsql
SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    entry audit_log%ROWTYPE;
    old audit_log%ROWTYPE;
    pattern text;
    count bigint := 0;
BEGIN
    FOR entry IN
        SELECT * FROM audit_log a
        WHERE concat_ws(' ', a.subject, a.before, a.after) ~ ANY(patterns)
           OR a.reason ~ ANY(patterns || words)
        ORDER BY id
    LOOP
        old := entry;
        FOREACH pattern IN ARRAY patterns LOOP
            entry.subject := regexp_replace(entry.subject, pattern, 'erased', 'g');
            entry.before := regexp_replace(entry.before::text, pattern, 'erased', 'g')::jsonb;
            entry.after := regexp_replace(entry.after::text, pattern, 'erased', 'g')::jsonb;
        END LOOP;
        FOREACH pattern IN ARRAY patterns || words LOOP
            entry.reason := regexp_replace(entry.reason, pattern, 'erased', 'g');
        END LOOP;
        CONTINUE WHEN entry = old;
        UPDATE audit_log SET
            subject = entry.subject,
            before = entry.before,
            after = entry.after,
            reason = entry.reason
        WHERE id = entry.id;
        INSERT INTO audit_log (actor, action, subject, after) VALUES (
            'agent', 'audit.redact', 'audit:' || entry.id,
            jsonb_build_object('row', entry.id, 'sha256',
                encode(sha256(convert_to(audit_text(entry), 'UTF8')), 'hex'))
        );
        count := count + 1;
    END LOOP;
    RETURN count;
END $$
"""


def upgrade() -> None:
    for statement in (TABLE, INDEX, TURNS, REDACT):
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP FUNCTION redact_audit(text[], text[])")
    op.execute("DROP INDEX turns_erased")
    op.execute("DROP TABLE erasures")
