"""Months of messages that nobody keeps any longer can be dropped, also by a role that owns
nothing.
"""

from __future__ import annotations

from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

# Whoever waits for a table to itself holds up every turn behind it, so the wait is short. With a
# default partition Postgres cannot detach concurrently; detaching only changes the catalogue.
DETACH = """
CREATE FUNCTION detach_messages(month date) RETURNS void LANGUAGE plpgsql
SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    PERFORM set_config('lock_timeout', '50ms', true);
    EXECUTE format('ALTER TABLE messages DETACH PARTITION %I',
        'messages_' || to_char(month, 'YYYY_MM'));
END $$
"""

# In a transaction of its own: removing the files of a large table takes a while. The words of the
# month go with it, also those that had no table of their month.
# Nobody reads more of them meanwhile.
DROP = """
CREATE FUNCTION drop_detached_messages(month date) RETURNS void LANGUAGE plpgsql
SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    name text := 'messages_' || to_char(month, 'YYYY_MM');
    since timestamptz := month::timestamp AT TIME ZONE 'UTC';
    before timestamptz := (month + interval '1 month') AT TIME ZONE 'UTC';
BEGIN
    IF EXISTS (SELECT FROM pg_inherits WHERE inhrelid = to_regclass(name)) THEN
        RAISE EXCEPTION '% is a partition still', name;
    END IF;
    PERFORM set_config('lock_timeout', '50ms', true);
    PERFORM FROM search_state FOR UPDATE;
    EXECUTE format('DROP TABLE IF EXISTS %I', 'search_' || name);
    DELETE FROM search_messages WHERE at >= since AND at < before;
    EXECUTE format('DROP TABLE IF EXISTS %I', name);
END $$
"""


def upgrade() -> None:
    op.execute(DETACH)
    op.execute(DROP)


def downgrade() -> None:
    op.execute("DROP FUNCTION drop_detached_messages(date)")
    op.execute("DROP FUNCTION detach_messages(date)")
