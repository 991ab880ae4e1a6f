-- What operators set: flags, experiments, channel settings, credentials, operators, and the log
-- of their changes.
-- Parameters: :name; $1, $2 … only for the rotation of keys, which runs on a
-- pinned connection. `control_state` has none and is run by both.


-- name: control_state
-- One statement, so one snapshot. Experiments are those that run.
SELECT epoch,
       lineage::text AS lineage,
       (SELECT jsonb_agg(jsonb_build_array(scope, name, value))
        FROM feature_flags)::text AS flags,
       (SELECT jsonb_agg(jsonb_build_array(channel_type, default_model, settings))
        FROM channel_configs)::text AS channels,
       (SELECT jsonb_agg(jsonb_build_array(name, definition))
        FROM experiments
        WHERE started_at IS NOT NULL
          AND ended_at IS NULL
          AND jsonb_typeof(definition) = 'object')::text AS experiments
FROM control_epoch;


-- Changes -------------------------------------------------------------------------------------

-- name: lock_epoch
-- Every change holds this row: operators' changes run one after the other.
SELECT epoch FROM control_epoch FOR UPDATE;


-- name: set_epoch
UPDATE control_epoch SET epoch = :epoch;


-- name: version_of_subject
-- A subject's version is the number of its last audit row.
SELECT coalesce(max(id), 0) FROM audit_log WHERE subject = :subject;


-- name: versions_of_subjects
SELECT subject, max(id) AS version
FROM audit_log
WHERE subject = ANY(CAST(:subjects AS text[]))
GROUP BY subject;


-- name: versions_of_kind
-- :kind is what stands before the first colon of a subject. The epoch is that of a subject's last
-- change.
SELECT subject, max(id) AS version, max(epoch) AS epoch
FROM audit_log
WHERE subject LIKE :kind || ':%'
GROUP BY subject;


-- name: add_audit_row
-- The trigger `audit_chain` gives it its number, its moment and its hash.
INSERT INTO audit_log (actor, action, subject, before, after, reason, origin, epoch)
VALUES (
    :actor, :action, :subject, CAST(:before AS jsonb), CAST(:after AS jsonb),
    :reason, :origin, :epoch
)
RETURNING id;


-- name: audit_rows
-- Newest first. NULL leaves a condition out; :limit NULL means all; :without names actions.
SELECT id, at, actor, action, subject, before::text, after::text, reason, origin, epoch, hash
FROM audit_log
WHERE (CAST(:subject AS text) IS NULL OR subject = :subject)
  AND (CAST(:actor AS text) IS NULL OR actor = :actor)
  AND id > :since
  AND (CAST(:before AS bigint) IS NULL OR id < :before)
  AND (CAST(:until AS timestamptz) IS NULL OR at <= :until)
  AND action <> ALL(CAST(:without AS text[]))
ORDER BY id DESC
LIMIT :limit;


-- name: audit_chain
-- A page of rows as the chain hashes them. The expression is that of the trigger, repeated here
-- so that a changed trigger is found.
SELECT id, hash,
       jsonb_build_array(
           id, to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US'), actor, action,
           subject, before, after, reason, origin, epoch
       )::text AS row
FROM audit_log
WHERE id > :after AND id <= :up_to
ORDER BY id
LIMIT :page;


-- name: audit_head
-- The chain's end as it was written, and the newest row that is there.
SELECT h.id, h.hash, n.newest
  FROM (SELECT max(id) AS newest FROM audit_log) n LEFT JOIN audit_head h ON true;


-- Flags ---------------------------------------------------------------------------------------

-- name: all_rules
SELECT name, scope, value::text FROM feature_flags;


-- name: rules_of_flag
SELECT scope, value::text FROM feature_flags WHERE name = :name;


-- name: set_rule
INSERT INTO feature_flags (scope, name, value)
VALUES (:scope, :name, CAST(:value AS jsonb))
ON CONFLICT (scope, name) DO UPDATE SET value = excluded.value, updated_at = now();


-- name: unset_rule
DELETE FROM feature_flags WHERE scope = :scope AND name = :name;


-- name: note_uses
-- Once in a few minutes for each instance, in one order of names.
INSERT INTO flag_uses AS u (name, digest)
SELECT * FROM unnest(CAST(:names AS text[]), CAST(:digests AS text[])) AS i(name, digest)
ORDER BY name
ON CONFLICT (name) DO UPDATE SET
    asked_at = now(),
    digest = excluded.digest,
    same_since = CASE
        WHEN u.digest = excluded.digest AND NOT u.name = ANY(CAST(:varied AS text[]))
        THEN u.same_since
        ELSE now()
    END;


-- name: flag_uses
SELECT name, asked_at, same_since, now() AS now,
       (SELECT min(first_at) FROM flag_uses) AS since
FROM flag_uses;


-- name: changed_at
-- Of each flag that was ever changed: when for the first and for the last time.
SELECT subject, min(at) AS first, max(at) AS last
FROM audit_log
WHERE subject LIKE 'flag:%'
GROUP BY subject;


-- name: applied_epochs
-- Of each live instance: the epoch that it applies.
SELECT epoch FROM instances WHERE seen_at > now() - make_interval(secs => :lease);


-- name: find_person
-- By the id of a person, the id of an account, or an account as its platform names it.
SELECT person_id
FROM users
WHERE person_id = :id
   OR id = :id
   OR (channel_type = :channel AND channel_user_id = :account)
LIMIT 1;


-- name: known_channels
-- Those that an instance runs and those that an operator set, besides the built-in ones.
SELECT unnest(channels) FROM instances UNION SELECT channel_type FROM channel_configs;


-- Experiments ---------------------------------------------------------------------------------

-- name: all_experiments
SELECT name, definition::text, started_at, ended_at, clock_timestamp() AS now
FROM experiments
ORDER BY name;


-- name: experiment_exists
SELECT true FROM experiments WHERE name = :name;


-- name: create_experiment
INSERT INTO experiments (name, definition) VALUES (:name, CAST(:definition AS jsonb));


-- name: start_experiment
UPDATE experiments SET started_at = clock_timestamp() WHERE name = :name;


-- name: stop_experiment
UPDATE experiments SET ended_at = clock_timestamp() WHERE name = :name;


-- name: remove_experiment
DELETE FROM experiments WHERE name = :name;


-- name: is_past
-- By the database's clock, like everything that is planned.
SELECT CAST(:moment AS timestamptz) <= clock_timestamp();


-- name: planned_experiments
-- Ends come first: the next experiment on the same flag may begin when one ends.
SELECT name, definition::text AS definition, started_at IS NULL AS begins, now() AS now,
       (SELECT max(id) FROM audit_log WHERE subject = 'experiment:' || name) AS version
FROM experiments
WHERE ended_at IS NULL
ORDER BY begins, name;


-- Channels ------------------------------------------------------------------------------------

-- name: all_channels
SELECT channel_type, default_model, settings, credentials FROM channel_configs;


-- name: set_channel
INSERT INTO channel_configs (id, channel_type, default_model, settings)
VALUES (:id, :channel, :default_model, CAST(:settings AS jsonb))
ON CONFLICT (channel_type) DO UPDATE SET
    default_model = excluded.default_model,
    settings = excluded.settings,
    updated_at = now();


-- name: credentials_of_channel
SELECT credentials FROM channel_configs WHERE channel_type = :channel;


-- name: set_credentials
INSERT INTO channel_configs (id, channel_type, credentials)
VALUES (:id, :channel, :sealed)
ON CONFLICT (channel_type) DO UPDATE SET
    credentials = excluded.credentials,
    updated_at = now();


-- name: page_of_credentials
-- $1 after this id  $2 at most
SELECT id, channel_type, credentials
FROM channel_configs
WHERE credentials IS NOT NULL AND id > $1
ORDER BY id
LIMIT $2;


-- name: replace_credentials
-- Only where they still are what was read: nothing that an operator sets meanwhile is lost.
-- $1 id  $2 what was read  $3 the same under the newest key
UPDATE channel_configs c SET credentials = new.value
FROM unnest($1::uuid[], $2::bytea[], $3::bytea[]) AS new(id, before, value)
WHERE c.id = new.id AND c.credentials = new.before
RETURNING c.id;


-- Operators -----------------------------------------------------------------------------------

-- name: operators
-- The rest about them is in storage/control/operators/statements.sql. An older schema, which is
-- about to be upgraded, has no roles.
SELECT name, coalesce(to_jsonb(o) ->> 'role', 'admin') AS role FROM operators o ORDER BY name;
