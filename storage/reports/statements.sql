-- What reports and the commands that look at a running agent read.
-- Parameters: $1, $2 … for reports (driver connections); :name for the state of the agent
-- (SQLAlchemy).


-- Experiments ---------------------------------------------------------------------------------

-- name: experiment_definition
-- $1 experiment
SELECT definition, started_at, ended_at, now() AS now FROM experiments WHERE name = $1;


-- name: started_experiments
SELECT name FROM experiments WHERE started_at IS NOT NULL ORDER BY started_at DESC;


-- name: people_of_experiment
-- One row for each person who was answered under the experiment; `variant` NULL: under several.
-- A person's id is that of their first account, so that it leads to the person they became by
-- linking accounts. Messages that linking copied to another chat are left out. BRIN on
-- `timestamp` finds the time of the experiment.
-- $1 experiment  $2 since  $3 before  $4 channels, empty: all
WITH thumbs AS (
    SELECT message_id,
           count(*) FILTER (WHERE thumb > 0) AS up,
           count(*) FILTER (WHERE thumb < 0) AS down
    FROM votes
    WHERE at >= $2
    GROUP BY message_id
), seen AS (
    SELECT coalesce(u.person_id, (m.metadata->>'person')::uuid) AS person,
           m.metadata->'variants'->>$1 AS variant,
           m.role = 'assistant' AS reply,
           m.role = 'assistant' AND NOT m.metadata ? 'notice' AS answer,
           m.latency_ms,
           m.prompt_tokens + m.token_count AS tokens,
           m.cost_usd,
           t.up,
           t.down
    FROM messages m
    LEFT JOIN users u ON u.id = coalesce((m.metadata->>'person')::uuid, m.user_id)
    LEFT JOIN thumbs t ON t.message_id = m.id
    WHERE m."timestamp" >= $2
      AND m."timestamp" < $3
      AND NOT m.metadata ? 'carried'
      AND (m.role = 'assistant' AND m.metadata->'variants' ? $1
           OR m.role = 'user' AND m.metadata ? 'retry'
              AND ($4::text[] = '{}' OR u.channel_type = ANY($4::text[])))
)
SELECT CASE WHEN min(variant) = max(variant) THEN min(variant) END AS variant,
       count(*) FILTER (WHERE answer)::float8 AS answers,
       avg(latency_ms) FILTER (WHERE answer)::float8 AS latency,
       avg(tokens) FILTER (WHERE answer)::float8 AS tokens,
       avg(cost_usd) FILTER (WHERE answer)::float8 AS cost,
       count(*) FILTER (WHERE reply AND NOT answer)::float8
           / count(*) FILTER (WHERE reply) AS failures,
       count(*) FILTER (WHERE NOT reply)::float8 AS retries,
       sum(up)::float8 / sum(up + down)::float8 AS thumbs,
       coalesce(sum(up) > 0, false)::int::float8 AS thumbs_up,
       coalesce(sum(down) > 0, false)::int::float8 AS thumbs_down,
       count(*) FILTER (WHERE answer AND cost_usd IS NULL) AS unknown_costs
FROM seen
WHERE person IS NOT NULL
GROUP BY person
HAVING max(variant) IS NOT NULL;


-- The state of the agent ----------------------------------------------------------------------

-- name: ping
-- Also: is there the schema that turns need?
SELECT 1 FROM turns LIMIT 0;


-- name: server_version
SELECT current_setting('server_version');


-- name: count_stray_messages
-- A month had no partition of its own: these rows are read at every look at old messages.
SELECT count(*) FROM messages_default;


-- name: open_turns
SELECT count(*) AS count, extract(epoch FROM now() - min(created_at)) AS age
FROM turns
WHERE state = 'open';


-- name: live_instances
SELECT host, pid, channels
FROM instances
WHERE seen_at > now() - make_interval(secs => :lease)
ORDER BY started_at;


-- name: control_in_force
-- What is set, and on how many live instances the newest change is applied.
SELECT epoch,
       (SELECT count(*) FROM feature_flags WHERE scope <> 'definition') AS rules,
       (SELECT array_agg(name ORDER BY name)
        FROM experiments
        WHERE started_at IS NOT NULL AND ended_at IS NULL) AS running,
       (SELECT count(*)
        FROM instances
        WHERE seen_at > now() - make_interval(secs => :lease)) AS instances,
       (SELECT count(*)
        FROM instances i
        WHERE seen_at > now() - make_interval(secs => :lease)
          AND i.epoch >= control_epoch.epoch) AS applied
FROM control_epoch;


-- name: try_audit_row
-- For `agent doctor`, which takes it back: the row that every change needs.
INSERT INTO audit_log (actor, action, subject) VALUES ('doctor', 'try', 'postgres');



-- How the stores are --------------------------------------------------------------------------
-- On a driver connection. What a user may not see of others (pg_monitor shows it) is NULL.

-- name: server_load
SELECT current_setting('max_connections')::int AS maximum,
       pg_database_size(current_database()) AS bytes,
       clock_timestamp() AS now,
       (SELECT count(*) FROM pg_stat_activity
        WHERE wait_event_type = 'Lock'
          AND state_change < now() - make_interval(secs => $1::float8)) AS blocked,
       (SELECT coalesce(extract(epoch FROM max(now() - xact_start)), 0)::float8
        FROM pg_stat_activity
        WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()) AS oldest_transaction;


-- name: connections
SELECT coalesce(state, 'unknown') AS state, count(*) AS count
FROM pg_stat_activity
WHERE backend_type = 'client backend'
GROUP BY 1
ORDER BY 1;


-- name: table_load
-- Partitions each for themselves: that is how they are vacuumed and how they grow.
SELECT t.relname AS name,
       pg_table_size(t.relid) AS bytes,
       pg_indexes_size(t.relid) AS index_bytes,
       t.n_live_tup AS rows,
       t.n_dead_tup AS dead,
       greatest(t.last_vacuum, t.last_autovacuum) AS vacuumed_at
FROM pg_stat_user_tables t
JOIN pg_class c ON c.oid = t.relid
WHERE t.schemaname = current_schema() AND c.relkind = 'r'
ORDER BY bytes DESC, name;


-- name: index_load
-- `needed`: it keeps something unique, whether anybody reads by it or not.
SELECT s.indexrelname AS name,
       s.relname AS "table",
       pg_relation_size(s.indexrelid) AS bytes,
       s.idx_scan AS scans,
       i.indisunique AS needed
FROM pg_stat_user_indexes s
JOIN pg_index i ON i.indexrelid = s.indexrelid
WHERE s.schemaname = current_schema()
ORDER BY bytes DESC, name;


-- name: replicas
SELECT coalesce(nullif(application_name, ''), host(client_addr), 'standby') AS name,
       coalesce(extract(epoch FROM replay_lag), 0)::float8 AS seconds,
       pg_wal_lsn_diff(
           CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn()
                ELSE pg_current_wal_lsn() END,
           replay_lsn
       )::bigint AS bytes
FROM pg_stat_replication;


-- name: queries_known
SELECT count(*) > 0 FROM pg_extension WHERE extname = 'pg_stat_statements';


-- name: queries
-- By the name that `storage/connecting/statements.py` writes after each first word.
SELECT substring(query FROM '^\w+ /\* (\w+) \*/') AS name,
       sum(calls)::bigint AS calls,
       sum(total_exec_time)::float8 AS total_ms,
       (sum(total_exec_time) / greatest(sum(calls), 1))::float8 AS mean_ms,
       max(max_exec_time)::float8 AS max_ms,
       sum(rows)::bigint AS rows,
       sum(shared_blks_read)::bigint AS blocks_read
FROM pg_stat_statements s
JOIN pg_database d ON d.oid = s.dbid
WHERE d.datname = current_database() AND query ~ '^\w+ /\* \w+ \*/'
GROUP BY 1
ORDER BY total_ms DESC
LIMIT $1::bigint;
