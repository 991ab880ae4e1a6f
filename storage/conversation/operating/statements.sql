-- Conversations as operators look at them. Parameters are :name.
--
-- A list takes two statements. The first walks along an index and names a page of conversations;
-- it looks at :walk rows at most, however few of them fit. `listed_conversations` reads those.
-- Pages go on from the last row (keyset), so a late page costs what the first one does.


-- name: newest_conversations
-- By id, which is in the order in which they began.
WITH walked AS MATERIALIZED (
    SELECT id, channel_type, is_active, answering, asked, answered
    FROM conversations
    WHERE id < CAST(:before AS uuid)
    ORDER BY id DESC
    LIMIT :walk
), fitting AS (
    SELECT id
    FROM walked
    WHERE (CAST(:channel AS text) IS NULL OR channel_type = :channel)
      AND CASE CAST(:state AS text)
              WHEN 'active' THEN is_active
              WHEN 'ended' THEN NOT is_active
              WHEN 'answering' THEN answering IS NOT NULL
              WHEN 'waiting' THEN asked > answered
              ELSE true
          END
    ORDER BY id DESC
    LIMIT :page
)
SELECT ARRAY(SELECT id FROM fitting ORDER BY id DESC) AS ids,
       (SELECT count(*) FROM walked) AS looked,
       NULL::timestamptz AS fit_at,
       (SELECT id FROM fitting ORDER BY id LIMIT 1) AS fit,
       NULL::timestamptz AS end_at,
       (SELECT id FROM walked ORDER BY id LIMIT 1) AS end;


-- name: lately_active
-- By the turn of the last message. No index may name what each turn changes, so the newest turns
-- lead to their conversations; a turn counts if it began the last message of one. Turns are
-- kept for 30 days: older conversations are not here.
WITH walked AS MATERIALIZED (
    SELECT id, channel_type, chat_id, thread_id, created_at
    FROM turns
    WHERE created_at <= CAST(:at AS timestamptz)
      AND (created_at, id) < (CAST(:at AS timestamptz), CAST(:before AS uuid))
    ORDER BY created_at DESC, id DESC
    LIMIT :walk
), fitting AS (
    SELECT c.id, w.created_at, w.id AS turn
    FROM walked w
    JOIN conversations c ON c.channel_type = w.channel_type
                        AND c.chat_id = w.chat_id
                        AND c.thread_id = w.thread_id
                        AND c.last_activity >= w.created_at
    CROSS JOIN LATERAL (
        SELECT turn_id
        FROM messages
        WHERE conversation_id = c.id
          AND "timestamp" BETWEEN c.started_at AND c.last_activity
          AND turn_id IS NOT NULL
        ORDER BY "timestamp" DESC, seq DESC
        LIMIT 1
    ) last
    WHERE last.turn_id = w.id
      AND (CAST(:channel AS text) IS NULL OR c.channel_type = :channel)
      AND CASE CAST(:state AS text)
              WHEN 'active' THEN c.is_active
              WHEN 'ended' THEN NOT c.is_active
              WHEN 'answering' THEN c.answering IS NOT NULL
              WHEN 'waiting' THEN c.asked > c.answered
              ELSE true
          END
    ORDER BY w.created_at DESC, w.id DESC
    LIMIT :page
), last_fit AS (
    SELECT created_at, turn FROM fitting ORDER BY created_at, turn LIMIT 1
), last_walked AS (
    SELECT created_at, id FROM walked ORDER BY created_at, id LIMIT 1
)
SELECT ARRAY(SELECT id FROM fitting ORDER BY created_at DESC, turn DESC) AS ids,
       (SELECT count(*) FROM walked) AS looked,
       (SELECT created_at FROM last_fit) AS fit_at,
       (SELECT turn FROM last_fit) AS fit,
       (SELECT created_at FROM last_walked) AS end_at,
       (SELECT id FROM last_walked) AS end;


-- name: conversations_of_person
-- Those that they began, and those in which their last :walk messages stand.
WITH mine AS MATERIALIZED (
    SELECT id FROM users WHERE person_id = CAST(:person AS uuid)
), named AS (
    SELECT c.id
    FROM mine
    JOIN conversations c ON c.user_id = mine.id
    UNION
    SELECT spoken.conversation_id
    FROM mine
    CROSS JOIN LATERAL (
        SELECT conversation_id
        FROM messages
        WHERE user_id = mine.id AND user_id IS NOT NULL
        ORDER BY "timestamp" DESC
        LIMIT :walk
    ) spoken
), fitting AS (
    SELECT c.id
    FROM named
    JOIN conversations c USING (id)
    WHERE c.id < CAST(:before AS uuid)
      AND (CAST(:channel AS text) IS NULL OR c.channel_type = :channel)
      AND CASE CAST(:state AS text)
              WHEN 'active' THEN c.is_active
              WHEN 'ended' THEN NOT c.is_active
              WHEN 'answering' THEN c.answering IS NOT NULL
              WHEN 'waiting' THEN c.asked > c.answered
              ELSE true
          END
    ORDER BY c.id DESC
    LIMIT :page
)
SELECT ARRAY(SELECT id FROM fitting ORDER BY id DESC) AS ids,
       0 AS looked,
       NULL::timestamptz AS fit_at,
       (SELECT id FROM fitting ORDER BY id LIMIT 1) AS fit,
       NULL::timestamptz AS end_at,
       NULL::uuid AS end;


-- name: listed_conversations
-- Sums are of the last :summed messages, so that one long conversation delays no list. An answer
-- that a person cut is no trouble; the notes are those of agent.conversation.active_answer.
SELECT c.id, c.channel_type, c.chat_id, c.thread_id,
       CASE WHEN :texts THEN c.title END AS title,
       c.started_at, c.last_activity, c.is_active,
       c.answering IS NOT NULL AS is_answering,
       c.asked > c.answered AS is_waiting,
       u.person_id, u.username,
       s.messages, s.answers, s.troubles, s.cost, s.unpriced, s.rows > :summed AS is_partial
FROM unnest(CAST(:ids AS uuid[])) WITH ORDINALITY AS wanted(id, n)
JOIN conversations c ON c.id = wanted.id
LEFT JOIN users u ON u.id = c.user_id
CROSS JOIN LATERAL (
    SELECT count(*) AS rows,
           count(*) FILTER (WHERE role = 'user') AS messages,
           count(*) FILTER (WHERE role = 'assistant' AND NOT metadata ? 'notice') AS answers,
           count(*) FILTER (
               WHERE metadata ?| ARRAY['notice', 'undelivered', 'set_aside']
                  OR metadata->>'note' <> ALL(ARRAY['stopped', 'interrupted by your next message'])
           ) AS troubles,
           sum(cost_usd) AS cost,
           count(*) FILTER (WHERE model_used IS NOT NULL AND cost_usd IS NULL) AS unpriced
    FROM (
        SELECT role, metadata, cost_usd, model_used
        FROM messages
        WHERE conversation_id = c.id
          AND "timestamp" BETWEEN c.started_at AND c.last_activity
        ORDER BY "timestamp" DESC, seq DESC
        LIMIT :summed + 1
    ) newest
    WHERE NOT metadata ? 'carried'
) s
WHERE (NOT :troubled OR s.troubles > 0)
  AND (CAST(:cost AS numeric) IS NULL OR s.cost >= :cost)
ORDER BY wanted.n;


-- name: conversation_head
SELECT c.id, c.channel_type, c.chat_id, c.thread_id,
       CASE WHEN :texts THEN c.title END AS title,
       c.model_override, c.started_at, c.last_activity, c.is_active,
       c.answering, c.stopping = c.answering IS TRUE AS is_stopping,
       c.asked > c.answered AS is_waiting,
       u.person_id, u.username, i.host, i.pid, c.version
FROM conversations c
LEFT JOIN users u ON u.id = c.user_id
LEFT JOIN instances i ON i.id = c.owner
WHERE c.id = CAST(:id AS uuid);


-- name: messages_of_conversation
-- A page, the newest first, from before a moment and a seq.
SELECT m.id, m.seq, m."timestamp" AS at, m.role,
       CASE WHEN :texts THEN left(m.content, :chars) END AS content,
       length(m.content) AS chars, m.answers, m.model_used, m.prompt_tokens, m.token_count,
       m.cost_usd, m.latency_ms, m.metadata, t.state, u.person_id, u.username
FROM conversations c
CROSS JOIN LATERAL (
    SELECT *
    FROM messages
    WHERE conversation_id = c.id
      AND "timestamp" BETWEEN c.started_at AND least(c.last_activity, CAST(:at AS timestamptz))
      AND ("timestamp", seq) < (CAST(:at AS timestamptz), CAST(:seq AS bigint))
    ORDER BY "timestamp" DESC, seq DESC
    LIMIT :page
) m
LEFT JOIN turns t ON t.id = m.turn_id
LEFT JOIN users u ON u.id = m.user_id
WHERE c.id = CAST(:id AS uuid)
ORDER BY m."timestamp" DESC, m.seq DESC;


-- name: one_message
SELECT m.id, m.seq, m."timestamp" AS at, m.role,
       CASE WHEN :texts THEN left(m.content, :chars) END AS content,
       length(m.content) AS chars, m.answers, m.model_used, m.prompt_tokens, m.token_count,
       m.cost_usd, m.latency_ms, m.metadata, t.state, u.person_id, u.username
FROM conversations c
JOIN messages m ON m.conversation_id = c.id
               AND m."timestamp" BETWEEN c.started_at AND c.last_activity
LEFT JOIN turns t ON t.id = m.turn_id
LEFT JOIN users u ON u.id = m.user_id
WHERE c.id = CAST(:id AS uuid) AND m.seq = :seq;


-- name: votes_on_message
SELECT count(*) FILTER (WHERE thumb > 0) AS up, count(*) FILTER (WHERE thumb < 0) AS down
FROM votes
WHERE message_id = CAST(:message AS uuid);


-- name: answered_turns
-- The messages that an answer covers, the newest first, each with its turn: those up to :answers
-- that no answer before it covers.
SELECT m.seq, m."timestamp" AS at, m.metadata, u.person_id,
       t.id AS turn, t.state, t.attempts, t.created_at, t.touched_at, t.platform_message_id,
       t.placed->'ids' AS placed, t.deliverer
FROM conversations c
CROSS JOIN LATERAL (
    SELECT coalesce((
        SELECT before.answers
        FROM messages before
        WHERE before.conversation_id = c.id
          AND before."timestamp" BETWEEN c.started_at AND CAST(:at AS timestamptz)
          AND before.role = 'assistant'
          AND before.answers < :answers
        ORDER BY before."timestamp" DESC
        LIMIT 1
    ), 0) AS seq
) covered
CROSS JOIN LATERAL (
    SELECT *
    FROM messages
    WHERE conversation_id = c.id
      AND "timestamp" BETWEEN c.started_at AND CAST(:at AS timestamptz)
      AND role = 'user'
      AND seq <= :answers
      AND seq > covered.seq
    ORDER BY "timestamp" DESC
    LIMIT :page
) m
LEFT JOIN turns t ON t.id = m.turn_id
LEFT JOIN users u ON u.id = m.user_id
WHERE c.id = CAST(:id AS uuid)
ORDER BY m.seq DESC;


-- name: was_read
SELECT EXISTS (
    SELECT
    FROM audit_log
    WHERE subject = :subject
      AND action = :action
      AND actor = :actor
      AND after->>'session' = :session
);


-- name: hold_session
-- Two pages that open at once write one row.
SELECT id FROM operator_sessions WHERE id = CAST(:session AS uuid) FOR UPDATE;


-- name: to_answer_again
-- A conversation, the last message that a person wrote there, and what stands in the way.
-- An instance that was not seen for :lease seconds serves nothing.
SELECT c.version, c.is_active, c.channel_type AS channel, c.chat_id AS chat, c.thread_id AS thread,
       c.answering IS NOT NULL OR c.asked > c.answered AS is_answering,
       m.content, m.metadata, m.user_id AS author, t.state, t.address,
       u.channel_user_id AS account, u.person_id AS person,
       EXISTS (
           SELECT FROM erasures e
           WHERE e.person_id = u.person_id AND e.finished_at IS NULL
       ) AS is_forgotten,
       EXISTS (
           SELECT FROM instances i
           WHERE c.channel_type = ANY(i.channels)
             AND i.seen_at > now() - make_interval(secs => :lease)
       ) AS is_served
FROM conversations c
LEFT JOIN LATERAL (
    SELECT content, metadata, user_id, turn_id
    FROM messages
    WHERE conversation_id = c.id
      AND "timestamp" BETWEEN c.started_at AND c.last_activity
      AND role = 'user'
    ORDER BY "timestamp" DESC, seq DESC
    LIMIT 1
) m ON true
LEFT JOIN turns t ON t.id = m.turn_id
LEFT JOIN users u ON u.id = m.user_id
WHERE c.id = CAST(:id AS uuid);


-- name: hold_author
-- Before the conversation, as everywhere: people come first.
SELECT u.id
FROM users u
WHERE u.id = CAST(:author AS uuid)
FOR KEY SHARE;


-- name: hold_conversation
SELECT id FROM conversations WHERE id = CAST(:id AS uuid) FOR UPDATE;


-- name: asked_again
-- What an operator asked before under this turn.
SELECT m.conversation_id AS conversation, m.seq
FROM turns t
JOIN messages m ON m.conversation_id = CAST(:id AS uuid)
               AND m."timestamp" >= t.created_at
               AND m.turn_id = t.id
WHERE t.id = CAST(:turn AS uuid);


-- name: ask_again
-- The last message once more, as a new turn, under a claim that has no owner and is over: the
-- next sweep of an instance that serves the channel takes it, and nobody died of it.
WITH asked AS (
    UPDATE conversations c SET
        version = c.version + 1,
        asked = c.version + 1,
        last_activity = greatest(
            c.last_activity + interval '1 microsecond', clock_timestamp()
        ),
        answering = CAST(:turn AS uuid),
        owner = NULL,
        lease_until = now() - interval '1 second'
    WHERE c.id = CAST(:id AS uuid)
    RETURNING id, channel_type, chat_id, thread_id, version, last_activity
), opened AS (
    INSERT INTO turns (id, channel_type, chat_id, thread_id, platform_message_id, address)
    SELECT CAST(:turn AS uuid), channel_type, chat_id, thread_id, :name, CAST(:address AS jsonb)
    FROM asked
)
INSERT INTO messages (
    conversation_id, "timestamp", seq, id, role, content, user_id, turn_id, metadata
)
SELECT id, last_activity, version, CAST(:message AS uuid), 'user', :content,
       CAST(:author AS uuid), CAST(:turn AS uuid), CAST(:metadata AS jsonb)
FROM asked
RETURNING seq;


-- name: stop_by_operator
-- Asks whoever writes an answer there to stop.
UPDATE conversations SET stopping = answering
WHERE id = CAST(:id AS uuid) AND answering IS NOT NULL
RETURNING id;


-- name: end_by_operator
UPDATE conversations SET is_active = false WHERE id = CAST(:id AS uuid) AND is_active RETURNING id;
