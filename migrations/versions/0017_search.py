"""Messages are found by their words. An index on messages themselves would cost every turn."""

from __future__ import annotations

from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE search_messages (
    conversation_id uuid NOT NULL,
    at timestamptz NOT NULL,
    seq bigint NOT NULL,
    author uuid,
    words tsvector NOT NULL,
    PRIMARY KEY (conversation_id, at, seq)
) PARTITION BY RANGE (at);
CREATE INDEX search_messages_author ON search_messages (author, at);
CREATE INDEX search_messages_words ON search_messages USING gin (words);
CREATE TABLE search_messages_default PARTITION OF search_messages DEFAULT;
CREATE TABLE search_state (
    one boolean PRIMARY KEY DEFAULT true CONSTRAINT search_state_one CHECK (one),
    indexed_until timestamptz NOT NULL
);
INSERT INTO search_state (indexed_until)
SELECT coalesce(min(started_at), now()) FROM conversations;
CREATE TABLE search_stale (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    conversation_id uuid NOT NULL,
    at timestamptz NOT NULL,
    seq bigint NOT NULL
);
"""

# A month here for each month of messages, so that both go together.
PARTITIONS = """
CREATE FUNCTION make_search_partitions() RETURNS void LANGUAGE plpgsql
SECURITY DEFINER SET search_path FROM CURRENT SET lock_timeout = '500ms' AS $$
DECLARE
    month record;
BEGIN
    FOR month IN
        SELECT 'search_' || c.relname AS name, pg_get_expr(c.relpartbound, c.oid) AS bounds
        FROM pg_inherits i
        JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'messages'::regclass
          AND to_regclass('search_' || c.relname) IS NULL
    LOOP
        EXECUTE format('CREATE TABLE %I PARTITION OF search_messages %s', month.name, month.bounds);
    END LOOP;
EXCEPTION WHEN lock_not_available OR check_violation OR duplicate_table THEN
    NULL;  -- its rows are in the default partition, where they are found as well
END $$
"""

# Not for new messages, so no turn pays for it. What was edited or removed is not found from that
# moment on; a new text is found once it is read again.
CHANGED = """
CREATE FUNCTION forget_search_words() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM search_messages
    WHERE conversation_id = OLD.conversation_id AND at = OLD."timestamp" AND seq = OLD.seq;
    IF TG_OP = 'UPDATE' THEN
        INSERT INTO search_stale (conversation_id, at, seq)
        VALUES (NEW.conversation_id, NEW."timestamp", NEW.seq);
    END IF;
    RETURN NULL;
END $$
"""
TRIGGER = """
CREATE TRIGGER message_changed AFTER UPDATE OF content OR DELETE ON messages
FOR EACH ROW EXECUTE FUNCTION forget_search_words()
"""


def upgrade() -> None:
    for statement in filter(str.strip, TABLES.split(";\n")):
        op.execute(statement)
    for statement in (
        PARTITIONS,
        "SELECT make_search_partitions()",
        CHANGED,
        TRIGGER,
    ):
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP TRIGGER message_changed ON messages")
    op.execute("DROP FUNCTION forget_search_words()")
    op.execute("DROP FUNCTION make_search_partitions()")
    op.execute("DROP TABLE search_stale")
    op.execute("DROP TABLE search_state")
    op.execute("DROP TABLE search_messages")
