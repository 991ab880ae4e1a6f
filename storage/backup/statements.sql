-- What a backup asks of the database it copies, and what a restore does to the one it made.
--
-- Parameters: $1, $2 … on a connection of its own. The statements of a restore have none: they
-- are part of a script, in the one transaction that makes the whole database.


-- name: begin_snapshot
-- The texts of rows are compared later in another server, so nothing about them is left to it.
BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY;
SET LOCAL statement_timeout = 0;
SET LOCAL idle_in_transaction_session_timeout = 0;
SET LOCAL TimeZone = 'UTC';
SET LOCAL DateStyle = 'ISO';
SET LOCAL IntervalStyle = 'postgres';
SET LOCAL bytea_output = 'hex';
SET LOCAL extra_float_digits = 1;


-- name: tables_of_schema
-- What the schema of this connection holds; partitions belong to their table.
SELECT c.relname AS name
FROM pg_class c
WHERE c.relnamespace = to_regnamespace(quote_ident(current_schema()))
  AND c.relkind IN ('r', 'p')
  AND NOT c.relispartition
ORDER BY c.relname;


-- name: snapshot
SELECT pg_export_snapshot() AS snapshot,
       current_schema() AS namespace,
       current_setting('server_version') AS server,
       current_setting('server_version_num')::int / 10000 AS major,
       now() AS taken_at,
       (SELECT version_num FROM alembic_version) AS schema,
       (SELECT epoch FROM control_epoch) AS epoch;


-- name: audit_end
SELECT id, encode(hash, 'hex') AS hash FROM audit_head;


-- name: digest_of_table
-- A table's rows and their digest: the hashes of the texts of its rows, summed up, so that their
-- order does not matter. `the_table` stands for its name, `the_pepper` for what makes the digests
-- of encrypted backups useless to somebody who guesses.
SELECT count(*) AS rows,
       coalesce(
           sum(('x' || left(md5('the_pepper' || t::text), 16))::bit(64)::bigint), 0
       )::text AS digest
FROM the_table t;


-- name: target
-- A database that is to be restored into: its version, and who else is in it.
SELECT current_setting('server_version_num')::int / 10000 AS major,
       current_database() AS database,
       (SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database()
          AND backend_type = 'client backend'
          AND pid <> pg_backend_pid()) AS others;


-- name: close_open_turns
-- Nobody waits for these answers any more, or they were given after the snapshot. `answered`
-- moves, so that no later answer covers them either.
ALTER TABLE turns DROP CONSTRAINT IF EXISTS turns_state;
ALTER TABLE turns ADD CONSTRAINT turns_state
    CHECK (state IN ('open', 'done', 'failed', 'restored'));
UPDATE turns SET state = 'restored' WHERE state = 'open';
UPDATE conversations SET
    version = version + 1,
    answered = greatest(asked, answered),
    answering = NULL,
    owner = NULL,
    lease_until = NULL
WHERE answering IS NOT NULL OR asked > answered;
ALTER TABLE control_epoch ADD COLUMN IF NOT EXISTS restored_at timestamptz;
UPDATE control_epoch SET restored_at = now();


-- name: free_claims
-- For --resume: whoever starts next takes what was open, and nobody is blamed for a death.
UPDATE conversations SET owner = NULL, lease_until = now() WHERE answering IS NOT NULL;


-- name: begin_another_life
-- No instance of the old database lives here, and nothing that Redis remembers of it is believed.
-- The oldest schema has no lineage yet; its upgrade makes a new one.
DELETE FROM instances;
DO $$ BEGIN
    UPDATE control_epoch SET lineage = gen_random_uuid();
EXCEPTION WHEN undefined_column THEN
    NULL;
END $$;


-- name: sign_out_everybody
-- What was signed out, used or revoked after the backup was made is not good again. Older schemas
-- have no console.
DO $$ BEGIN
    DELETE FROM operator_sessions;
    DELETE FROM operator_invitations;
    UPDATE api_tokens SET revoked_at = now() WHERE revoked_at IS NULL;
EXCEPTION WHEN undefined_table THEN
    NULL;
END $$;


-- name: note_restore
-- After the comparison, so that this row is no difference. `the_entry` stands for its values, as
-- JSON in hexadecimal: nothing of it can be read as SQL. The oldest log had fewer columns.
DO $note$
DECLARE
    entry jsonb := convert_from(decode('the_entry', 'hex'), 'UTF8');
    subject text := 'schema:' || current_database();
BEGIN
    INSERT INTO audit_log (actor, action, subject, after, reason, origin)
    VALUES (
        entry ->> 'actor', 'schema.restore', subject, entry -> 'after',
        entry ->> 'reason', entry ->> 'origin'
    );
EXCEPTION WHEN undefined_column THEN
    INSERT INTO audit_log (actor, action, subject, after, reason)
    VALUES (
        entry ->> 'actor', 'schema.restore', subject, entry -> 'after', entry ->> 'reason'
    );
END $note$;


-- name: take_turn
-- Held by the session: one instance makes a backup, the others leave it to it.
-- $1 lock
SELECT pg_try_advisory_lock($1::bigint);


-- name: begin_move
-- The old store is only read, and held still until the new one is whole.
BEGIN;
SET LOCAL statement_timeout = 0;
SET LOCAL idle_in_transaction_session_timeout = 0;
SET LOCAL lock_timeout = '10s';


-- name: instances_alive
-- Whose heartbeat is fresh. The transaction began before it had the locks, so a heartbeat may be
-- later than `now()`.
-- $1 seconds
SELECT string_agg(format('%s (%s)', host, pid), ', ' ORDER BY started_at)
FROM instances
WHERE seen_at > now() - make_interval(secs => $1::float8);
