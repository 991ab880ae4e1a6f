"""Operators' searches walk the newest words first; a month is dropped without a long lock."""

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
    EXECUTE format('DROP TABLE IF EXISTS %I', 'search_' || name);
    EXECUTE format('DROP TABLE IF EXISTS %I', name);
END $$
"""


def upgrade() -> None:
    for statement in (NEWEST, QUEUE_NOTHING, PARTITIONS, DETACH, DETACH_WORDS, DROP):
        op.execute(statement)
    op.execute("SELECT queue_no_words()")


def downgrade() -> None:
    months = import_module("migrations.versions.0018_retention")
    words = import_module("migrations.versions.0017_search")
    for statement in (months.DETACH, months.DROP, words.PARTITIONS):
        op.execute(statement.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION"))
    op.execute("DROP FUNCTION detach_words(date)")
    op.execute("DROP FUNCTION queue_no_words()")
    op.execute("DROP INDEX search_messages_at")
