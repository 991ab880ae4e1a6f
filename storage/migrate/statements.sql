-- The schema as a whole: who migrates, what a table holds, who would notice.
-- Parameters: :name, through SQLAlchemy.


-- name: wait_for_other_migrations
-- Held until the end of the transaction.
SELECT pg_advisory_xact_lock(:lock);


-- name: limit_waiting
SELECT set_config('lock_timeout', :milliseconds, true);


-- name: database_name
SELECT current_database();


-- name: columns_of_tables
-- Of the tables that hold data. Partitions belong to their table; the last two only keep books.
SELECT c.relname AS table, a.attname AS column, format_type(a.atttypid, a.atttypmod) AS type
FROM pg_class c
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relnamespace = to_regnamespace(current_schema())
  AND c.relkind IN ('r', 'p')
  AND NOT c.relispartition
  AND c.relname NOT IN ('alembic_version', 'applied_migrations')
ORDER BY c.relname, a.attnum;


-- name: tables_there
-- Which of these tables exist, at whatever migration the schema is.
SELECT name FROM unnest(CAST(:names AS text[])) AS wanted(name) WHERE to_regclass(name) IS NOT NULL;


-- name: beating
-- Instances whose heartbeat is fresh.
SELECT host, pid
FROM instances
WHERE seen_at > now() - make_interval(secs => :lease)
ORDER BY started_at;


-- name: add_applied
INSERT INTO applied_migrations (revision, actor, checksum, seconds)
VALUES (:revision, :actor, :checksum, :seconds)
ON CONFLICT (revision) DO UPDATE SET
    applied_at = now(),
    actor = excluded.actor,
    checksum = excluded.checksum,
    seconds = excluded.seconds;


-- name: forget_applied
DELETE FROM applied_migrations WHERE revision = :revision;


-- name: applied
SELECT revision, applied_at, actor, checksum, seconds FROM applied_migrations;
