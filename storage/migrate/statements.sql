-- The schema as a whole: who migrates, what a table holds, who would notice.
-- Parameters: :name; $1 where rows are removed (driver connections).


-- name: wait_for_other_migrations
-- Held until the end of the transaction.
SELECT pg_advisory_xact_lock(:lock);


-- name: limit_waiting
SELECT set_config('lock_timeout', :milliseconds, true);


-- name: database_name
SELECT current_database();


-- name: count_of_table
-- The statement that counts them, as Postgres writes a table's name.
SELECT format('SELECT count(*) FROM %I', CAST(:name AS text));


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


-- Made-up data --------------------------------------------------------------------------------

-- name: now
SELECT now();


-- name: past_partitions
-- What makes the months that are missing, back from this one, and what marks them.
SELECT format('CREATE TABLE %I PARTITION OF messages FOR VALUES FROM (%L) TO (%L)',
              name, month::timestamp AT TIME ZONE 'UTC',
              (month + interval '1 month') AT TIME ZONE 'UTC'),
       format('COMMENT ON TABLE %I IS %L', name, 'made by agent db seed')
FROM generate_series(0, CAST(:months AS int)) AS back,
     CAST(date_trunc('month', now() AT TIME ZONE 'UTC') - make_interval(months => back) AS date)
         AS month,
     concat('messages_', to_char(month, 'YYYY_MM')) AS name
WHERE to_regclass(name) IS NULL;


-- name: seeded_partitions
-- What looks for a row in each of them, and what removes it.
SELECT format('SELECT EXISTS (SELECT FROM %I)', c.relname), format('DROP TABLE %I', c.relname)
FROM pg_inherits i
JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = to_regclass('messages')
  AND obj_description(c.oid, 'pg_class') = 'made by agent db seed';


-- name: seeded_conversations
SELECT id FROM conversations WHERE metadata ? 'seeded';


-- name: remove_conversations
-- With all that is in them; returns how many messages.
-- $1 conversations
WITH voted AS (
    DELETE FROM votes WHERE conversation_id = ANY($1::uuid[])
), said AS (
    DELETE FROM messages WHERE conversation_id = ANY($1::uuid[]) RETURNING 1
), gone AS (
    DELETE FROM conversations WHERE id = ANY($1::uuid[])
)
SELECT count(*) FROM said;


-- name: remove_people
-- Their conversations went before them.
WITH gone AS (
    DELETE FROM users WHERE metadata ? 'seeded' RETURNING 1
)
SELECT count(*) FROM gone;
