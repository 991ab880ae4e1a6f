-- Linking accounts: two people become one, and what was set for them is joined.
-- All run through SQLAlchemy in the transaction of /link; parameters are :name.
-- :gone is the person who joins, :stays the one they become.


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
        started_at, last_activity, version, asked, answered
    )
    SELECT :copy, :user, :channel, :chat, :thread, source.model_override,
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


-- name: accounts_of_person
-- For an operator who blocks or unblocks them.
SELECT channel_type AS channel, channel_user_id AS account
FROM users
WHERE person_id = :person
ORDER BY channel_type, channel_user_id;
