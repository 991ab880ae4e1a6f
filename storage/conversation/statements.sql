-- The statements that make the promise. Each runs alone under READ COMMITTED and commits by
-- itself. Most take a list of turns and return a list of verdicts, so that all turns that wait
-- at one moment share a commit.
--
-- Parameters: $1, $2 … on pinned connections; :name on those of the pool (housekeeping, and what
-- people's commands ask, from `answer_state` on, in the transaction of the command).
--
-- What must stay:
-- * Claims and "does someone wait" are read from the conversation's row: an UPDATE or
--   ON CONFLICT DO UPDATE waits and then works on the newest row, while a join or EXISTS beside
--   it would see the old snapshot.
-- * One lock order everywhere: new turns by id, people, conversations by chat, existing turns by
--   id. Otherwise flushes of two instances deadlock.
-- * A result is matched to its input by ordinal or fence, never by conversation: a stale claimant
--   would take the valid verdict.
-- * The timestamp is taken under the conversation's lock and is later than the last one, so the
--   order by timestamp is the order by seq.


-- name: accept
-- Stores people's messages, and claims a conversation that nobody answers (`answering`; the other
-- statements that claim are `answer`, for what waits, and `take_over`, after a death). At most
-- one message per conversation in a list. A message that does not come
-- back was stored before.
-- `previous` is the first turn of the answer stored last in this chat, unless it is seen to be
-- closed: that answer may still be on its way. (A turn that the snapshot does not show is new.)
-- $1 turn  $2 channel  $3 chat  $4 thread  $5 platform message id  $6 address
-- $7 conversation id to use if the chat is new  $8 author's row (known, or the id to use)
-- $9 platform's id of the author, NULL when the row is known  $10 username  $11 content
-- $12 message id  $13 message metadata  $14 instance  $15 lease in seconds
WITH input AS MATERIALIZED (
    SELECT *
    FROM unnest(
        $1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::uuid[],
        $8::uuid[], $9::text[], $10::text[], $11::text[], $12::uuid[], $13::text[]
    ) WITH ORDINALITY AS t(
        turn, channel, chat, thread, platform_id, address, conversation,
        author, account, username, content, message, metadata, n
    )
), fresh AS (
    INSERT INTO turns (id, channel_type, chat_id, thread_id, platform_message_id, address)
    SELECT turn, channel, chat, thread, platform_id, address::jsonb
    FROM input
    ORDER BY turn
    ON CONFLICT DO NOTHING
    RETURNING id
), new AS MATERIALIZED (
    -- IS TRUE: looked up in a hash table; a join would compare each row with each
    SELECT * FROM input WHERE (turn IN (SELECT id FROM fresh)) IS TRUE
), authors AS (
    INSERT INTO users AS u (id, person_id, channel_type, channel_user_id, username)
    SELECT DISTINCT ON (channel, account) author, author, channel, account, username
    FROM new
    WHERE account IS NOT NULL
    ORDER BY channel, account, n
    ON CONFLICT (channel_type, channel_user_id) DO UPDATE SET
        updated_at = now(),
        username = coalesce(excluded.username, u.username)
    RETURNING id, person_id, channel_type, channel_user_id, preferred_model
), authored AS MATERIALIZED (
    SELECT new.*,
           coalesce(a.id, known.id) AS user_id,
           coalesce(a.person_id, known.person_id) AS person_id,
           coalesce(a.preferred_model, known.preferred_model) AS preferred
    FROM new
    LEFT JOIN authors a ON a.channel_type = new.channel AND a.channel_user_id = new.account
    LEFT JOIN users known ON new.account IS NULL AND known.id = new.author
), asked AS (
    INSERT INTO conversations AS c (
        id, user_id, channel_type, chat_id, thread_id, started_at, last_activity,
        version, asked, answering, owner, lease_until
    )
    SELECT conversation, user_id, channel, chat, thread, clock_timestamp(), clock_timestamp(),
           1, 1, turn, $14::uuid, now() + make_interval(secs => $15::float8)
    FROM authored
    ORDER BY channel, chat, thread
    ON CONFLICT (channel_type, chat_id, thread_id) WHERE is_active DO UPDATE SET
        version = c.version + 1,
        asked = c.version + 1,
        last_activity = greatest(c.last_activity + interval '1 microsecond', clock_timestamp()),
        answering = coalesce(c.answering, excluded.answering),
        owner = CASE WHEN c.answering IS NULL THEN excluded.owner ELSE c.owner END,
        lease_until = CASE WHEN c.answering IS NULL THEN excluded.lease_until
                           ELSE c.lease_until END
    RETURNING id, channel_type, chat_id, thread_id, version, answering, last_activity,
              model_override, instruction, last_turn
), verdict AS MATERIALIZED (
    SELECT authored.*,
           c.id AS conversation_id,
           c.version AS seq,
           c.last_activity AS at,
           c.answering = turn AS claimed,
           c.last_turn,
           c.instruction,
           coalesce(c.model_override, preferred) AS model
    FROM authored
    -- the chat first: what differs most is compared first
    JOIN asked c ON c.chat_id = chat AND c.thread_id = thread AND c.channel_type = channel
), stored AS (
    INSERT INTO messages (
        conversation_id, "timestamp", seq, id, role, content, user_id, turn_id, metadata
    )
    SELECT conversation_id, at, seq, message, 'user', content, user_id, turn, metadata::jsonb
    FROM verdict
)
SELECT n, turn, conversation_id, user_id, person_id, seq, claimed, model, instruction,
       CASE WHEN coalesce((SELECT state FROM turns WHERE id = last.turn_id), 'open') = 'open'
            THEN last.turn_id END AS previous
FROM verdict
CROSS JOIN LATERAL (
    SELECT CASE WHEN claimed THEN coalesce(last_turn, (
        SELECT c.last_turn  -- of the conversation before this one
        FROM conversations c
        WHERE c.channel_type = channel AND c.chat_id = chat AND c.thread_id = thread
          AND c.last_turn IS NOT NULL
        ORDER BY c.last_activity DESC
        LIMIT 1
    )) END AS turn_id
) last;


-- name: answer
-- Stores answers whose claim still holds. The open turns are the intent to deliver, so nothing
-- else is written. A conversation in which nobody waits is released; otherwise the claim goes on
-- under its next fence.
-- When a message was edited after the answer's window was true, nothing is stored and the claim
-- is kept: the answer comes back as outdated.
-- $1 conversation  $2 fence  $3 seq of the last message answered  $4 next fence  $5 message id
-- $6 content  $7 model  $8 prompt tokens  $9 answer tokens  $10 cost  $11 latency  $12 metadata
-- $13 version of the window, or NULL if edits do not matter
-- $14 first turn that the answer covers, or NULL if it covers none  $15 lease in seconds
WITH input AS MATERIALIZED (
    SELECT *
    FROM unnest(
        $1::uuid[], $2::uuid[], $3::bigint[], $4::uuid[], $5::uuid[], $6::text[], $7::text[],
        $8::bigint[], $9::bigint[], $10::numeric[], $11::bigint[], $12::text[], $13::bigint[],
        $14::uuid[]
    ) AS t(
        conversation, fence, up_to_seq, next_fence, message, content, model,
        prompt_tokens, tokens, cost, latency, metadata, seen, first_turn
    )
), held AS MATERIALIZED (  -- waits, checks the fence again and returns the newest row
    SELECT c.id, c.version, c.asked, c.last_activity, c.edited > input.seen IS TRUE AS outdated,
           input.*
    FROM input
    JOIN conversations c ON c.id = input.conversation AND c.answering = input.fence
    ORDER BY c.channel_type, c.chat_id, c.thread_id
    FOR UPDATE OF c
), released AS (
    UPDATE conversations c SET
        version = held.version + 1,
        answered = held.up_to_seq,
        last_turn = coalesce(held.first_turn, c.last_turn),
        last_activity = greatest(held.last_activity + interval '1 microsecond', clock_timestamp()),
        answering = CASE WHEN held.asked > held.up_to_seq THEN held.next_fence END,
        owner = CASE WHEN held.asked > held.up_to_seq THEN c.owner END,
        lease_until = CASE WHEN held.asked > held.up_to_seq
                           THEN now() + make_interval(secs => $15::float8) END
    FROM held
    WHERE c.id = held.id AND NOT held.outdated
    RETURNING c.id, c.version, c.answering, c.last_activity, held.fence, held.up_to_seq,
              held.message, held.content, held.model, held.prompt_tokens, held.tokens,
              held.cost, held.latency, held.metadata
), stored AS (
    INSERT INTO messages (
        conversation_id, "timestamp", seq, id, role, content, answers, model_used,
        prompt_tokens, token_count, cost_usd, latency_ms, metadata
    )
    SELECT id, last_activity, version, message, 'assistant', content, up_to_seq, model,
           prompt_tokens, tokens, cost, latency, metadata::jsonb
    FROM released
)
SELECT fence, version, answering, false AS outdated FROM released
UNION ALL
SELECT fence, version, fence, true FROM held WHERE outdated;


-- name: find_answer
-- After a connection was lost in the middle of a commit: did this answer arrive?
-- $1 conversation  $2 message id
SELECT m.seq AS version, c.answering, false AS outdated
FROM conversations c
JOIN messages m ON m.conversation_id = c.id
WHERE c.id = $1::uuid
  AND m.id = $2::uuid
  AND m."timestamp" >= c.last_activity - interval '10 minutes';


-- name: load
-- The last messages of conversations and all that wait, in no order. Walks the partitions from
-- the newest and stops. `previous` as in `accept`.
-- $1 conversations  $2 messages of a window, besides those that wait
WITH here AS MATERIALIZED (
    SELECT c.*, coalesce(c.last_turn, (
        SELECT before.last_turn
        FROM conversations before
        WHERE before.channel_type = c.channel_type
          AND before.chat_id = c.chat_id
          AND before.thread_id = c.thread_id
          AND before.last_turn IS NOT NULL
        ORDER BY before.last_activity DESC
        LIMIT 1
    )) AS last
    FROM unnest($1::uuid[]) AS wanted(id)
    JOIN conversations c ON c.id = wanted.id
), conversation AS MATERIALIZED (
    SELECT here.*,
           CASE WHEN coalesce((SELECT state FROM turns WHERE id = here.last), 'open') = 'open'
                THEN here.last END AS previous
    FROM here
)
SELECT c.id AS conversation, c.channel_type, c.chat_id, c.thread_id, c.version, c.answered,
       c.model_override, c.instruction, c.previous,
       m.seq, m.role, m.content, m.answers, m.metadata, m.user_id, m.turn_id,
       t.id AS waiting_turn, t.address, t.placed, t.attempts,
       extract(epoch FROM now() - t.created_at)::float8 AS age,
       u.preferred_model, u.channel_user_id, u.person_id
FROM conversation c
LEFT JOIN LATERAL (
    SELECT seq, role, content, answers, metadata, user_id, turn_id
    FROM messages
    WHERE conversation_id = c.id AND "timestamp" BETWEEN c.started_at AND c.last_activity
    ORDER BY "timestamp" DESC, seq DESC
    LIMIT $2::bigint + c.version - c.answered
) m ON true
LEFT JOIN turns t ON t.id = m.turn_id AND m.role = 'user' AND m.seq > c.answered
LEFT JOIN users u ON u.id = m.user_id AND t.id IS NOT NULL;


-- name: are_open
-- Which of these turns wait for their answer to arrive.
-- $1 turns
SELECT id FROM turns WHERE id = ANY($1::uuid[]) AND state = 'open';


-- name: announce
-- A draft will stand: whoever takes over has to look for it, also where no id is recorded.
-- $1 turns
UPDATE turns t
SET placed = coalesce(t.placed, '{"ids": [], "extra": {}}') || '{"pending": true}',
    touched_at = now()
FROM (
    SELECT id FROM turns
    WHERE id = ANY($1::uuid[]) AND state = 'open'
    ORDER BY id
    FOR UPDATE
) locked
WHERE t.id = locked.id;


-- name: placed
-- What stands on the platform, so that a recovery edits it.
-- A late call comes from an instance that may have lost its claim: what another one recorded
-- stays known next to it.
-- A closed turn is opened again when something stands that it does not know, or when a late call
-- may have written over its answer: the next sweep makes the chat true again. Returns the turns
-- that were given up: their answer is on its way again.
-- $1 turn  $2 what stands there  $3 late
WITH locked AS MATERIALIZED (
    SELECT turns.id, turns.state AS was, input.placed::jsonb AS placed, input.late
    FROM unnest($1::uuid[], $2::text[], $3::bool[]) AS input(turn, placed, late)
    JOIN turns ON turns.id = input.turn
    ORDER BY turns.id
    FOR UPDATE OF turns
)
UPDATE turns t SET
    placed = CASE WHEN t.state = 'open' AND NOT locked.late THEN locked.placed
                  ELSE united(t.placed, locked.placed) END,
    state = 'open',
    touched_at = now()
FROM locked
WHERE t.id = locked.id
  AND (
      t.state = 'open'
      OR locked.late
      OR NOT coalesce(t.placed->'ids', '[]') @> (locked.placed->'ids')
  )
RETURNING t.id, locked.was = 'failed' AS returned;


-- name: note_failed
-- $1 turn  $2 reason
INSERT INTO audit_log (actor, action, subject, reason) VALUES ('agent', 'turn.failed', $1, $2);


-- name: done
-- Turns of one lead close together. A caller that says nothing stands on the platform may be
-- wrong: an instance that died meanwhile may have recorded something. Then the turns stay open,
-- and the next sweep sees what stands.
-- If another instance closed them and placed the answer elsewhere, it stands twice: they are
-- opened again with both places, and the next sweep removes what is too much.
-- What was given up and arrived after all is done; such turns are returned.
-- $1 turn  $2 state  $3 what stands on the platform, or NULL to keep what is recorded
-- $4 turn that leads
WITH locked AS MATERIALIZED (
    SELECT turns.id, turns.state AS was, turns.placed AS stood,
           input.state, input.placed::jsonb AS placed, input.lead
    FROM unnest($1::uuid[], $2::text[], $3::text[], $4::uuid[])
        AS input(turn, state, placed, lead)
    JOIN turns ON turns.id = input.turn
    ORDER BY turns.id
    FOR UPDATE OF turns
), verdict AS (
    SELECT locked.*,
           bool_or(stood IS NOT NULL) OVER (PARTITION BY lead)
               AND placed IS NULL AND state = 'done' AS unknown,
           was = 'failed' AND placed IS NOT NULL AND state = 'done' AS returned,
           was <> 'open'
               AND placed IS NOT NULL
               AND NOT coalesce(stood->'ids', '[]') @> (placed->'ids')
               -- given up, and nothing stood there
               AND (was = 'done' OR coalesce(stood->'ids', '[]') <> '[]') AS twice
    FROM locked
)
UPDATE turns t SET
    state = CASE WHEN verdict.twice THEN 'open' ELSE verdict.state END,
    placed = CASE WHEN verdict.twice THEN united(t.placed, verdict.placed)
                  ELSE coalesce(verdict.placed, t.placed) END,
    touched_at = now()
FROM verdict
WHERE t.id = verdict.id
  AND (t.state = 'open' AND NOT verdict.unknown OR verdict.twice OR verdict.returned)
RETURNING t.id, verdict.returned;


-- name: undelivered
-- The answer of these turns never reached its chat: prompts leave it out. Or, without a reason,
-- it did after all.
-- $1 turns  $2 reason, or NULL
WITH lost AS MATERIALIZED (
    SELECT DISTINCT ON (c.id) c.id AS conversation, answer.id AS message, answer."timestamp"
    FROM turns t
    JOIN conversations c USING (channel_type, chat_id, thread_id)
    JOIN messages asked ON asked.conversation_id = c.id
                       AND asked."timestamp" >= t.created_at
                       AND asked.turn_id = t.id
    CROSS JOIN LATERAL (
        SELECT a.id, a."timestamp"
        FROM messages a
        WHERE a.conversation_id = c.id
          AND a."timestamp" > asked."timestamp"
          AND a.role = 'assistant'
          AND a.answers >= asked.seq
        ORDER BY a."timestamp"
        LIMIT 1
    ) answer
    WHERE t.id = ANY($1::uuid[])
), moved AS (
    UPDATE conversations c SET version = c.version + 1
    FROM lost
    WHERE c.id = lost.conversation
)
UPDATE messages m SET
    metadata = (m.metadata - 'undelivered')
        || jsonb_strip_nulls(jsonb_build_object('undelivered', $2::text))
FROM lost
WHERE m.conversation_id = lost.conversation
  AND m."timestamp" = lost."timestamp"
  AND m.id = lost.message;


-- name: set_aside
-- Messages over which instances died are left out of every later prompt.
-- $1 turns
WITH suspects AS MATERIALIZED (
    SELECT c.id AS conversation, t.id AS turn, t.created_at
    FROM turns t
    JOIN conversations c USING (channel_type, chat_id, thread_id)
    WHERE t.id = ANY($1::uuid[]) AND c.last_activity >= t.created_at
    ORDER BY c.channel_type, c.chat_id, c.thread_id
    FOR UPDATE OF c
), marked AS (
    UPDATE messages m SET metadata = m.metadata || '{"set_aside": true}'
    FROM suspects
    WHERE m.conversation_id = suspects.conversation
      AND m."timestamp" >= suspects.created_at
      AND m.turn_id = suspects.turn
    RETURNING m.conversation_id
)
UPDATE conversations c SET version = c.version + 1
FROM (SELECT DISTINCT conversation_id FROM marked) changed
WHERE c.id = changed.conversation_id;


-- name: beat
-- An instance's heartbeat: renews its claims and deliveries. A claim that does not come back is
-- lost. So is a delivery that another instance has taken. (An answer that nobody took is
-- delivered by the instance that stored it.)
-- $1 instance  $2 host  $3 pid  $4 channels  $5 conversation  $6 fence  $7 turns being delivered
-- $8 lease in seconds  $9 epoch
WITH me AS (
    INSERT INTO instances AS i (id, host, pid, channels, epoch)
    VALUES ($1::uuid, $2::text, $3::bigint, $4::text[], $9::bigint)
    ON CONFLICT (id) DO UPDATE SET seen_at = now(), epoch = excluded.epoch
), held AS (
    SELECT c.id
    FROM unnest($5::uuid[], $6::uuid[]) AS claim(conversation, fence)
    JOIN conversations c ON c.id = claim.conversation AND c.answering = claim.fence
    ORDER BY c.channel_type, c.chat_id, c.thread_id
    FOR UPDATE OF c
), renewed AS (
    UPDATE conversations c SET lease_until = now() + make_interval(secs => $8::float8)
    FROM held
    WHERE c.id = held.id
    RETURNING c.answering, c.asked, c.edited, c.stopping
), due AS MATERIALIZED (  -- waits for a take that is under way, and sees it
    SELECT id, deliverer FROM turns
    WHERE id = ANY($7::uuid[]) AND state = 'open'
      -- thousands may wait for a platform for hours: not each of them each second
      AND (touched_at < now() - make_interval(secs => $8::float8 / 2) OR deliverer <> $1::uuid)
    ORDER BY id
    FOR UPDATE
), touched AS (
    UPDATE turns t SET touched_at = now()
    FROM due
    WHERE t.id = due.id AND coalesce(due.deliverer, $1::uuid) = $1::uuid
)
SELECT answering AS fence, asked, edited, stopping IS NOT DISTINCT FROM answering AS stopped,
       0 AS epoch, NULL::uuid[] AS taken
FROM renewed
UNION ALL
SELECT NULL,
       (SELECT count(*) FROM instances
        WHERE id <> $1::uuid
          AND seen_at > now() - interval '2 minutes'
          AND seen_at < now() - make_interval(secs => $8::float8)),
       0, false, epoch,
       ARRAY(
           SELECT id FROM turns WHERE id = ANY($7::uuid[]) AND deliverer <> $1::uuid
           UNION
           SELECT id FROM due WHERE deliverer <> $1::uuid
       )
FROM control_epoch;


-- name: note_open_turns
-- Notes turns that have been open for a minute, and forgets those that are closed. Sweeps look at
-- these and at newer ones, however many turns there are. What a transaction under way has written
-- is not seen yet, so the floor stays below its beginning. If the clock went back, the floor
-- follows it.
WITH bound AS MATERIALIZED (
    SELECT least(now() - interval '1 minute', min(xact_start)) AS until
    FROM pg_stat_activity
    WHERE datname = current_database() AND backend_type = 'client backend'
), floor AS MATERIALIZED (
    SELECT least(at, until) AS since, until
    FROM sweep_floor CROSS JOIN bound
    FOR UPDATE OF sweep_floor SKIP LOCKED
), noted AS (
    INSERT INTO open_turns (turn_id)
    SELECT id
    FROM turns
    WHERE state = 'open'
      AND created_at >= (SELECT since FROM floor)
      AND created_at < (SELECT until FROM floor)
    ON CONFLICT DO NOTHING
), forgotten AS (
    DELETE FROM open_turns o
    WHERE o.noted_at < (SELECT until FROM floor)  -- one that is opened again now counts as new
      AND NOT EXISTS (SELECT FROM turns WHERE id = o.turn_id AND state = 'open')
)
UPDATE sweep_floor SET at = floor.until FROM floor;


-- name: take_over
-- Claims conversations whose answering instance is gone. Begins at open turns: there is no index
-- on claims. An answer that was asked to stop stops under the new claim, too.
-- $1 instance  $2 lease in seconds  $3 channels  $4 at most
WITH candidates AS MATERIALIZED (
    SELECT id
    FROM turns
    WHERE state = 'open'
      AND created_at >= (SELECT least(at, now() - interval '1 minute') FROM sweep_floor)
    UNION
    SELECT turn_id FROM open_turns
), left_over AS MATERIALIZED (
    SELECT DISTINCT channel_type, chat_id, thread_id
    FROM candidates
    JOIN turns USING (id)
    WHERE state = 'open' AND reply IS NULL AND channel_type = ANY($3::text[])
), expired AS MATERIALIZED (
    SELECT c.id, c.owner IS NOT NULL AS died, gen_random_uuid() AS fence,
           c.stopping = c.answering IS TRUE AS stopped
    FROM left_over
    JOIN conversations c USING (channel_type, chat_id, thread_id)
    WHERE c.answering IS NOT NULL AND c.lease_until < now()
    ORDER BY c.channel_type, c.chat_id, c.thread_id
    LIMIT $4::bigint
    FOR UPDATE OF c SKIP LOCKED
)
UPDATE conversations c SET
    answering = expired.fence,
    stopping = CASE WHEN expired.stopped THEN expired.fence ELSE c.stopping END,
    owner = $1::uuid,
    lease_until = now() + make_interval(secs => $2::float8)
FROM expired
WHERE c.id = expired.id AND c.lease_until < now()
RETURNING c.id, c.answering, c.channel_type, c.chat_id, c.thread_id, expired.died;


-- name: take_deliveries
-- Takes stored answers that nobody is delivering. Of the turns that an answer covers, the last
-- leads and is touched; the first holds the place. `previous` is the first turn of the answer
-- before it in its chat, if that one has not arrived either.
-- $1 lease in seconds  $2 channels  $3 at most  $4 instance
WITH candidates AS MATERIALIZED (
    SELECT id
    FROM turns
    WHERE state = 'open'
      AND created_at >= (SELECT least(at, now() - interval '1 minute') FROM sweep_floor)
    UNION
    SELECT turn_id FROM open_turns
), open AS MATERIALIZED (
    SELECT turns.*
    FROM candidates
    JOIN turns USING (id)
    WHERE state = 'open' AND channel_type = ANY($2::text[])
), answered AS MATERIALIZED (
    SELECT open.id AS turn, open.touched_at, open.placed, asked.seq,
           open.channel_type, open.chat_id, open.thread_id,
           answer.id AS answer, answer.content, answer.metadata,
           answer."timestamp" AS stored_at
    FROM open
    CROSS JOIN LATERAL (
        SELECT c.id, m.seq, m."timestamp"
        FROM conversations c
        JOIN messages m ON m.conversation_id = c.id
                       AND m."timestamp" >= open.created_at
                       AND m.turn_id = open.id
        WHERE c.channel_type = open.channel_type
          AND c.chat_id = open.chat_id
          AND c.thread_id = open.thread_id
          AND c.last_activity >= open.created_at
        ORDER BY m."timestamp"
        LIMIT 1
    ) asked
    CROSS JOIN LATERAL (
        SELECT a.id, a.answers, a.content, a.metadata, a."timestamp"
        FROM messages a
        WHERE a.conversation_id = asked.id
          AND a."timestamp" > asked."timestamp"
          AND a.role = 'assistant'
          AND a.answers >= asked.seq
        ORDER BY a."timestamp"
        LIMIT 1
    ) answer
    WHERE open.reply IS NULL
      AND answer."timestamp" < now() - make_interval(secs => $1::float8)
    UNION ALL
    SELECT id, touched_at, placed, 0,
           NULL, id::text, '',  -- a reply to a command waits for nothing
           id, reply, '{}', created_at
    FROM open
    WHERE reply IS NOT NULL
), covered AS MATERIALIZED (  -- in one pass: after a long outage there are many thousands
    SELECT *,
           max(seq) OVER answer_turns AS last_seq,
           array_agg(turn) OVER answer_turns AS turns,
           first_value(placed) OVER answer_turns AS first_placed
    FROM answered
    WINDOW answer_turns AS (
        PARTITION BY answer ORDER BY seq
        ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING
    )
), ordered AS MATERIALIZED (  -- by the last open turn: of a reopened answer, not all are open
    SELECT turn, touched_at, content, metadata, stored_at, turns, first_placed AS placed,
           lag(turns[1]) OVER (
               PARTITION BY channel_type, chat_id, thread_id ORDER BY stored_at
           ) AS previous
    FROM covered
    WHERE seq = last_seq
), leads AS MATERIALIZED (
    SELECT *
    FROM ordered
    WHERE touched_at < now() - make_interval(secs => $1::float8)
    ORDER BY stored_at
    LIMIT $3::bigint
), locked AS MATERIALIZED (  -- what another sweep takes now is left to it
    SELECT t.id
    FROM turns t
    JOIN leads ON leads.turn = t.id
    WHERE t.state = 'open'
      AND t.touched_at < now() - make_interval(secs => $1::float8)
    ORDER BY t.id
    FOR UPDATE OF t SKIP LOCKED
)
UPDATE turns t SET touched_at = now(), attempts = t.attempts + 1, deliverer = $4::uuid
FROM leads
JOIN locked ON locked.id = leads.turn
WHERE t.id = leads.turn
RETURNING leads.turns, t.channel_type, t.chat_id, t.thread_id, t.address, leads.placed, t.attempts,
          leads.content, leads.metadata, leads.previous,
          extract(epoch FROM now() - leads.stored_at)::float8 AS age;


-- name: attempt
-- Counted before the run, so that a message that kills its instance each time is found.
-- $1 turns
UPDATE turns t SET attempts = t.attempts + 1, touched_at = now()
FROM (SELECT id FROM turns WHERE id = ANY($1::uuid[]) ORDER BY id FOR UPDATE) locked
WHERE t.id = locked.id;


-- name: hand_back
-- For an instance that ends in good order: its claims expire at once, and its attempts at what it
-- hands back do not count, because it did not die of them. That nobody owns the claim any more
-- tells so. Its deliveries are free at once; taking one does not count either.
-- $1 conversation  $2 fence  $3 turns it attempted  $4 turns that lead deliveries  $5 instance
WITH back AS (
    UPDATE conversations c SET lease_until = now() - interval '1 second', owner = NULL
    FROM (
        SELECT c.id
        FROM unnest($1::uuid[], $2::uuid[]) AS claim(conversation, fence)
        JOIN conversations c ON c.id = claim.conversation
                            AND c.answering = claim.fence
                            AND c.lease_until > now()
        ORDER BY c.channel_type, c.chat_id, c.thread_id
        FOR UPDATE OF c
    ) locked
    WHERE c.id = locked.id
    RETURNING c.channel_type, c.chat_id, c.thread_id
), undone AS (
    SELECT turns.id, true AS attempted, false AS delivered
    FROM back
    JOIN turns USING (channel_type, chat_id, thread_id)
    WHERE turns.id = ANY($3::uuid[])
    UNION ALL
    SELECT id, deliverer IS NOT NULL, true
    FROM turns
    WHERE id = ANY($4::uuid[]) AND state = 'open' AND coalesce(deliverer, $5::uuid) = $5::uuid
)
UPDATE turns t SET
    attempts = t.attempts - locked.attempted::int,
    deliverer = CASE WHEN NOT locked.delivered THEN t.deliverer END,
    touched_at = CASE WHEN locked.delivered THEN t.touched_at - interval '1 minute'
                      ELSE t.touched_at END
FROM (
    SELECT turns.id, undone.attempted, undone.delivered
    FROM undone
    JOIN turns USING (id)
    ORDER BY turns.id
    FOR UPDATE OF turns
) locked
WHERE t.id = locked.id;


-- name: leave
-- An instance that ends by itself: others look at once for what it handed back.
-- $1 instance
UPDATE instances SET seen_at = seen_at - interval '1 minute' WHERE id = $1::uuid;


-- name: wait_briefly
-- A new partition needs the table for itself for a moment. While a backup reads it, waiting for
-- that would hold up every turn behind it; the next hour will do.
SET LOCAL lock_timeout = '500ms';


-- name: make_partitions
-- :months ahead, each if it is missing.
SELECT make_message_partitions(:months);


-- name: bury
-- Forgets instances that have been silent for two minutes: what they left has been taken by then.
DELETE FROM instances WHERE seen_at < now() - interval '2 minutes';


-- name: prune
-- Closed turns older than :days; only a few at a time, so that nobody waits long.
DELETE FROM turns
WHERE id IN (
    SELECT id
    FROM turns
    WHERE created_at < now() - make_interval(days => :days) AND state <> 'open'
    LIMIT :limit
);


-- name: forget_replies
-- What commands and refusals said, once nobody delivers it again: it may quote a conversation.
UPDATE turns SET reply = ''
WHERE id IN (
    SELECT id
    FROM turns
    WHERE reply <> '' AND created_at < now() - make_interval(secs => :seconds) AND state <> 'open'
    LIMIT :limit
);


-- name: fold
-- Nobody settled these within a day, so as far as anybody knows they were used. The day's sum
-- includes them and keeps them.
DELETE FROM budget_reservations WHERE made_at < now() - interval '1 day';


-- name: prune_days
-- Sums of days that no budget and no report reads any more.
DELETE FROM budget_days
WHERE day < CAST(now() AT TIME ZONE 'UTC' AS date) - CAST(:days AS integer);


-- name: edit
-- Gives a message that no answer covers yet a newer text. Returns the conversation when it was in
-- time.
-- $1 turn  $2 content  $3 metadata to add  $4 the text that it replaces; null: any
WITH asked AS MATERIALIZED (
    SELECT c.id, c.answered, t.created_at
    FROM turns t
    JOIN conversations c USING (channel_type, chat_id, thread_id)
    WHERE t.id = $1::uuid
      AND t.state = 'open'
      AND c.last_activity >= t.created_at
      AND c.asked > c.answered
    ORDER BY c.channel_type, c.chat_id, c.thread_id
    FOR UPDATE OF c
), edited AS (
    UPDATE messages m SET content = $2::text, metadata = m.metadata || $3::jsonb
    FROM asked
    WHERE m.conversation_id = asked.id
      AND m."timestamp" >= asked.created_at
      AND m.turn_id = $1::uuid
      AND m.seq > asked.answered
      AND m.content = coalesce($4::text, m.content)
    RETURNING m.conversation_id
)
UPDATE conversations c SET version = c.version + 1, edited = c.version + 1
FROM edited
WHERE c.id = edited.conversation_id
RETURNING c.id;


-- name: last_accepted
-- The last message of each recent chat, for a platform that can be asked what came after it. What
-- came before a restore was answered in the life that the backup did not see. What an operator
-- asked again has no id on the platform.
-- $1 channel  $2 days  $3 at most
SELECT chat_id, platform_message_id
FROM (
    SELECT DISTINCT ON (chat_id) chat_id, platform_message_id, created_at
    FROM turns
    WHERE channel_type = $1::text
      AND NOT address ? 'operator'
      AND created_at > greatest(
          now() - make_interval(days => $2::int),
          (SELECT restored_at FROM control_epoch)
      )
    ORDER BY chat_id, created_at DESC
) latest
ORDER BY created_at DESC
LIMIT $3::bigint;


-- name: vote
-- Finds the answer that one of the agent's messages belongs to, and records a person's thumb or
-- takes it back.
-- There is no index on `placed`: the newest messages of the chat lead by key to their turns, and
-- those tell what was placed. It looks at no more than 1,000 conversations (if there are more,
-- the newest: threads are named by time), 2,000 messages and 200 turns of the last 30 days.
-- Not settled: the message is a draft, or may be an answer that was stored but is not recorded as
-- delivered.
-- $1 channel  $2 chat  $3 platform's id of the agent's message  $4 platform's id of the person
-- $5 username  $6 user id to use if the person is new  $7 thumb, 1 or -1
-- $8 true: vote, false: take it back
WITH here AS (
    SELECT id, started_at, last_activity, answered
    FROM conversations
    WHERE channel_type = $1::text AND chat_id = $2::text
    ORDER BY thread_id DESC
    LIMIT 1000
), recent AS MATERIALIZED (
    SELECT *
    FROM here
    WHERE last_activity > now() - interval '30 days'
    ORDER BY last_activity DESC
    LIMIT 200
), spoken AS (
    SELECT recent.id AS conversation, recent.last_activity, m.seq <= recent.answered AS answered,
           m.seq, m."timestamp", m.turn_id
    FROM recent
    CROSS JOIN LATERAL (
        SELECT seq, "timestamp", turn_id
        FROM messages
        WHERE conversation_id = recent.id
          AND role = 'user'
          AND "timestamp" BETWEEN greatest(recent.started_at, now() - interval '30 days')
                              AND recent.last_activity
        ORDER BY "timestamp" DESC, seq DESC
        LIMIT 200
    ) m
    LIMIT 2000
), asked AS MATERIALIZED (
    SELECT * FROM spoken ORDER BY "timestamp" DESC LIMIT 200
), placed AS MATERIALIZED (
    SELECT asked.*
    FROM asked
    JOIN turns t ON t.id = asked.turn_id
    WHERE t.placed->'ids' ? $3::text
    ORDER BY asked."timestamp" DESC
    LIMIT 1
), answer AS MATERIALIZED (
    SELECT a.id, placed.conversation
    FROM placed
    CROSS JOIN LATERAL (
        SELECT id, metadata
        FROM messages
        WHERE conversation_id = placed.conversation
          AND role = 'assistant'
          AND answers >= placed.seq
          AND "timestamp" > placed."timestamp"
          AND "timestamp" <= placed.last_activity
        ORDER BY "timestamp", seq
        LIMIT 1
    ) a
    WHERE NOT a.metadata ? 'notice'
), voter AS (
    INSERT INTO users AS u (id, person_id, channel_type, channel_user_id, username)
    SELECT $6::uuid, $6::uuid, $1::text, $4::text, $5::text
    FROM answer
    WHERE $8::bool
    ON CONFLICT (channel_type, channel_user_id) DO UPDATE SET
        updated_at = now(),
        username = coalesce(excluded.username, u.username)
    RETURNING id
), counted AS (
    INSERT INTO votes AS v (message_id, user_id, conversation_id, thumb)
    SELECT answer.id, voter.id, answer.conversation, $7::smallint
    FROM answer, voter
    ON CONFLICT (message_id, user_id) DO UPDATE SET thumb = excluded.thumb, at = now()
        WHERE v.thumb <> excluded.thumb
), taken_back AS (
    DELETE FROM votes v
    USING answer, users u
    WHERE NOT $8::bool
      AND u.channel_type = $1::text
      AND u.channel_user_id = $4::text
      AND v.message_id = answer.id
      AND v.user_id = u.id
      AND v.thumb = $7::smallint
)
SELECT CASE WHEN EXISTS (SELECT FROM placed) THEN (SELECT answered FROM placed)
            ELSE NOT EXISTS (
                SELECT
                FROM asked
                JOIN turns t ON t.id = asked.turn_id
                WHERE answered AND t.state = 'open'
            )
       END AS settled;


-- name: answer_state
-- What has become of the answer to :turn, for a button under it, and whether its :press was taken
-- before. Only in the chat where it was asked: some clients send what they like as a button's data.
SELECT c.is_active AND m.seq = c.asked AS is_last,
       c.answering IS NOT NULL AND m.seq > c.answered AS is_written,
       EXISTS (SELECT FROM turns WHERE id = :press) AS is_repeated
FROM turns t
JOIN conversations c USING (channel_type, chat_id, thread_id)
JOIN messages m ON m.conversation_id = c.id
WHERE t.id = :turn
  AND t.channel_type = :channel
  AND t.chat_id = :chat
  AND m."timestamp" BETWEEN t.created_at AND c.last_activity
  AND m.turn_id = t.id
LIMIT 1;


-- name: by_index
-- For the rest of the transaction: few rows among many are walked to by index, and the walk stops
-- at the first. Planned for the average, each would read and sort a whole conversation.
SELECT set_config('enable_seqscan', 'off', true),
       set_config('enable_bitmapscan', 'off', true),
       set_config('enable_sort', 'off', true);


-- name: conversations_of_chat
-- The last active ones, or the one of :number. A number counts from the chat's first, so it stays.
-- First words are looked up only of those that are shown.
WITH mine AS (
    SELECT id, title, started_at, last_activity, is_active,
           row_number() OVER (ORDER BY started_at, id) AS number
    FROM conversations
    WHERE channel_type = :channel AND chat_id = :chat AND thread_id = :thread
), shown AS MATERIALIZED (
    SELECT *
    FROM mine
    WHERE number = coalesce(CAST(:number AS bigint), number)
    ORDER BY last_activity DESC
    LIMIT :count
)
SELECT number, id, title, first.words, last_activity, is_active
FROM shown
LEFT JOIN LATERAL (
    SELECT left(content, 200) AS words
    FROM messages m
    WHERE m.conversation_id = shown.id
      AND m."timestamp" BETWEEN shown.started_at AND shown.last_activity
      AND m.role = 'user'
      AND m.content <> ''
    ORDER BY m."timestamp"
    LIMIT 1
) first ON true
ORDER BY last_activity DESC;


-- name: usage_of_conversation
-- What the answers of the chat's active conversation used. Those that no model wrote use nothing.
SELECT count(*) AS answers,
       coalesce(sum(m.prompt_tokens), 0) AS prompt_tokens,
       coalesce(sum(m.token_count), 0) AS tokens,
       coalesce(sum(m.cost_usd), 0) AS cost,
       count(*) FILTER (WHERE m.cost_usd IS NULL) AS unpriced,
       count(*) FILTER (WHERE m.metadata ? 'estimated') AS estimated,
       coalesce(array_agg(DISTINCT m.model_used), '{}') AS models
FROM conversations c
JOIN messages m ON m.conversation_id = c.id
WHERE c.channel_type = :channel
  AND c.chat_id = :chat
  AND c.thread_id = :thread
  AND c.is_active
  AND m."timestamp" BETWEEN c.started_at AND c.last_activity
  AND m.role = 'assistant'
  AND m.model_used IS NOT NULL;


-- name: usage_of_person
-- The same of the answers that a person asked for in :days, on all accounts, in every chat. As
-- with budgets, an answer counts for the author of the last message that it covers, whoever began
-- the conversation. The index `messages_author` finds the messages; an answer is the first one
-- after its message that covers it.
WITH asked AS (
    SELECT m.conversation_id, m."timestamp", m.seq
    FROM users u
    JOIN messages m ON m.user_id = u.id
    WHERE u.person_id = (
              SELECT person_id
              FROM users
              WHERE channel_type = :channel AND channel_user_id = :account
          )
      AND m.user_id IS NOT NULL
      AND m."timestamp" > now() - make_interval(days => :days)
), answered AS (
    SELECT a.*
    FROM asked
    CROSS JOIN LATERAL (
        SELECT answers, model_used, prompt_tokens, token_count, cost_usd, metadata
        FROM messages
        WHERE conversation_id = asked.conversation_id
          AND "timestamp" > asked."timestamp"
          AND role = 'assistant'
          AND answers >= asked.seq
        ORDER BY "timestamp", seq
        LIMIT 1
    ) a
    WHERE a.answers = asked.seq AND a.model_used IS NOT NULL
)
SELECT count(*) AS answers,
       coalesce(sum(prompt_tokens), 0) AS prompt_tokens,
       coalesce(sum(token_count), 0) AS tokens,
       coalesce(sum(cost_usd), 0) AS cost,
       count(*) FILTER (WHERE cost_usd IS NULL) AS unpriced,
       count(*) FILTER (WHERE metadata ? 'estimated') AS estimated,
       coalesce(array_agg(DISTINCT model_used), '{}') AS models
FROM answered;


-- name: last_messages
-- The newest :count of the chat's active conversation. Its lifetime keeps the walk to few
-- partitions.
SELECT m.role, m.content, m."timestamp", m.metadata
FROM conversations c
JOIN messages m ON m.conversation_id = c.id
WHERE c.channel_type = :channel AND c.chat_id = :chat AND c.thread_id = :thread AND c.is_active
  AND m."timestamp" BETWEEN c.started_at AND c.last_activity
ORDER BY m."timestamp" DESC, m.seq DESC
LIMIT :count;


-- name: chosen_in_chat
-- What was set for the active conversation, and the last that a person said there.
SELECT model_override, instruction, (
    SELECT content
    FROM messages
    WHERE conversation_id = c.id
      AND role = 'user'
      AND "timestamp" BETWEEN c.started_at AND c.last_activity
    ORDER BY "timestamp" DESC
    LIMIT 1
) AS last
FROM conversations c
WHERE channel_type = :channel AND chat_id = :chat AND thread_id = :thread AND is_active;


-- name: model_and_person
SELECT preferred_model, person_id
FROM users
WHERE channel_type = :channel AND channel_user_id = :account;


-- name: begin_command
-- The turn of a command; no row: it was stored before.
INSERT INTO turns (
    id, channel_type, chat_id, thread_id, platform_message_id, address, reply
)
VALUES (:turn, :channel, :chat, :thread, :platform_id, CAST(:address AS jsonb), '')
ON CONFLICT DO NOTHING
RETURNING id;


-- name: reply_to_command
UPDATE turns SET reply = :reply WHERE id = :turn;


-- name: stop_in_chat
-- Asks whoever writes an answer in the active conversation to stop.
UPDATE conversations SET stopping = answering
WHERE channel_type = :channel AND chat_id = :chat AND thread_id = :thread AND is_active
  AND answering IS NOT NULL
RETURNING id;


-- name: prefer_model
UPDATE users SET preferred_model = :model WHERE id = ANY(CAST(:accounts AS uuid[]));


-- name: choose_no_model
-- The version moves whenever a choice does: no window that was cached before is used after it.
UPDATE conversations SET model_override = NULL, version = version + 1
WHERE channel_type = :channel AND chat_id = :chat AND thread_id = :thread AND is_active;


-- name: forget_instruction
UPDATE conversations SET instruction = NULL, version = version + 1
WHERE channel_type = :channel AND chat_id = :chat AND thread_id = :thread AND is_active
RETURNING id;


-- name: choose_in_chat
-- Sets a model or an instruction, whichever is not null, for the active conversation, which
-- begins now if there is none.
INSERT INTO conversations AS c (
    id, user_id, channel_type, chat_id, thread_id, model_override, instruction
)
VALUES (:id, :user, :channel, :chat, :thread, :model, :instruction)
ON CONFLICT (channel_type, chat_id, thread_id) WHERE is_active DO UPDATE SET
    model_override = coalesce(excluded.model_override, c.model_override),
    instruction = coalesce(excluded.instruction, c.instruction),
    version = c.version + 1;


-- name: begin_named
-- A message may have begun it meanwhile: it is of the person whose words its title is.
INSERT INTO conversations (id, user_id, channel_type, chat_id, thread_id, title)
VALUES (:id, :user, :channel, :chat, :thread, :title)
ON CONFLICT (channel_type, chat_id, thread_id) WHERE is_active DO UPDATE SET
    title = excluded.title,
    user_id = excluded.user_id;


-- name: end_in_chat
UPDATE conversations SET is_active = false
WHERE channel_type = :channel AND chat_id = :chat AND thread_id = :thread AND is_active
RETURNING id, last_turn;


-- name: go_on_in
-- Only in the chat that it belongs to. :last is the last turn of the one that is left, or null.
UPDATE conversations SET
    is_active = true,
    version = version + 1,
    last_turn = coalesce(CAST(:last AS uuid), last_turn)
WHERE id = :id AND channel_type = :channel AND chat_id = :chat AND thread_id = :thread
RETURNING id;


-- name: is_untitled
SELECT id FROM conversations WHERE id = :id AND title IS NULL;


-- name: give_title
UPDATE conversations SET title = :title WHERE id = :id AND title IS NULL;
