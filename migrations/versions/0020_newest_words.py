"""Operators' searches walk the newest words first; a month is dropped without a long lock; earlier
texts are kept where an operator switches that on.
"""

from __future__ import annotations

from importlib import import_module

from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


# Of all messages, as the condition says to those searches alone that ask for all. Else a search for
# one person might walk everybody's messages until it met enough of theirs.
NEWEST = "CREATE INDEX search_messages_at ON search_messages (at) WHERE seq >= 0"

# Else new words queue in a list that each search reads from its beginning to its end. A month here
# for each month of messages, as before.
QUEUE_NOTHING = """
CREATE FUNCTION queue_no_words() RETURNS void LANGUAGE plpgsql
SET search_path FROM CURRENT AS $$
DECLARE
    words record;
BEGIN
    FOR words IN
        SELECT i.inhrelid::regclass AS index
        FROM pg_inherits i
        JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'search_messages_words'::regclass AND c.reloptions IS NULL
    LOOP
        EXECUTE format('ALTER INDEX %s SET (fastupdate = off)', words.index);
        PERFORM gin_clean_pending_list(words.index);
    END LOOP;
END $$
"""
PARTITIONS = """
CREATE OR REPLACE FUNCTION make_search_partitions() RETURNS void LANGUAGE plpgsql
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
        PERFORM queue_no_words();
    END LOOP;
EXCEPTION WHEN lock_not_available OR check_violation OR duplicate_table THEN
    NULL;  -- its rows are in the default partition, where they are found as well
END $$
"""

# Whoever waits for a table to itself holds up every turn behind it. Detaching takes up to three
# locks (of the table, the month and the default partition), each within 25 ms or not at all. It
# changes the catalogue alone. Nor is the disk waited for: after a crash it is simply done again.
BRIEFLY = """
    PERFORM set_config('lock_timeout', '25ms', true);
    PERFORM set_config('synchronous_commit', 'off', true);
"""
DETACH = f"""
CREATE OR REPLACE FUNCTION detach_messages(month date) RETURNS void LANGUAGE plpgsql
SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    {BRIEFLY}
    EXECUTE format('ALTER TABLE messages DETACH PARTITION %I',
        'messages_' || to_char(month, 'YYYY_MM'));
END $$
"""

# An edit forgets words, so their table is not kept from others for long either.
DETACH_WORDS = f"""
CREATE FUNCTION detach_words(month date) RETURNS void LANGUAGE plpgsql
SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    name text := 'search_messages_' || to_char(month, 'YYYY_MM');
BEGIN
    {BRIEFLY}
    IF EXISTS (SELECT FROM pg_inherits WHERE inhrelid = to_regclass(name)) THEN
        EXECUTE format('ALTER TABLE search_messages DETACH PARTITION %I', name);
    END IF;
END $$
"""

# What nobody sees any more: no lock here is one that turns ask for. Removing the files of a large
# table takes a while. Words of the month that had no table of their own go, too; nobody reads more
# of them meanwhile.
DROP = """
CREATE OR REPLACE FUNCTION drop_detached_messages(month date) RETURNS void LANGUAGE plpgsql
SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    name text := 'messages_' || to_char(month, 'YYYY_MM');
    since timestamptz := month::timestamp AT TIME ZONE 'UTC';
    before timestamptz := (month + interval '1 month') AT TIME ZONE 'UTC';
BEGIN
    IF EXISTS (
        SELECT FROM pg_inherits
        WHERE inhrelid IN (to_regclass(name), to_regclass('search_' || name))
    ) THEN
        RAISE EXCEPTION '% is a partition still', name;
    END IF;
    PERFORM set_config('lock_timeout', '50ms', true);
    PERFORM FROM search_state FOR UPDATE;
    DELETE FROM search_messages WHERE at >= since AND at < before AND seq >= 0;
    DELETE FROM earlier_texts WHERE at >= since AND at < before;
    EXECUTE format('DROP TABLE IF EXISTS %I', 'search_' || name);
    EXECUTE format('DROP TABLE IF EXISTS %I', name);
END $$
"""

TABLES = """
CREATE TABLE earlier_texts (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    conversation_id uuid NOT NULL,
    at timestamptz NOT NULL,
    seq bigint NOT NULL,
    author uuid,
    changed_at timestamptz NOT NULL DEFAULT now(),
    content text NOT NULL
);
CREATE INDEX earlier_texts_message ON earlier_texts (conversation_id, at, seq);
CREATE INDEX earlier_texts_author ON earlier_texts (author);
CREATE INDEX earlier_texts_at ON earlier_texts (at);
CREATE TABLE system_prompts (
    hash text PRIMARY KEY,
    content text NOT NULL,
    used_at timestamptz NOT NULL DEFAULT now()
);
"""

# Only edits and deletions by people say `kept`, and only where that is switched on. Here the text
# of before is known for certain: two edits at once leave both.
EARLIER = """
CREATE FUNCTION keep_earlier_text() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.metadata := NEW.metadata - 'kept';
    IF OLD.content <> '' AND OLD.content <> NEW.content THEN
        INSERT INTO earlier_texts (conversation_id, at, seq, author, content)
        VALUES (OLD.conversation_id, OLD."timestamp", OLD.seq, OLD.user_id, OLD.content);
    END IF;
    RETURN NEW;
END $$
"""
EARLIER_TRIGGER = """
CREATE TRIGGER message_edited BEFORE UPDATE OF content ON messages
FOR EACH ROW WHEN (NEW.metadata ? 'kept') EXECUTE FUNCTION keep_earlier_text()
"""
FORGET = """
CREATE FUNCTION forget_earlier_text() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM earlier_texts
    WHERE conversation_id = OLD.conversation_id AND at = OLD."timestamp" AND seq = OLD.seq;
    RETURN NULL;
END $$
"""
FORGET_TRIGGER = """
CREATE TRIGGER message_removed AFTER DELETE ON messages
FOR EACH ROW EXECUTE FUNCTION forget_earlier_text()
"""


def upgrade() -> None:
    for statement in filter(str.strip, TABLES.split(";\n")):
        op.execute(statement)
    for statement in (NEWEST, QUEUE_NOTHING, PARTITIONS, DETACH, DETACH_WORDS, DROP):
        op.execute(statement)
    op.execute("SELECT queue_no_words()")

    # Last: turns wait from here on. First of all for what they lock first, since a later
    # migration changes it: otherwise a turn and the migrations wait for each other.
    op.execute("LOCK TABLE conversations IN ACCESS EXCLUSIVE MODE")
    for statement in (EARLIER, EARLIER_TRIGGER, FORGET, FORGET_TRIGGER):
        op.execute(statement)


def downgrade() -> None:
    months = import_module("migrations.versions.0018_retention")
    words = import_module("migrations.versions.0017_search")
    for statement in (months.DETACH, months.DROP, words.PARTITIONS):
        op.execute(statement.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION"))
    for trigger in ("message_edited", "message_removed"):
        op.execute(f"DROP TRIGGER {trigger} ON messages")
    for function in ("keep_earlier_text", "forget_earlier_text"):
        op.execute(f"DROP FUNCTION {function}()")
    for table in ("earlier_texts", "system_prompts"):
        op.execute(f"DROP TABLE {table}")
    op.execute("DROP FUNCTION detach_words(date)")
    op.execute("DROP FUNCTION queue_no_words()")
    op.execute("DROP INDEX search_messages_at")
