-- Retention, export and erasure. All run outside turns; parameters are :name.
-- `erasures` is the queue of jobs: each transaction locks its job, does a bounded piece of work and
-- notes it there, so any instance can go on after a crash.
--
-- The lock order is that of turns: people, conversations, turns by id.


-- Erasure -------------------------------------------------------------------------------------

-- name: begin_erasure
-- Nothing comes back when the person does not exist, or is being erased already.
INSERT INTO erasures (id, person_id, requested_by, accounts, names, receipts)
SELECT gen_random_uuid(), person_id, :requested_by,
       jsonb_agg(jsonb_build_array(id, channel_type, channel_user_id, username)),
       coalesce(array_agg(DISTINCT username) FILTER (WHERE username IS NOT NULL), '{}'),
       array_agg(encode(sha256(convert_to(id::text, 'UTF8')), 'hex'))
FROM users
WHERE person_id = :person
GROUP BY person_id
ON CONFLICT DO NOTHING
RETURNING id;


-- name: make_erasures
-- In a restored backup of a schema that has none yet; its migration finds it there.
CREATE TABLE IF NOT EXISTS erasures (
    id uuid PRIMARY KEY,
    person_id uuid,
    step text NOT NULL DEFAULT 'messages',
    requested_by text NOT NULL,
    requested_at timestamptz NOT NULL DEFAULT now(),
    touched_at timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz,
    accounts jsonb NOT NULL DEFAULT '[]',
    names text[] NOT NULL DEFAULT '{}',
    places jsonb NOT NULL DEFAULT '[]',
    conversations uuid[] NOT NULL DEFAULT '{}',
    turns_until timestamptz,
    receipts text[] NOT NULL,
    messages bigint NOT NULL DEFAULT 0
);


-- name: erase_again
-- After a restore: the accounts whose receipts are in `the_receipts`, an array of texts.
INSERT INTO erasures (id, person_id, requested_by, accounts, names, receipts)
SELECT gen_random_uuid(), person_id, 'restore',
       jsonb_agg(jsonb_build_array(id, channel_type, channel_user_id, username)),
       coalesce(array_agg(DISTINCT username) FILTER (WHERE username IS NOT NULL), '{}'),
       array_agg(encode(sha256(convert_to(id::text, 'UTF8')), 'hex'))
FROM users
WHERE encode(sha256(convert_to(id::text, 'UTF8')), 'hex') = ANY(the_receipts)
GROUP BY person_id
ON CONFLICT DO NOTHING;


-- name: erasure_of_person
SELECT step, messages FROM erasures WHERE person_id = :person;


-- name: erasures
-- The newest first.
SELECT id, step, requested_by, requested_at, finished_at, messages
FROM erasures
ORDER BY requested_at DESC
LIMIT :limit;


-- name: one_erasure
SELECT id, step, requested_by, requested_at, finished_at, messages
FROM erasures
WHERE id = :id;


-- name: receipts
-- Of what is finished.
SELECT unnest(receipts) FROM erasures WHERE finished_at IS NOT NULL;


-- name: next_erasure
-- The oldest job that no other instance works at.
SELECT id, person_id, step, requested_by, accounts, names, places, conversations, turns_until,
       messages, extract(epoch FROM clock_timestamp() - touched_at) AS idle
FROM erasures
WHERE finished_at IS NULL
ORDER BY requested_at
LIMIT 1
FOR UPDATE SKIP LOCKED;


-- name: upkeep_is_due
-- Hours, words and partitions: whoever looks after these looks after the rest.
SELECT EXISTS (SELECT FROM erasures WHERE finished_at IS NULL)
    OR EXISTS (SELECT FROM report_state WHERE counted_until < now() - interval '1 day')
    OR EXISTS (SELECT FROM search_state WHERE indexed_until < now() - interval '1 day')
    OR to_regclass(
        'messages_' || to_char(now() AT TIME ZONE 'UTC' + interval '1 month', 'YYYY_MM')
    ) IS NULL;


-- name: keep_erasure
UPDATE erasures SET
    step = :step,
    names = :names,
    places = CAST(:places AS jsonb),
    conversations = :conversations,
    turns_until = :turns_until,
    messages = :messages,
    touched_at = clock_timestamp()
WHERE id = :id;


-- name: finish_erasure
-- What is left names nobody: hashes of random ids, and how much it was.
UPDATE erasures SET
    step = 'done',
    finished_at = clock_timestamp(),
    person_id = NULL,
    accounts = '[]',
    names = '{}',
    places = '[]',
    conversations = '{}'
WHERE id = :id
RETURNING receipts;


-- name: next_conversation
-- One that the person wrote in or began. A message may be left without its conversation.
SELECT mine.id, c.channel_type, c.chat_id, c.id IS NULL AS lost
FROM (
    (SELECT conversation_id AS id
     FROM messages
     WHERE user_id = ANY(:accounts) AND user_id IS NOT NULL
     LIMIT 1)
    UNION ALL
    (SELECT id FROM conversations WHERE user_id = ANY(:accounts) LIMIT 1)
) mine
LEFT JOIN conversations c USING (id)
LIMIT 1;


-- name: take_claim_away
-- Locks it. The answer being written loses its claim, and whoever takes it over reads again what
-- is left. The version moves, so no window in Redis is believed any more.
UPDATE conversations SET
    version = version + 1,
    edited = version + 1,
    answering = CASE WHEN answering IS NOT NULL THEN gen_random_uuid() END,
    owner = NULL,
    stopping = NULL,
    lease_until = CASE WHEN answering IS NOT NULL THEN now() - interval '1 second' END
WHERE id = :conversation
RETURNING answered;


-- name: is_shared
SELECT EXISTS (
    SELECT
    FROM messages m
    JOIN users u ON u.id = m.user_id
    WHERE m.conversation_id = :conversation AND u.id <> ALL(:accounts)
);


-- name: delete_messages
-- With the votes on them. Of their turns only the id is left.
WITH gone AS (
    DELETE FROM messages
    WHERE (conversation_id, "timestamp", seq) IN (
        SELECT conversation_id, "timestamp", seq
        FROM messages
        WHERE conversation_id = :conversation
        ORDER BY "timestamp"
        LIMIT :limit
    )
    RETURNING id, turn_id
), unvoted AS (
    DELETE FROM votes USING gone WHERE message_id = gone.id
), blanked AS (
    UPDATE turns SET
        chat_id = '',
        thread_id = '',
        platform_message_id = '',
        address = '{}',
        placed = NULL,
        reply = NULL,
        state = 'done'
    WHERE id IN (SELECT turn_id FROM gone)
)
SELECT count(*) FROM gone;


-- name: delete_conversation
WITH unvoted AS (
    DELETE FROM votes WHERE conversation_id = :conversation
), unlinked AS (
    DELETE FROM link_codes WHERE conversation_id = :conversation
)
DELETE FROM conversations WHERE id = :conversation;


-- name: messages_of_person
SELECT "timestamp", seq, content, turn_id, metadata->>'author' AS author
FROM messages
WHERE conversation_id = :conversation AND user_id = ANY(:accounts) AND user_id IS NOT NULL
ORDER BY "timestamp", seq
LIMIT :limit;


-- name: messages_after
-- All that may quote these.
SELECT "timestamp", seq, role, content, answers, user_id = ANY(:accounts) AS own
FROM messages
WHERE conversation_id = :conversation AND "timestamp" >= :since
ORDER BY "timestamp", seq
LIMIT :limit;


-- name: blank_message
-- A message that still waits is answered with nothing, as one that was deleted.
UPDATE messages SET content = '', user_id = NULL, metadata = '{"erased": true}'
WHERE conversation_id = :conversation AND "timestamp" = :timestamp AND seq = :seq;


-- name: blank_answer
UPDATE messages SET content = '', metadata = '{"erased": true, "notice": true}'
WHERE conversation_id = :conversation AND "timestamp" = :timestamp AND seq = :seq;


-- name: rewrite_message
UPDATE messages SET content = :content
WHERE conversation_id = :conversation AND "timestamp" = :timestamp AND seq = :seq;


-- name: blank_turns
-- Of a group: its chat stays, and so does what is open, which is answered with nothing.
UPDATE turns SET platform_message_id = '', address = '{}', placed = NULL, reply = NULL
WHERE id IN (
    SELECT id FROM turns WHERE id = ANY(:turns) AND state <> 'open' ORDER BY id FOR UPDATE
);


-- name: forget_earlier_texts
-- Of everybody in this conversation: they may quote the person.
DELETE FROM earlier_texts WHERE conversation_id = :conversation;


-- name: remove_names_from_prompts
UPDATE system_prompts SET content = regexp_replace(content, :pattern, :instead, 'g')
WHERE content ~ :pattern;


-- name: remove_names
WITH titled AS (
    UPDATE conversations SET
        title = left(regexp_replace(title, :pattern, :instead, 'g'), 80),
        instruction = left(regexp_replace(instruction, :pattern, :instead, 'g'), 1000)
    WHERE id = :conversation AND (title ~ :pattern OR instruction ~ :pattern)
)
UPDATE messages SET content = regexp_replace(content, :pattern, :instead, 'g')
WHERE conversation_id = :conversation AND content ~ :pattern;


-- name: remove_author
-- Answers note for whom an experiment was evaluated.
UPDATE messages SET metadata = metadata - 'person'
WHERE conversation_id = :conversation AND metadata->>'person' = ANY(CAST(:people AS text[]));


-- name: other_owner
-- Somebody else who spoke there owns the conversation from now on. Its title and its instruction
-- were the person's.
UPDATE conversations SET title = NULL, instruction = NULL, user_id = (
    SELECT u.id
    FROM messages m
    JOIN users u ON u.id = m.user_id
    WHERE m.conversation_id = :conversation AND u.id <> ALL(:accounts)
    LIMIT 1
)
WHERE id = :conversation AND user_id = ANY(:accounts);


-- name: first_turn
SELECT min(created_at) FROM turns WHERE platform_message_id <> '';


-- name: blank_turns_of_chats
-- Commands in the person's own chats; and what commands said in chats that the person spoke in,
-- since it may quote them. A part of the table at a time.
WITH places AS MATERIALIZED (
    SELECT place->>0 AS channel, place->>1 AS chat, CAST(place->>2 AS bool) AS own
    FROM jsonb_array_elements(CAST(:places AS jsonb)) AS place
), found AS MATERIALIZED (
    SELECT t.id, bool_or(own AND CAST(t.address->>'direct' AS bool) IS TRUE) AS own
    FROM turns t
    JOIN places ON places.channel = t.channel_type AND places.chat = t.chat_id
    WHERE t.created_at >= :since AND t.created_at < :until AND t.platform_message_id <> ''
    GROUP BY t.id
), locked AS MATERIALIZED (
    SELECT turns.id, found.own, turns.state
    FROM turns
    JOIN found USING (id)
    WHERE found.own OR (turns.reply <> '' AND turns.state <> 'open')
    ORDER BY turns.id
    FOR UPDATE OF turns
)
UPDATE turns t SET
    chat_id = CASE WHEN own THEN '' ELSE t.chat_id END,
    thread_id = CASE WHEN own THEN '' ELSE t.thread_id END,
    platform_message_id = CASE WHEN own THEN '' ELSE t.platform_message_id END,
    address = CASE WHEN own THEN '{}' ELSE t.address END,
    placed = CASE WHEN NOT own THEN t.placed END,
    reply = CASE WHEN NOT own THEN '' END,
    state = CASE WHEN own THEN 'done' ELSE t.state END
FROM locked
WHERE t.id = locked.id;


-- name: blank_answered_turns
-- Messages that still waited were answered with nothing since.
UPDATE turns SET platform_message_id = '', address = '{}', placed = NULL, reply = NULL
WHERE id IN (
    SELECT t.id
    FROM messages m
    JOIN turns t ON t.id = m.turn_id
    WHERE m.conversation_id = ANY(:conversations)
      AND m."timestamp" > now() - interval '1 day'
      AND m.metadata @> '{"erased": true}'
      AND t.platform_message_id <> ''
      AND t.state <> 'open'
    ORDER BY t.id
    FOR UPDATE OF t
);


-- name: blank_turns_again
-- What an instance recorded in the meantime at turns that are erased.
UPDATE turns SET
    address = '{}',
    placed = NULL,
    reply = NULL,
    state = CASE WHEN chat_id = '' THEN 'done' ELSE state END
WHERE platform_message_id = ''
  AND (placed IS NOT NULL OR reply IS NOT NULL OR address <> '{}'
       OR (chat_id = '' AND state = 'open'));


-- name: erase_rules
DELETE FROM feature_flags WHERE scope = ANY(:scopes);


-- name: erase_from_named_rules
-- A rule that named nobody any more would be for everybody: it goes.
WITH listing AS MATERIALIZED (
    SELECT scope, name,
           CASE WHEN jsonb_typeof(value->'people') = 'array'
                THEN (value->'people') - CAST(:person AS text) ELSE '[]' END AS others
    FROM feature_flags
    WHERE scope LIKE 'rule:%' AND value->'people' ? CAST(:person AS text)
    ORDER BY name, scope
    FOR UPDATE
), removed AS (
    DELETE FROM feature_flags f USING listing l
    WHERE (f.scope, f.name) = (l.scope, l.name) AND l.others = '[]'
)
UPDATE feature_flags f SET value = jsonb_set(f.value, '{people}', l.others), updated_at = now()
FROM listing l
WHERE (f.scope, f.name) = (l.scope, l.name) AND l.others <> '[]';


-- name: erase_named_rules_of_chat
-- A chat is named with its one channel.
DELETE FROM feature_flags
WHERE scope LIKE 'rule:%'
  AND value->>'chat' = :chat
  AND value->'channels' ? CAST(:channel AS text);


-- name: erase_from_experiments
-- Whoever is named alone as an audience is nobody from now on.
UPDATE experiments SET
    definition = CAST(regexp_replace(CAST(definition AS text), :pattern, :instead, 'g') AS jsonb)
WHERE CAST(definition AS text) ~ :pattern;


-- name: erase_from_allow
-- Never shorter: an empty list would let everybody in. `deny` stays, or they could come back.
UPDATE channel_configs SET settings = jsonb_set(settings, '{allow}', (
    SELECT jsonb_agg(CASE WHEN one = :account THEN '-' ELSE one END)
    FROM jsonb_array_elements_text(settings->'allow') AS allowed(one)
))
WHERE channel_type = :channel AND settings->'allow' @> to_jsonb(CAST(:account AS text));


-- name: erase_budgets
WITH bound AS (
    DELETE FROM budgets WHERE scope = 'person' AND subject = :person
), days AS (
    DELETE FROM budget_days WHERE scope = 'person' AND subject = :person
)
UPDATE budget_reservations SET person = NULL, person_month = NULL
WHERE person = :person OR person_month = :person;


-- name: redact_audit
SELECT redact_audit(CAST(:patterns AS text[]), CAST(:words AS text[]));


-- name: erase_accounts
WITH unvoted AS (
    DELETE FROM votes WHERE user_id = ANY(:accounts)
), unlinked AS (
    DELETE FROM link_codes WHERE user_id = ANY(:accounts)
)
SELECT 1;


-- name: delete_users
DELETE FROM users WHERE id = ANY(:accounts);


-- name: begin_epoch
UPDATE control_epoch SET epoch = :epoch;


-- People --------------------------------------------------------------------------------------

-- name: newest_people
SELECT person_id,
       string_agg(channel_type || ':' || channel_user_id
                  || coalesce(' (' || username || ')', ''),
                  ', ' ORDER BY channel_type, channel_user_id) AS accounts,
       min(created_at) AS since,
       0 AS messages,
       bool_and(metadata @> '{"consent": true}') AS consent
FROM users
GROUP BY person_id
HAVING CAST(:since AS timestamptz) IS NULL
    OR (min(created_at), person_id) < (:since, CAST(:person AS uuid))
ORDER BY since DESC, person_id DESC
LIMIT :limit;


-- name: one_person
SELECT person_id,
       string_agg(channel_type || ':' || channel_user_id
                  || coalesce(' (' || username || ')', ''),
                  ', ' ORDER BY channel_type, channel_user_id) AS accounts,
       min(created_at) AS since,
       (SELECT count(*)
        FROM messages m
        JOIN users u ON u.id = m.user_id
        WHERE u.person_id = :person AND m.user_id IS NOT NULL) AS messages,
       bool_and(metadata @> '{"consent": true}') AS consent
FROM users
WHERE person_id = :person
GROUP BY person_id;


-- name: person_of_account
SELECT person_id
FROM users
WHERE channel_type = :channel AND channel_user_id = :account;


-- name: set_consent
-- On all accounts of the person who owns this one.
UPDATE users SET
    metadata = metadata - 'consent'
        || CASE WHEN :given THEN CAST('{"consent": true}' AS jsonb) ELSE '{}' END
WHERE id = ANY(:accounts);


-- Export --------------------------------------------------------------------------------------

-- name: export_accounts
SELECT channel_type AS channel, channel_user_id AS account, username AS name,
       preferred_model AS model, created_at AS since,
       metadata @> '{"consent": true}' AS consent, metadata
FROM users
WHERE person_id = :person
ORDER BY channel_type, channel_user_id;


-- name: export_votes
SELECT v.thumb, v.at
FROM votes v
JOIN users u ON u.id = v.user_id
WHERE u.person_id = :person
ORDER BY v.at DESC;


-- name: export_settings
-- Of a named rule only that it lists the person: the others in its list are not theirs to see.
SELECT name, value FROM feature_flags WHERE scope = :scope
UNION ALL
SELECT name, value - 'people' FROM feature_flags
WHERE scope LIKE 'rule:%' AND value->'people' ? :name
UNION ALL
SELECT 'budget of a ' || period, jsonb_build_object('tokens', tokens, 'usd', usd)
FROM budgets
WHERE scope = 'person' AND subject = :name
UNION ALL
SELECT 'audience of an experiment', to_jsonb(name)
FROM experiments
WHERE position(:name IN CAST(definition AS text)) > 0
UNION ALL
SELECT listed.how || ' of ' || c.channel_type, to_jsonb(u.channel_user_id)
FROM users u
JOIN channel_configs c ON c.channel_type = u.channel_type
JOIN (VALUES ('allow'), ('deny')) listed(how)
  ON c.settings->listed.how @> to_jsonb(u.channel_user_id)
WHERE u.person_id = :person;


-- name: export_budget_days
-- Of a month, `day` is its first.
SELECT period, day, tokens, usd
FROM budget_days
WHERE scope = 'person' AND subject = :name
ORDER BY day DESC, period;


-- name: export_conversations
-- Those that the person began, with what they ask of each answer.
SELECT c.channel_type AS channel, c.chat_id AS chat, c.thread_id AS thread, c.title,
       c.instruction, c.model_override AS model, c.started_at AS since,
       c.last_activity AS last, c.is_active AS active, c.metadata
FROM conversations c
JOIN users u ON u.id = c.user_id
WHERE u.person_id = :person
ORDER BY c.started_at DESC, c.id;


-- name: export_usage
-- As reports count the person, by month (UTC); also of messages that are deleted by now.
SELECT to_char(f.hour AT TIME ZONE 'UTC', 'YYYY-MM') AS month, f.channel_type AS channel,
       f.model,
       CAST(sum(f.messages) AS bigint) AS messages,
       CAST(sum(f.answers) AS bigint) AS answers,
       CAST(sum(f.prompt_tokens) AS bigint) AS prompt_tokens,
       CAST(sum(f.tokens) AS bigint) AS tokens,
       sum(f.cost_usd) AS usd
FROM report_hours f
JOIN users u ON u.id = f.user_id
WHERE u.person_id = :person
GROUP BY 1, 2, 3
ORDER BY 1 DESC, 2, 3;


-- name: export_earlier_texts
SELECT e.at, e.changed_at AS changed, u.channel_type AS channel, e.content AS text
FROM earlier_texts e
JOIN users u ON u.id = e.author
WHERE u.person_id = :person
ORDER BY e.at DESC, e.id DESC;


-- name: prompts_of_person
-- Those that the person's answers were given under.
SELECT p.content AS prompt, min(a."timestamp") AS since, max(a."timestamp") AS until,
       count(*) AS answers
FROM users u
JOIN messages m ON m.user_id = u.id
JOIN messages a ON a.conversation_id = m.conversation_id
               AND a."timestamp" >= m."timestamp"
               AND a.role = 'assistant'
               AND a.answers = m.seq
               AND NOT a.metadata ? 'notice'
JOIN system_prompts p ON p.hash = a.metadata->>'prompt'
WHERE u.person_id = :person AND m.user_id IS NOT NULL
GROUP BY p.hash
ORDER BY 2;


-- name: export_messages
-- The newest first, each with the answer to it. In a group, words of others are not the person's.
-- What an operator had asked again is not said to be the person's act.
SELECT m."timestamp" AS at, c.channel_type AS channel, m.content AS text, answer.content AS answer,
       m.metadata ? 'again_by' AS asked_again
FROM users u
JOIN messages m ON m.user_id = u.id
LEFT JOIN conversations c ON c.id = m.conversation_id
LEFT JOIN LATERAL (
    SELECT content
    FROM messages
    WHERE conversation_id = m.conversation_id
      AND "timestamp" > m."timestamp"
      AND role = 'assistant'
      AND answers >= m.seq
      AND m.seq <= c.answered  -- else each looks through all that came after it
    ORDER BY "timestamp", seq
    LIMIT 1
) answer ON true
WHERE u.person_id = :person AND m.user_id IS NOT NULL
ORDER BY m."timestamp" DESC, m.seq DESC;


-- name: is_kept
SELECT EXISTS (SELECT FROM users WHERE person_id = :person)
   AND NOT EXISTS (SELECT FROM erasures WHERE person_id = :person);


-- Retention -----------------------------------------------------------------------------------

-- name: summed_up_until
-- What is not in the sums of reports yet is not deleted yet.
SELECT counted_until FROM report_state;


-- name: note_floor
-- Before messages of a channel go: hours that lose some are not summed up again.
INSERT INTO report_floors AS f (channel_type, until) VALUES (:channel, :cutoff)
ON CONFLICT (channel_type) DO UPDATE SET until = excluded.until WHERE f.until < excluded.until;


-- name: one_retains
-- Held until the end of the transaction: one instance at a time, also behind a pooler.
SELECT pg_try_advisory_xact_lock(7061206103);


-- name: channel_retention
SELECT channel_type, default_model, settings FROM channel_configs;


-- name: channels_with_conversations
SELECT channel_type FROM conversations GROUP BY channel_type;


-- name: forget_prompts
-- That no answer was given under since :cutoff.
DELETE FROM system_prompts WHERE used_at < :cutoff;


-- name: months
-- Tables of a month of messages, the oldest first; one that is no partition any more was detached
-- by an instance that died before it dropped it.
SELECT to_date(right(c.relname, 7), 'YYYY_MM') AS month, c.relispartition AS attached
FROM pg_class c
WHERE c.relnamespace = to_regnamespace(quote_ident(current_schema()))
  AND c.relkind = 'r'
  AND c.relname ~ '^messages_[0-9]{4}_[0-9]{2}$'
ORDER BY month;


-- name: is_needed
-- Whether the answer to a message of that time is still on its way.
SELECT EXISTS (SELECT FROM turns WHERE state = 'open' AND created_at < :until);


-- name: unvote
-- Votes on messages that are about to go.
DELETE FROM votes
WHERE (message_id, user_id) IN (
    SELECT v.message_id, v.user_id
    FROM votes v
    JOIN messages m ON m.id = v.message_id
    WHERE m."timestamp" >= :since AND m."timestamp" < :until
    LIMIT :limit
);


-- Each of these three is a transaction of its own, begun and ended in the server: nobody waits for
-- an instance that is busy between two round trips. NULL: another instance is at it.

-- name: detach_month
SELECT CASE WHEN pg_try_advisory_xact_lock(7061206103)
       THEN detach_messages(:month) IS NOT NULL END;


-- name: detach_words_of_month
SELECT CASE WHEN pg_try_advisory_xact_lock(7061206103)
       THEN detach_words(:month) IS NOT NULL END;


-- name: drop_month
SELECT CASE WHEN pg_try_advisory_xact_lock(7061206103)
       THEN drop_detached_messages(:month) IS NOT NULL END;


-- name: old_conversations
-- With messages of before :cutoff, unless somebody waits there for an answer.
SELECT id
FROM conversations
WHERE channel_type = :channel
  AND started_at < :cutoff
  AND asked <= answered
  AND answering IS NULL
LIMIT :limit;


-- name: delete_old_messages
-- With the votes on them. No lock of a conversation is held meanwhile.
WITH gone AS (
    DELETE FROM messages
    WHERE (conversation_id, "timestamp", seq) IN (
        SELECT conversation_id, "timestamp", seq
        FROM messages
        WHERE conversation_id = ANY(:conversations) AND "timestamp" < :cutoff
        LIMIT :limit
    )
    RETURNING id
), unvoted AS (
    DELETE FROM votes USING gone WHERE message_id = gone.id
)
SELECT count(*) FROM gone;


-- name: move_conversations
-- Windows in Redis that may hold what is gone are not believed any more. What a turn holds at this
-- moment is left for the next time.
WITH old AS MATERIALIZED (
    SELECT id, last_activity < :cutoff AND asked <= answered AND answering IS NULL AS ended
    FROM conversations
    WHERE id = ANY(:conversations)
    ORDER BY channel_type, chat_id, thread_id
    FOR UPDATE SKIP LOCKED
), unvoted AS (
    DELETE FROM votes v USING old WHERE v.conversation_id = old.id AND old.ended
), unlinked AS (
    DELETE FROM link_codes l USING old WHERE l.conversation_id = old.id AND old.ended
), ended AS (
    DELETE FROM conversations c USING old WHERE c.id = old.id AND old.ended
)
UPDATE conversations c SET started_at = :cutoff, version = version + 1
FROM old
WHERE c.id = old.id AND NOT old.ended;


-- Training ------------------------------------------------------------------------------------

-- name: agreed_conversations
-- Everybody who ever spoke there agreed on every account, and nobody's author is unknown.
SELECT c.id
FROM conversations c
WHERE c.id > CAST(:after AS uuid)
  AND c.last_activity >= :since
  AND (CAST(:channel AS text) IS NULL OR c.channel_type = :channel)
  AND NOT EXISTS (
      SELECT
      FROM messages m
      LEFT JOIN users u ON u.id = m.user_id
      WHERE m.conversation_id = c.id
        AND m.role = 'user'
        AND m.content <> ''
        AND (u.id IS NULL OR NOT u.metadata @> '{"consent": true}')
  )
ORDER BY c.id
LIMIT :limit;


-- name: training_messages
-- In the order in which they are read; without notices of the agent about itself.
SELECT conversation_id, role, content
FROM messages
WHERE conversation_id = ANY(CAST(:conversations AS uuid[]))
  AND "timestamp" >= :since
  AND content <> ''
  AND NOT metadata ? 'notice'
  AND NOT metadata ? 'set_aside'
ORDER BY conversation_id, coalesce(answers, seq), (role = 'assistant'), "timestamp";
