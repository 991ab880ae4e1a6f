"""Audit rows form a chain of hashes. Each has its origin and the epoch that it began, and each
database has a lineage of its own.
"""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

# The row of audit_head is the lock that puts all writers in one order. It also shows when the
# last rows are missing.
HEAD = """
CREATE TABLE audit_head (
    single boolean PRIMARY KEY DEFAULT true CONSTRAINT audit_head_one_row CHECK (single),
    id bigint NOT NULL DEFAULT 0,
    hash bytea NOT NULL DEFAULT decode(repeat('00', 32), 'hex')
)
"""

# The text of a row that is hashed. The statement `audit_chain` of storage/control has an
# expression of its own, so that a changed function shows.
TEXT = """
CREATE FUNCTION audit_text(entry audit_log) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT jsonb_build_array(
        entry.id, to_char(entry.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US'),
        entry.actor, entry.action, entry.subject, entry.before, entry.after, entry.reason,
        entry.origin, entry.epoch
    )::text
$$
"""

CHAIN = """
CREATE FUNCTION audit_chain() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    head audit_head%ROWTYPE;
BEGIN
    UPDATE audit_head SET id = id + 1 RETURNING * INTO STRICT head;
    NEW.id := head.id;
    NEW.at := clock_timestamp();
    NEW.hash := sha256(head.hash || convert_to(audit_text(NEW), 'UTF8'));
    UPDATE audit_head SET hash = NEW.hash;
    RETURN NEW;
END $$
"""

CHAIN_WHAT_IS_THERE = """
DO $$
DECLARE
    entry audit_log%ROWTYPE;
    old bigint;
    head audit_head%ROWTYPE;
BEGIN
    FOR entry IN SELECT * FROM audit_log ORDER BY id LOOP
        UPDATE audit_head SET id = id + 1 RETURNING * INTO STRICT head;
        old := entry.id;
        entry.id := head.id;
        entry.hash := sha256(head.hash || convert_to(audit_text(entry), 'UTF8'));
        UPDATE audit_log SET id = entry.id, hash = entry.hash WHERE id = old;
        UPDATE audit_head SET hash = entry.hash;
    END LOOP;
END $$
"""


def upgrade() -> None:
    op.execute(
        "ALTER TABLE audit_log ADD origin text, ADD epoch bigint, ADD hash "
        "bytea, ALTER id DROP IDENTITY"
    )
    op.execute(HEAD)
    op.execute("INSERT INTO audit_head DEFAULT VALUES")
    op.execute(TEXT)
    op.execute(CHAIN_WHAT_IS_THERE)
    op.execute("ALTER TABLE audit_log ALTER hash SET NOT NULL")
    op.execute("CREATE INDEX audit_subject ON audit_log (subject, id)")
    op.execute(
        "ALTER TABLE control_epoch ADD lineage uuid NOT NULL DEFAULT gen_random_uuid()"
    )
    op.execute(CHAIN)
    op.execute(
        "CREATE TRIGGER audit_chain BEFORE INSERT ON audit_log FOR EACH ROW "
        "EXECUTE FUNCTION audit_chain()"
    )


def downgrade() -> None:
    op.execute("DROP TRIGGER audit_chain ON audit_log")
    op.execute("DROP FUNCTION audit_chain()")
    op.execute("DROP FUNCTION audit_text(audit_log)")
    op.execute("DROP TABLE audit_head")
    op.execute("ALTER TABLE control_epoch DROP lineage")
    op.execute("DROP INDEX audit_subject")
    op.execute("ALTER TABLE audit_log DROP origin, DROP epoch, DROP hash")
    op.execute("ALTER TABLE audit_log ALTER id ADD GENERATED ALWAYS AS IDENTITY")
    op.execute(
        "SELECT setval(pg_get_serial_sequence('audit_log', 'id'), "
        "coalesce(max(id), 0) + 1, false) FROM audit_log"
    )
