-- What reports and the commands that look at a running agent read.
-- Parameters: $1, $2 … for reports (driver connections); :name for the state of the agent
-- (the pool).


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
SELECT count(*) FROM (SELECT FROM messages_default LIMIT :most) AS counted;


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
       (SELECT count(*) FROM feature_flags WHERE scope NOT IN ('definition', 'about')) AS rules,
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
        WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()) AS oldest_transaction,
       -- never reset: they are at least as old as the server's last start
       (SELECT extract(
            epoch FROM now() - coalesce(max(stats_reset), pg_postmaster_start_time())
        )::float8
        FROM pg_stat_database WHERE datname = current_database()) AS statistics_age;


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


-- What was used -------------------------------------------------------------------------------
-- On driver connections. The views `report_messages` and `report_figures` stand in migration
-- 0016: how each message counts, and closed hours together with the open one.

-- name: hours_to_close
-- How far hours are summed up, and up to where that is possible now. A transaction under way may
-- store a message at any moment since its beginning. Must be a statement of its own: the next one
-- then sees what was committed before this one looked. One instance at a time; others get no row.
SELECT s.counted_until,
       (SELECT date_trunc(
                   'hour', least(now() - interval '1 minute', min(xact_start)), 'UTC')
        FROM pg_stat_activity
        WHERE datname = current_database() AND backend_type = 'client backend') AS until
FROM report_state s
FOR UPDATE OF s SKIP LOCKED;


-- name: remove_hours
-- Not where retention deleted messages, and not what nobody that is known used: that may be of
-- people who were erased, with their messages.
-- $1 since  $2 before
DELETE FROM report_hours r
WHERE hour >= $1 AND hour < $2
  AND user_id <> '00000000-0000-0000-0000-000000000000'
  AND NOT EXISTS (
      SELECT FROM report_floors f WHERE f.channel_type = r.channel_type AND r.hour < f.until
  );


-- name: sum_up_hours
-- What `remove_hours` left only grows: messages of it are blanked or removed, never added.
-- $1 since  $2 before, both full hours
INSERT INTO report_hours AS r (
    hour, channel_type, model, user_id, messages, retries, answers, failures, estimated,
    unpriced, prompt_tokens, cached_tokens, tokens, cost_usd, thumbs_up, thumbs_down, latencies
)
SELECT hour, channel_type, model, user_id, sum(messages), sum(retries), sum(answers),
       sum(failures), sum(estimated), sum(unpriced), sum(prompt_tokens), sum(cached_tokens),
       sum(tokens), sum(cost_usd), sum(thumbs_up), sum(thumbs_down),
       coalesce(array_agg(latency) FILTER (WHERE latency IS NOT NULL), '{}')
FROM report_messages
WHERE at >= $1 AND at < $2
GROUP BY hour, channel_type, model, user_id
ON CONFLICT (hour, channel_type, model, user_id) DO UPDATE SET
    messages = greatest(r.messages, excluded.messages),
    retries = greatest(r.retries, excluded.retries),
    answers = greatest(r.answers, excluded.answers),
    failures = greatest(r.failures, excluded.failures),
    estimated = greatest(r.estimated, excluded.estimated),
    unpriced = greatest(r.unpriced, excluded.unpriced),
    prompt_tokens = greatest(r.prompt_tokens, excluded.prompt_tokens),
    cached_tokens = greatest(r.cached_tokens, excluded.cached_tokens),
    tokens = greatest(r.tokens, excluded.tokens),
    cost_usd = greatest(r.cost_usd, excluded.cost_usd),
    thumbs_up = greatest(r.thumbs_up, excluded.thumbs_up),
    thumbs_down = greatest(r.thumbs_down, excluded.thumbs_down),
    latencies = CASE WHEN cardinality(r.latencies) > cardinality(excluded.latencies)
                     THEN r.latencies ELSE excluded.latencies END;


-- name: note_summed_up
-- $1 until
UPDATE report_state SET counted_until = $1;


-- name: hours_of_late_votes
-- Takes the votes that came since the last look. Those on answers of the open hour need nothing.
WITH taken AS (
    DELETE FROM report_late_votes RETURNING message_id, conversation_id
)
SELECT DISTINCT date_trunc('hour', m."timestamp", 'UTC') AS hour
FROM taken
JOIN conversations c ON c.id = taken.conversation_id
JOIN messages m ON m.conversation_id = c.id
               AND m."timestamp" BETWEEN c.started_at AND c.last_activity
               AND m.id = taken.message_id
WHERE m."timestamp" < (SELECT counted_until FROM report_state);


-- name: count_thumbs_again
-- Of one closed hour. Only thumbs: of its messages some may be deleted by now. Where retention
-- deleted some, thumbs went with them: there they stay as they were counted.
-- $1 since  $2 before
UPDATE report_hours r SET thumbs_up = newest.up, thumbs_down = newest.down
FROM (
    SELECT hour, channel_type, model, user_id, sum(thumbs_up) AS up, sum(thumbs_down) AS down
    FROM report_messages
    WHERE at >= $1 AND at < $2
    GROUP BY hour, channel_type, model, user_id
) newest
WHERE r.hour = newest.hour
  AND r.channel_type = newest.channel_type
  AND r.model = newest.model
  AND r.user_id = newest.user_id
  AND (r.thumbs_up, r.thumbs_down) <> (newest.up, newest.down)
  AND NOT EXISTS (
      SELECT FROM report_floors f WHERE f.channel_type = r.channel_type AND r.hour < f.until
  );


-- name: refresh_reports
-- Counts cohorts again, and lets the index on the time of messages know the newest blocks.
SELECT refresh_reports();


-- name: sum_up_again
-- Hours since $1, or NULL: since the oldest message that is kept, are summed up once more. What is
-- older stays, and so do hours of channels before their floor: messages are gone there. Waits for
-- the instance that sums up now.
UPDATE report_state SET counted_until = least(
    counted_until,
    date_trunc('hour', coalesce($1::timestamptz, (SELECT min("timestamp") FROM messages)), 'UTC')
)
RETURNING counted_until;


-- name: usage
-- A line for each period and subject, and the total, in which people count once.
-- $1 unit of time, NULL: all in one  $2 by what: model, person, channel or NULL  $3 since
-- $4 before
-- $5 channel  $6 model  $7 person; NULL: all. A model wrote no messages of people.
-- $8 and $9: only what comes after this period and subject; NULL: all  $10 at most so many rows, of
-- which the total is the first; NULL: all  $11 the newest come first, and of one time those with an
-- unknown cost, then the dearest; and of models only those with a name
WITH used AS (
    SELECT date_trunc($1::text, f.hour, 'UTC') AS period,
           CASE $2::text WHEN 'model' THEN f.model WHEN 'person' THEN u.person_id::text
                         WHEN 'channel' THEN f.channel_type END AS subject,
           u.person_id,
           f.*
    FROM report_figures f
    LEFT JOIN users u ON u.id = f.user_id
    WHERE f.hour >= $3 AND f.hour < $4
      AND ($5::text IS NULL OR f.channel_type = $5)
      AND ($6::text IS NULL OR f.model = $6)
      AND ($7::uuid IS NULL OR u.person_id = $7)
), lines AS (
    SELECT grouping(period, subject) > 0 AS is_total,
           period,
           subject,
           count(DISTINCT person_id) FILTER (WHERE messages > 0)::bigint AS people,
           coalesce(sum(messages), 0)::bigint AS messages,
           coalesce(sum(retries), 0)::bigint AS retries,
           coalesce(sum(answers), 0)::bigint AS answers,
           coalesce(sum(failures), 0)::bigint AS failures,
           coalesce(sum(estimated), 0)::bigint AS estimated,
           coalesce(sum(unpriced), 0)::bigint AS unpriced,
           coalesce(sum(prompt_tokens), 0)::bigint AS prompt_tokens,
           coalesce(sum(cached_tokens), 0)::bigint AS cached_tokens,
           coalesce(sum(tokens), 0)::bigint AS tokens,
           coalesce(sum(cost_usd), 0) AS cost_usd,
           coalesce(sum(thumbs_up), 0)::bigint AS thumbs_up,
           coalesce(sum(thumbs_down), 0)::bigint AS thumbs_down,
           coalesce(sum(answers + failures) FILTER (WHERE model <> ''), 0)::bigint AS written
    FROM used
    GROUP BY GROUPING SETS ((period, subject), ())
)
SELECT *, count(*) FILTER (WHERE NOT is_total) OVER () AS found
FROM lines
WHERE is_total
   OR ($8::timestamptz IS NULL
       OR (coalesce(period, $8), coalesce(subject, '') COLLATE "C") > ($8, $9::text))
  AND ($11::boolean IS NOT TRUE OR $2::text IS DISTINCT FROM 'model' OR subject <> '')
ORDER BY is_total DESC,
         CASE WHEN $11 THEN period END DESC,
         CASE WHEN $11 THEN unpriced > 0 END DESC,
         CASE WHEN $11 AND unpriced > 0 THEN tokens WHEN $11 THEN cost_usd END DESC,
         period,
         coalesce(subject, '') COLLATE "C"
LIMIT $10;


-- name: daily_costs
-- For forecasts, which stand on the same page as `usage`: only what they need.
-- $1 since  $2 before  $3 channel  $4 model  $5 person; NULL: all
SELECT date_trunc('day', f.hour, 'UTC') AS day, sum(f.cost_usd) AS cost_usd
FROM report_figures f
WHERE f.hour >= $1 AND f.hour < $2
  AND ($3::text IS NULL OR f.channel_type = $3)
  AND ($4::text IS NULL OR f.model = $4)
  AND ($5::uuid IS NULL OR f.user_id IN (SELECT id FROM users WHERE person_id = $5))
GROUP BY 1;


-- name: usage_of_variants
-- The same of the answers that a variant of one experiment is stored with, by variant. They count
-- as in the view `report_messages`; people are those who were answered. BRIN on `timestamp`.
-- $1 unit of time  $2 experiment  $3 since  $4 before  $5 channel  $6 model  $7 person
-- $8 at most so many lines, the newest first
SELECT date_trunc($1::text, m."timestamp", 'UTC') AS period,
       m.metadata->'variants'->>$2 AS subject,
       count(DISTINCT coalesce(u.person_id, (m.metadata->>'person')::uuid))::bigint AS people,
       count(*) FILTER (WHERE NOT m.metadata ? 'notice' OR m.metadata ? 'erased')::bigint
           AS answers,
       count(*) FILTER (WHERE m.metadata ? 'notice' AND NOT m.metadata ? 'erased')::bigint
           AS failures,
       count(*) FILTER (WHERE m.metadata ? 'estimated')::bigint AS estimated,
       count(*) FILTER (WHERE m.model_used IS NOT NULL AND m.cost_usd IS NULL)::bigint AS unpriced,
       count(*) FILTER (WHERE m.model_used IS NOT NULL)::bigint AS written,
       coalesce(sum(m.prompt_tokens), 0)::bigint AS prompt_tokens,
       coalesce(sum((m.metadata->>'cached')::bigint), 0)::bigint AS cached_tokens,
       coalesce(sum(m.token_count), 0)::bigint AS tokens,
       coalesce(sum(m.cost_usd::numeric(20, 8)), 0) AS cost_usd,
       count(*) OVER () AS found
FROM messages m
LEFT JOIN conversations c ON c.id = m.conversation_id
LEFT JOIN users u ON u.id = (m.metadata->>'person')::uuid
WHERE m."timestamp" >= $3 AND m."timestamp" < $4
  AND m.role = 'assistant'
  AND m.metadata->'variants' ? $2
  AND NOT m.metadata ? 'carried'
  AND ($5::text IS NULL OR c.channel_type = $5)
  AND ($6::text IS NULL OR m.model_used = $6)
  AND ($7::uuid IS NULL OR coalesce(u.person_id, (m.metadata->>'person')::uuid) = $7)
GROUP BY 1, 2
ORDER BY 1 DESC, 2
LIMIT $8;


-- name: latency
-- Exact percentiles, of the nearest rank. Parameters as in `usage`.
SELECT date_trunc($1::text, f.hour, 'UTC') AS period,
       CASE $2::text WHEN 'model' THEN f.model WHEN 'person' THEN u.person_id::text END AS subject,
       count(*) AS answers,
       percentile_disc(ARRAY[0.5, 0.9, 0.95, 0.99, 1]) WITHIN GROUP (ORDER BY latency) AS ranks
FROM report_figures f
LEFT JOIN users u ON u.id = f.user_id
CROSS JOIN LATERAL unnest(f.latencies) latency
WHERE f.hour >= $3 AND f.hour < $4
  AND ($5::text IS NULL OR f.channel_type = $5)
  AND ($6::text IS NULL OR f.model = $6)
  AND ($7::uuid IS NULL OR u.person_id = $7)
GROUP BY 1, 2
ORDER BY 1, 2;


-- name: names_of_people
-- As operators name them: an account of each.
-- $1 people
SELECT person_id::text AS person,
       min(channel_type || ':' || channel_user_id) AS account,
       min(username) AS name
FROM users
WHERE person_id = ANY($1::uuid[])
GROUP BY person_id;


-- name: report_reach
-- How far sums reach, the first hour that is known, and now.
SELECT s.counted_until, s.cohorts_at, now() AS now,
       coalesce((SELECT min(hour) FROM report_hours), s.counted_until) AS first_hour
FROM report_state s;


-- name: cohorts
-- $1 unit: week or month  $2 since  $3 before  $4 channel, '': any
SELECT cohort, period, people
FROM report_cohorts
WHERE unit = $1 AND cohort >= $2 AND cohort < $3 AND channel = $4
ORDER BY cohort, period;


-- name: replica_lag
-- Seconds that a replica is behind; 0: it is none, or it has applied all that it receives. One that
-- receives nothing any more is behind by the age of what it applied last.
SELECT CASE
    WHEN NOT pg_is_in_recovery() THEN 0
    WHEN pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn()
         AND EXISTS (SELECT FROM pg_stat_wal_receiver) THEN 0
    ELSE coalesce(extract(epoch FROM now() - pg_last_xact_replay_timestamp()), 0)
END::float8;


-- name: hold_sums
-- Nobody sums up hours or reads words until the end of the transaction; no row: somebody does now.
-- In a statement of its own: the next one then sees what they stored.
SELECT true FROM report_state, search_state FOR UPDATE SKIP LOCKED;


-- name: forget_people_in_reports
-- For the erasure of people: what their accounts used stays counted, for nobody that is known.
-- Must run before their rows in `users` are removed. :accounts are of users.id
WITH gone AS (
    DELETE FROM report_hours WHERE user_id = ANY(CAST(:accounts AS uuid[])) RETURNING *
), summed AS (
    SELECT hour, channel_type, model, sum(messages) AS messages, sum(retries) AS retries,
           sum(answers) AS answers, sum(failures) AS failures, sum(estimated) AS estimated,
           sum(unpriced) AS unpriced, sum(prompt_tokens) AS prompt_tokens,
           sum(cached_tokens) AS cached_tokens, sum(tokens) AS tokens,
           sum(cost_usd) AS cost_usd, sum(thumbs_up) AS thumbs_up,
           sum(thumbs_down) AS thumbs_down
    FROM gone
    GROUP BY hour, channel_type, model
), lasted AS (
    SELECT hour, channel_type, model, array_agg(latency) AS latencies
    FROM gone CROSS JOIN LATERAL unnest(latencies) latency
    GROUP BY hour, channel_type, model
)
INSERT INTO report_hours AS r (
    hour, channel_type, model, user_id, messages, retries, answers, failures, estimated,
    unpriced, prompt_tokens, cached_tokens, tokens, cost_usd, thumbs_up, thumbs_down, latencies
)
SELECT hour, channel_type, model, '00000000-0000-0000-0000-000000000000', messages, retries,
       answers, failures, estimated, unpriced, prompt_tokens, cached_tokens, tokens, cost_usd,
       thumbs_up, thumbs_down, coalesce(latencies, '{}')
FROM summed
LEFT JOIN lasted USING (hour, channel_type, model)
ON CONFLICT (hour, channel_type, model, user_id) DO UPDATE SET
    messages = r.messages + excluded.messages,
    retries = r.retries + excluded.retries,
    answers = r.answers + excluded.answers,
    failures = r.failures + excluded.failures,
    estimated = r.estimated + excluded.estimated,
    unpriced = r.unpriced + excluded.unpriced,
    prompt_tokens = r.prompt_tokens + excluded.prompt_tokens,
    cached_tokens = r.cached_tokens + excluded.cached_tokens,
    tokens = r.tokens + excluded.tokens,
    cost_usd = r.cost_usd + excluded.cost_usd,
    thumbs_up = r.thumbs_up + excluded.thumbs_up,
    thumbs_down = r.thumbs_down + excluded.thumbs_down,
    latencies = r.latencies || excluded.latencies;


-- name: models_named
-- By operators, for channels and by flags.
SELECT default_model AS model FROM channel_configs WHERE default_model IS NOT NULL
UNION
SELECT jsonb_array_elements_text(settings -> 'allowed_models') FROM channel_configs
WHERE jsonb_typeof(settings -> 'allowed_models') = 'array'
UNION
SELECT found #>> '{}'
FROM feature_flags,
     jsonb_path_query(value, 'strict $.** ? (@.type() == "string")') AS found
WHERE name IN ('default_model', 'fallback_model');


-- Search --------------------------------------------------------------------------------------
-- The words of messages are read a few seconds after them, beside turns; see `search_index.py`.
-- What is shown is read from messages. The newest ones, whose words are not read yet, are looked
-- through directly. Each statement says itself whose messages it may see.

-- name: messages_to_index
-- How far messages are read, and up to where that is possible now; see `hours_to_close`.
SELECT s.indexed_until, least(now(), (
           SELECT min(xact_start)
           FROM pg_stat_activity
           WHERE datname = current_database() AND backend_type = 'client backend'
       )) AS until
FROM search_state s
FOR UPDATE OF s SKIP LOCKED;


-- name: make_search_partitions
SELECT make_search_partitions();


-- name: unread_messages
-- Those since $1, before $2. An answer is found by the person whose message it answers.
SELECT m.conversation_id, m."timestamp" AS at, m.seq, m.content,
       CASE WHEN m.role = 'user' THEN m.user_id ELSE (
           SELECT q.user_id
           FROM messages q
           WHERE q.conversation_id = m.conversation_id
             AND q.seq = m.answers
             AND q.role = 'user'
             AND q."timestamp" BETWEEN c.started_at AND m."timestamp"
           ORDER BY q."timestamp" DESC
           LIMIT 1
       ) END AS author
FROM messages m
JOIN conversations c ON c.id = m.conversation_id
WHERE m."timestamp" >= $1 AND m."timestamp" < $2
  AND m.role IN ('user', 'assistant')
  AND m.content <> ''
  AND NOT m.metadata ?| ARRAY['carried', 'notice', 'deleted'];


-- name: changed_messages
-- Takes those whose text was changed since the last look, as they are now. Words that somebody
-- stored meanwhile, who had read the text of before, go.
WITH taken AS (
    DELETE FROM search_stale RETURNING conversation_id, at, seq
), outdated AS (
    DELETE FROM search_messages s
    USING taken
    WHERE s.conversation_id = taken.conversation_id AND s.at = taken.at AND s.seq = taken.seq
)
SELECT DISTINCT m.conversation_id, m."timestamp" AS at, m.seq, m.content,
       CASE WHEN m.role = 'user' THEN m.user_id ELSE (
           SELECT q.user_id
           FROM messages q
           WHERE q.conversation_id = m.conversation_id
             AND q.seq = m.answers
             AND q.role = 'user'
             AND q."timestamp" BETWEEN c.started_at AND m."timestamp"
           ORDER BY q."timestamp" DESC
           LIMIT 1
       ) END AS author
FROM taken
JOIN messages m ON m.conversation_id = taken.conversation_id
               AND m."timestamp" = taken.at
               AND m.seq = taken.seq
JOIN conversations c ON c.id = m.conversation_id
WHERE m.role IN ('user', 'assistant')
  AND m."timestamp" < (SELECT indexed_until FROM search_state)
  AND m.content <> ''
  AND NOT m.metadata ?| ARRAY['carried', 'notice', 'deleted'];


-- name: store_words
-- $1 conversations  $2 moments  $3 seqs  $4 authors  $5 words of each, one to a line
INSERT INTO search_messages AS s (conversation_id, at, seq, author, words)
SELECT conversation, at, seq, author, array_to_tsvector(string_to_array(words, E'\n'))
FROM unnest($1::uuid[], $2::timestamptz[], $3::bigint[], $4::uuid[], $5::text[])
    AS t(conversation, at, seq, author, words)
ON CONFLICT (conversation_id, at, seq) DO UPDATE SET
    author = excluded.author,
    words = excluded.words;


-- name: note_indexed
-- $1 until
UPDATE search_state SET indexed_until = $1;


-- name: index_again
-- Messages were added before the ones that are read: all since $1 are read again.
UPDATE search_state SET indexed_until = least(indexed_until, $1::timestamptz);


-- name: begin_search
-- Older messages than this have their words in the index. For the rest of the transaction: how rare
-- a word is decides between walking and its index, and a plan for any words knows nothing of that.
-- Nor does a search take more than one process.
SELECT indexed_until,
       set_config('plan_cache_mode', 'force_custom_plan', true),
       set_config('max_parallel_workers_per_gather', '0', true)
FROM search_state;


-- name: accounts_that_search
-- Those of the person with this account. :channel :account
SELECT id
FROM users
WHERE person_id = (
    SELECT person_id FROM users WHERE channel_type = :channel AND channel_user_id = :account
);


-- name: accounts_searched
-- :person; :channel, NULL: on any
SELECT id
FROM users
WHERE person_id = :person
  AND (CAST(:channel AS text) IS NULL OR channel_type = :channel);


-- name: conversations_of_place
-- The last active ones first. :channel :chat :thread
SELECT id, last_activity
FROM conversations
WHERE channel_type = :channel AND chat_id = :chat AND thread_id = :thread
ORDER BY last_activity DESC;


-- The newest messages of each scope are walked: how many, between which moments, and those of them
-- with the words. A common word has hits enough among them; each walk ends after :count rows,
-- however many there are. At least one row.

-- name: walk_people
-- :accounts; :since; :query: for the index; :count: at most; :enough: hits at most
WITH walked AS MATERIALIZED (
    SELECT s.conversation_id, s.at, s.seq, s.words @@ CAST(:query AS tsquery) AS hit
    FROM unnest(CAST(:accounts AS uuid[])) account
    CROSS JOIN LATERAL (
        SELECT *
        FROM search_messages
        WHERE author = account AND at >= :since
        ORDER BY at DESC
        LIMIT :count
    ) s
    ORDER BY s.at DESC
    LIMIT :count
)
SELECT bounds.*, hits.conversation_id, hits.at, hits.seq
FROM (SELECT count(*) AS walked, max(at) AS newest, min(at) AS oldest FROM walked) bounds
LEFT JOIN (SELECT * FROM walked WHERE hit ORDER BY at DESC LIMIT :enough) hits ON true
ORDER BY hits.at DESC;


-- name: walk_place
-- :walked: its last active conversations; else as `walk_people`
WITH walked AS MATERIALIZED (
    SELECT s.conversation_id, s.at, s.seq, s.words @@ CAST(:query AS tsquery) AS hit
    FROM unnest(CAST(:walked AS uuid[])) conversation
    CROSS JOIN LATERAL (
        SELECT *
        FROM search_messages
        WHERE conversation_id = conversation AND at >= :since
        ORDER BY at DESC
        LIMIT :count
    ) s
    ORDER BY s.at DESC
    LIMIT :count
)
SELECT bounds.*, hits.conversation_id, hits.at, hits.seq
FROM (SELECT count(*) AS walked, max(at) AS newest, min(at) AS oldest FROM walked) bounds
LEFT JOIN (SELECT * FROM walked WHERE hit ORDER BY at DESC LIMIT :enough) hits ON true
ORDER BY hits.at DESC;


-- name: walk_all
-- :in_channel, NULL: any; else as `walk_people`. `seq >= 0` names the index of all, by time.
-- Words of a conversation that is no more count as walked.
WITH walked AS MATERIALIZED (
    SELECT s.conversation_id, s.at, s.seq,
           s.words @@ CAST(:query AS tsquery)
           AND (CAST(:in_channel AS text) IS NULL OR c.channel_type = :in_channel) AS hit
    FROM (
        SELECT *
        FROM search_messages
        WHERE at >= :since AND seq >= 0
        ORDER BY at DESC
        LIMIT :count
    ) s
    LEFT JOIN conversations c ON c.id = s.conversation_id
)
SELECT bounds.*, hits.conversation_id, hits.at, hits.seq
FROM (SELECT count(*) AS walked, max(at) AS newest, min(at) AS oldest FROM walked) bounds
LEFT JOIN (SELECT * FROM walked WHERE hit ORDER BY at DESC LIMIT :enough) hits ON true
ORDER BY hits.at DESC;


-- Older messages of each scope with the words, which are rare by then: the index of words names
-- them. MATERIALIZED, or the planner may walk all messages by time until it met :count of them.

-- name: hits_of_people
-- :accounts; :since and :until; :query: for the index; :count: at most
WITH hits AS MATERIALIZED (
    SELECT conversation_id, at, seq
    FROM search_messages
    WHERE author = ANY(CAST(:accounts AS uuid[]))
      AND words @@ CAST(:query AS tsquery)
      AND at >= :since AND at <= :until
)
SELECT * FROM hits ORDER BY at DESC LIMIT :count;


-- name: hits_of_place
-- :conversations: all of the place; else as `hits_of_people`
WITH hits AS MATERIALIZED (
    SELECT conversation_id, at, seq
    FROM search_messages
    WHERE conversation_id = ANY(CAST(:conversations AS uuid[]))
      AND words @@ CAST(:query AS tsquery)
      AND at >= :since AND at <= :until
)
SELECT * FROM hits ORDER BY at DESC LIMIT :count;


-- name: hits_of_all
-- :in_channel, NULL: any; else as `hits_of_people`
WITH hits AS MATERIALIZED (
    SELECT conversation_id, at, seq
    FROM search_messages
    WHERE words @@ CAST(:query AS tsquery)
      AND at >= :since AND at <= :until AND seq >= 0
)
SELECT hits.*
FROM hits
JOIN conversations c ON c.id = hits.conversation_id
WHERE CAST(:in_channel AS text) IS NULL OR c.channel_type = :in_channel
ORDER BY hits.at DESC
LIMIT :count;


-- Messages whose words are not read yet.

-- name: unread_of_people
-- A question may be read while its answer was still being written. :accounts :since :count
WITH asked AS (
    SELECT conversation_id, "timestamp" AS at, seq
    FROM messages
    WHERE user_id = ANY(CAST(:accounts AS uuid[]))
      AND user_id IS NOT NULL
      AND "timestamp" >= CAST(:since AS timestamptz) - interval '10 minutes'
    ORDER BY "timestamp" DESC
    LIMIT :count
)
SELECT * FROM asked
UNION ALL
SELECT a.conversation_id, a."timestamp", a.seq
FROM asked
JOIN messages a ON a.conversation_id = asked.conversation_id
               AND a."timestamp" > asked.at
               AND a.role = 'assistant'
               AND a.answers = asked.seq;


-- name: unread_of_place
-- :walked: its last active conversations; :since :count
SELECT m.conversation_id, m.at, m.seq
FROM unnest(CAST(:walked AS uuid[])) conversation
CROSS JOIN LATERAL (
    SELECT conversation_id, "timestamp" AS at, seq
    FROM messages
    WHERE conversation_id = conversation AND "timestamp" >= :since
    ORDER BY "timestamp" DESC
    LIMIT :count
) m
ORDER BY m.at DESC
LIMIT :count;


-- name: unread_of_all
-- Where somebody wrote lately, as the newest turns say: messages have no index by time alone.
-- :since :count
WITH places AS MATERIALIZED (
    SELECT DISTINCT channel_type, chat_id, thread_id
    FROM (
        SELECT channel_type, chat_id, thread_id
        FROM turns
        WHERE created_at >= CAST(:since AS timestamptz) - interval '10 minutes'
        ORDER BY created_at DESC
        LIMIT :count
    ) newest
)
SELECT m.conversation_id, m.at, m.seq
FROM places
JOIN conversations c USING (channel_type, chat_id, thread_id)
CROSS JOIN LATERAL (
    SELECT conversation_id, "timestamp" AS at, seq
    FROM messages
    WHERE conversation_id = c.id AND "timestamp" >= :since
    ORDER BY "timestamp" DESC
    LIMIT :count
) m
WHERE c.last_activity >= CAST(:since AS timestamptz) - interval '10 minutes'
ORDER BY m.at DESC
LIMIT :count;


-- name: messages_found
-- The candidates as they stand, in :conversations at :moments with :seqs, each read by its key.
-- What may be seen is asked once more: since :since; :accounts of the person; :channel, :chat and
-- :thread of the place; NULL: any.
SELECT m."timestamp" AS at, m.role, m.content, m.metadata->>'author' AS author, c.channel_type,
       c.chat_id, t.platform_message_id, m.conversation_id AS conversation,
       extract(epoch FROM now() - m."timestamp")::float8 / 86400 AS age_days
FROM unnest(
    CAST(:conversations AS uuid[]), CAST(:moments AS timestamptz[]), CAST(:seqs AS bigint[])
) AS wanted(conversation, at, seq)
CROSS JOIN LATERAL (
    SELECT *
    FROM messages m
    WHERE m.conversation_id = wanted.conversation
      AND m."timestamp" = wanted.at
      AND m.seq = wanted.seq
    LIMIT 1
) m
CROSS JOIN LATERAL (
    SELECT channel_type, chat_id, thread_id FROM conversations WHERE id = m.conversation_id LIMIT 1
) c
LEFT JOIN LATERAL (
    SELECT platform_message_id FROM turns WHERE id = m.turn_id LIMIT 1
) t ON true
WHERE m.content <> ''
  AND NOT m.metadata ?| ARRAY['carried', 'notice', 'deleted']
  AND m."timestamp" >= :since
  AND (CAST(:accounts AS uuid[]) IS NULL
       OR m.role = 'assistant' OR m.user_id = ANY(CAST(:accounts AS uuid[])))
  AND (CAST(:channel AS text) IS NULL OR c.channel_type = :channel)
  AND (CAST(:chat AS text) IS NULL OR c.chat_id = :chat AND c.thread_id = :thread);


-- name: forget_words_of_people
-- For erasure: what these accounts wrote, and what they were answered. :accounts are of users.id
DELETE FROM search_messages WHERE author = ANY(CAST(:accounts AS uuid[]));


-- name: forget_words_that_changed
-- For erasure: words of texts in :conversations that are no more, or not as they were. A trigger
-- forgot them already, but not what was being read at that moment.
DELETE FROM search_messages s
WHERE conversation_id = ANY(CAST(:conversations AS uuid[]))
  AND (
      NOT EXISTS (
          SELECT
          FROM messages m
          WHERE m.conversation_id = s.conversation_id
            AND m."timestamp" = s.at
            AND m.seq = s.seq
            AND m.content <> ''
      )
      OR EXISTS (
          SELECT
          FROM search_stale t
          WHERE t.conversation_id = s.conversation_id AND t.at = s.at AND t.seq = s.seq
      )
  );


-- Conversations, for operators: no text of a message --------------------------------------------

-- name: conversations_by_id
-- By key: ids are in the order in which conversations began.
SELECT c.id, u.person_id AS person, c.channel_type AS channel, c.chat_id AS chat,
       c.thread_id AS thread, c.model_override AS model, c.started_at, c.last_activity,
       c.is_active, c.asked > c.answered AS waits, c.version
FROM conversations c JOIN users u ON u.id = c.user_id
WHERE (CAST(:before AS uuid) IS NULL OR c.id < :before)
  AND (CAST(:channel AS text) IS NULL OR c.channel_type = :channel)
ORDER BY c.id DESC
LIMIT :limit;


-- name: conversations_of_person_by_id
-- Those that one of their accounts began, found by account.
SELECT c.id, u.person_id AS person, c.channel_type AS channel, c.chat_id AS chat,
       c.thread_id AS thread, c.model_override AS model, c.started_at, c.last_activity,
       c.is_active, c.asked > c.answered AS waits, c.version
FROM conversations c JOIN users u ON u.id = c.user_id
WHERE c.user_id IN (SELECT id FROM users WHERE person_id = :person)
  AND (CAST(:before AS uuid) IS NULL OR c.id < :before)
  AND (CAST(:channel AS text) IS NULL OR c.channel_type = :channel)
ORDER BY c.id DESC
LIMIT :limit;


-- name: one_conversation
SELECT c.id, u.person_id AS person, c.channel_type AS channel, c.chat_id AS chat,
       c.thread_id AS thread, c.model_override AS model, c.started_at, c.last_activity,
       c.is_active, c.asked > c.answered AS waits, c.version
FROM conversations c JOIN users u ON u.id = c.user_id
WHERE c.id = :id;


-- name: messages_by_seq
-- The newest first; the time of the conversation keeps all other partitions out.
SELECT m.id, m.timestamp AS at, m.seq, m.role, m.content AS text,
       u.channel_type || ':' || u.channel_user_id AS author, m.answers, m.model_used AS model,
       m.prompt_tokens, m.token_count AS tokens, m.cost_usd AS usd, m.latency_ms
FROM messages m LEFT JOIN users u ON u.id = m.user_id
WHERE m.conversation_id = :id
  AND m.timestamp BETWEEN :begun AND :ended
  AND (m.timestamp, m.seq) < (:at, CAST(:seq AS bigint))
ORDER BY m.timestamp DESC, m.seq DESC
LIMIT :limit;
