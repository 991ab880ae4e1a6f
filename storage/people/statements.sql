-- People and their accounts. Linking makes two people one, and joins what was set for them: :gone
-- is the person who joins, :stays the one they become.
-- Parameters: :name; $1, $2 only for `keep_prompt` (pinned connections).


-- name: add_account
-- A new one is a person of its own. One that exists is left as it is, and not locked.
INSERT INTO users (id, person_id, channel_type, channel_user_id, username)
VALUES (:id, :id, :channel, :account, :username)
ON CONFLICT ON CONSTRAINT users_account DO NOTHING;


-- name: find_account
SELECT id FROM users WHERE channel_type = :channel AND channel_user_id = :account;


-- name: lock_accounts
-- All accounts of the people who own these, in the order in which turns lock them.
SELECT id, person_id, preferred_model
FROM users
WHERE person_id IN (SELECT person_id FROM users WHERE id = ANY(:accounts))
ORDER BY channel_type, channel_user_id
FOR UPDATE;


-- name: end_codes
-- Earlier ones of this account, and of anybody those that have expired.
DELETE FROM link_codes WHERE user_id = :user OR expires_at < now();


-- name: keep_code
-- With the active conversation of the chat, if it has one: it goes on where the code is used.
INSERT INTO link_codes (code_hash, user_id, conversation_id, expires_at)
VALUES (
    :hash,
    :user,
    (SELECT id
     FROM conversations
     WHERE channel_type = :channel AND chat_id = :chat AND thread_id = :thread AND is_active),
    now() + make_interval(secs => :seconds)
);


-- name: offered_by
-- Nobody joins themselves.
SELECT user_id
FROM link_codes
WHERE code_hash = :hash AND expires_at > now() AND user_id <> :user;


-- name: use_code
-- Once: whoever waits here for another's use of it finds nothing.
DELETE FROM link_codes
WHERE code_hash = :hash AND expires_at > now() AND user_id <> :user
RETURNING conversation_id;


-- name: join_accounts
UPDATE users SET person_id = :stays, preferred_model = :preferred WHERE person_id = :gone;


-- name: end_conversation
-- The chat goes on in the conversation that is carried over.
UPDATE conversations SET is_active = false
WHERE channel_type = :channel AND chat_id = :chat AND thread_id = :thread AND is_active;


-- name: carry_on
-- Copies the last :count answered messages of the conversation :source into a new one. Tokens and
-- costs stay with the original, so that nothing is counted twice.
WITH source AS (
    SELECT * FROM conversations WHERE id = :source
), carried AS (
    SELECT m.*
    FROM messages m, source
    WHERE m.conversation_id = source.id
      AND m."timestamp" BETWEEN source.started_at AND source.last_activity
      AND (m.role <> 'user' OR m.seq <= source.answered)
    ORDER BY m."timestamp" DESC
    LIMIT :count
), copy AS (
    INSERT INTO conversations (
        id, user_id, channel_type, chat_id, thread_id, model_override,
        instruction, started_at, last_activity, version, asked, answered
    )
    SELECT :copy, :user, :channel, :chat, :thread, source.model_override,
           source.instruction,
           (SELECT min("timestamp") FROM carried), (SELECT max("timestamp") FROM carried),
           source.version, source.answered, source.answered
    FROM source
    WHERE EXISTS (SELECT FROM carried)
    RETURNING id
)
INSERT INTO messages (
    conversation_id, "timestamp", seq, id, role, content, answers, user_id, metadata
)
SELECT copy.id, carried."timestamp", carried.seq, gen_random_uuid(), carried.role,
       carried.content, carried.answers, carried.user_id, carried.metadata || '{"carried": true}'
FROM carried, copy;


-- name: move_rules
-- Rules of flags that the person who stays does not have. Scopes are `person:<id>`.
UPDATE feature_flags f SET scope = :stays, updated_at = now()
WHERE scope = :gone
  AND NOT EXISTS (SELECT FROM feature_flags WHERE scope = :stays AND name = f.name)
RETURNING name, CAST(value AS text);


-- name: drop_rules
-- What `move_rules` left behind: the person who stays has a rule of their own.
DELETE FROM feature_flags WHERE scope = :gone RETURNING name, CAST(value AS text);


-- name: rules_naming
-- Named rules that have the person who joins in their list; few flags have such a rule.
SELECT name, scope, CAST(value AS text)
FROM feature_flags
WHERE scope LIKE 'rule:%' AND value->'people' ? CAST(:person AS text)
ORDER BY name, scope
FOR UPDATE;


-- name: replace_rule
UPDATE feature_flags SET value = CAST(:value AS jsonb), updated_at = now()
WHERE scope = :scope AND name = :name;


-- name: limits_of_both
-- A person's limit stands at each of their accounts, the same everywhere.
SELECT person_id, max(metadata->>'limit')
FROM users
WHERE person_id IN (:gone, :stays) AND metadata ? 'limit'
GROUP BY person_id;


-- name: set_limit_of_both
UPDATE users SET metadata = jsonb_set(metadata, '{limit}', to_jsonb(CAST(:limit AS text)))
WHERE person_id IN (:gone, :stays);


-- name: move_budget
UPDATE budgets b SET subject = :stays, updated_at = now()
WHERE scope = 'person'
  AND subject = :gone
  AND NOT EXISTS (
      SELECT FROM budgets
      WHERE scope = 'person' AND subject = :stays AND period = b.period
  )
RETURNING period, tokens, usd;


-- name: drop_budget
-- What `move_budget` left behind: the person who stays has a budget of their own.
DELETE FROM budgets WHERE scope = 'person' AND subject = :gone RETURNING period, tokens, usd;


-- name: hold_days
-- Locks the counters in the order in which reservations lock them.
SELECT
FROM budget_days
WHERE scope = 'person' AND subject IN (:gone, :stays)
ORDER BY scope, subject, period, day
FOR UPDATE;


-- name: add_days
-- What both used adds up: joining is no way to get a second budget.
WITH used AS (
    DELETE FROM budget_days
    WHERE scope = 'person' AND subject = :gone
    RETURNING period, day, tokens, usd, alerted
)
INSERT INTO budget_days AS d (scope, subject, period, day, tokens, usd, alerted)
SELECT 'person', :stays, period, day, tokens, usd, alerted
FROM used
ON CONFLICT (scope, subject, period, day) DO UPDATE SET
    tokens = d.tokens + excluded.tokens,
    usd = d.usd + excluded.usd,
    alerted = greatest(d.alerted, excluded.alerted);


-- name: move_reservations
-- A reservation that is being settled at this moment is skipped, or both would wait: what it did
-- not use stays counted.
UPDATE budget_reservations SET
    person = CASE WHEN person = :gone THEN :stays ELSE person END,
    person_month = CASE WHEN person_month = :gone THEN :stays ELSE person_month END
WHERE id IN (
    SELECT id
    FROM budget_reservations
    WHERE :gone IN (person, person_month)
    FOR UPDATE SKIP LOCKED
);


-- name: keep_prompt
-- Once for all answers under it, and once a day, so that one that is in use is not too old.
-- $1 hash  $2 content
INSERT INTO system_prompts AS p (hash, content) VALUES ($1, $2)
ON CONFLICT (hash) DO UPDATE SET used_at = now() WHERE p.used_at < now() - interval '1 hour';


-- name: newest_accounts
-- The people of the newest accounts, the newest first: of each their first account (its id is
-- the person's) or, with words, all that have these in their name or id. It looks at :walk
-- accounts at most; a page goes on from the last one (keyset).
WITH walked AS MATERIALIZED (
    SELECT id, person_id, channel_user_id, username
    FROM users
    WHERE id < CAST(:before AS uuid)
    ORDER BY id DESC
    LIMIT :walk
), fitting AS (
    SELECT id, person_id
    FROM walked
    WHERE CASE WHEN CAST(:words AS text) IS NULL THEN id = person_id
               ELSE strpos(lower(coalesce(username, '')), lower(:words)) > 0
                    OR strpos(lower(channel_user_id), lower(:words)) > 0
          END
    ORDER BY id DESC
    LIMIT :page
)
SELECT ARRAY(SELECT person_id FROM fitting ORDER BY id DESC) AS people,
       (SELECT count(*) FROM walked) AS looked,
       (SELECT id FROM fitting ORDER BY id LIMIT 1) AS fit,
       (SELECT id FROM walked ORDER BY id LIMIT 1) AS end;


-- name: listed_people
SELECT u.person_id, min(u.created_at) AS since, max(u.updated_at) AS renamed,
       array_agg(u.channel_type || ':' || u.channel_user_id
                 ORDER BY u.channel_type, u.channel_user_id) AS accounts,
       array_agg(DISTINCT u.username) FILTER (WHERE u.username IS NOT NULL) AS names,
       bool_and(u.metadata @> '{"consent": true}') AS consent,
       bool_or(u.metadata ? 'limit') AS is_limited
FROM (
    SELECT person, min(n) AS n
    FROM unnest(CAST(:people AS uuid[])) WITH ORDINALITY AS named(person, n)
    GROUP BY person
) wanted
JOIN users u ON u.person_id = wanted.person
GROUP BY wanted.n, u.person_id
ORDER BY wanted.n;


-- name: accounts_of_person
SELECT id, channel_type, channel_user_id, username, preferred_model, created_at,
       metadata @> '{"consent": true}' AS consent
FROM users
WHERE person_id = CAST(:person AS uuid)
ORDER BY channel_type, channel_user_id;


-- name: budgets_of_person
-- Their own budget of a day and of a month, else that of everybody, and what is used of it now.
SELECT p.period, b.subject = CAST(:person AS text) AS is_own, b.tokens, b.usd,
       coalesce(d.tokens, 0) AS used_tokens, coalesce(d.usd, 0) AS used_usd
FROM (SELECT (now() AT TIME ZONE 'UTC')::date AS today) clock
CROSS JOIN LATERAL (
    VALUES ('day', today), ('month', date_trunc('month', today)::date)
) AS p(period, begun)
CROSS JOIN LATERAL (
    SELECT subject, tokens, usd
    FROM budgets
    WHERE scope = 'person' AND period = p.period AND subject IN (CAST(:person AS text), '*')
    ORDER BY subject = '*'
    LIMIT 1
) b
LEFT JOIN budget_days d ON d.scope = 'person'
                       AND d.subject = CAST(:person AS text)
                       AND d.period = p.period
                       AND d.day = p.begun
ORDER BY p.period;
