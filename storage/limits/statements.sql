-- Rate limits and budgets.
-- Parameters: $1, $2 … where a turn asks (pinned connections); :name where an operator does
-- (SQLAlchemy).


-- name: reserve
-- Sets aside the worst case of each call in a list, if it fits under every budget that binds it.
-- A row says for each call and budget whether the day's counter exists and whether it fits.
-- Calls that no budget binds do not come back.
-- $1 reservation  $2 author  $3 channel  $4 tokens  $5 US dollars, NULL when the price is unknown
WITH clock AS MATERIALIZED (
    SELECT now() AT TIME ZONE 'UTC' AS moment, (now() AT TIME ZONE 'UTC')::date AS today
), input AS MATERIALIZED (
    -- `before`: this statement ran already, and its answer was lost
    SELECT i.*, u.person_id::text AS person, r.id IS NOT NULL AS before
    FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::bigint[], $5::numeric[])
        WITH ORDINALITY AS i(id, author, channel, tokens, usd, n)
    JOIN users u ON u.id = i.author
    LEFT JOIN budget_reservations r ON r.id = i.id
), bound AS MATERIALIZED (
    SELECT input.n, input.id, input.tokens, input.usd, s.scope, s.subject,
           b.tokens AS max_tokens, b.usd AS max_usd
    FROM input
    CROSS JOIN LATERAL (
        VALUES ('channel', channel), ('person', person)
    ) AS s(scope, subject)
    CROSS JOIN LATERAL (
        SELECT tokens, usd
        FROM budgets
        WHERE scope = s.scope AND subject IN (s.subject, '*')
        ORDER BY subject = '*'
        LIMIT 1
    ) b
    WHERE NOT before
), held AS MATERIALIZED (
    -- waits for other counters, and sees what they counted
    SELECT d.scope, d.subject, d.tokens, d.usd
    FROM budget_days d, clock
    WHERE d.day = clock.today AND (d.scope, d.subject) IN (SELECT scope, subject FROM bound)
    ORDER BY d.scope, d.subject
    FOR UPDATE OF d
), judged AS MATERIALIZED (
    SELECT bound.*,
           held.scope IS NOT NULL AS begun,
           max_tokens IS NULL
               OR held.tokens + sum(bound.tokens) OVER counter <= max_tokens AS fits_tokens,
           max_usd IS NULL
               OR (bound.usd IS NOT NULL
                   AND held.usd + sum(bound.usd) OVER counter <= max_usd) AS fits_usd
    FROM bound
    LEFT JOIN held USING (scope, subject)
    WINDOW counter AS (PARTITION BY scope, subject ORDER BY n)
), taken AS (
    INSERT INTO budget_reservations (id, day, person, channel, tokens, usd)
    SELECT id, clock.today,
           max(subject) FILTER (WHERE scope = 'person'),
           max(subject) FILTER (WHERE scope = 'channel'),
           max(tokens), coalesce(max(usd), 0)
    FROM judged, clock
    GROUP BY id, clock.today
    HAVING bool_and(begun AND fits_tokens AND fits_usd)
    RETURNING id
), counted AS (
    UPDATE budget_days d SET tokens = d.tokens + s.tokens, usd = d.usd + s.usd
    FROM clock, (
        SELECT scope, subject, sum(tokens) AS tokens, coalesce(sum(usd), 0) AS usd
        FROM judged
        JOIN taken USING (id)
        GROUP BY scope, subject
    ) s
    WHERE d.day = clock.today AND d.scope = s.scope AND d.subject = s.subject
)
SELECT n, scope, subject, begun, fits_tokens, fits_usd, usd IS NOT NULL AS priced,
       max_tokens, max_usd,
       id IN (SELECT id FROM taken) AS taken,
       extract(epoch FROM clock.today + 1 - clock.moment)::float8 AS until_tomorrow
FROM judged, clock
UNION ALL
SELECT n, '', '', true, true, true, true, NULL, NULL, true, 0 FROM input WHERE before;


-- name: begin_day
-- Makes the counters of a day, in the order in which they are locked.
-- $1 scope  $2 subject
INSERT INTO budget_days (scope, subject, day)
SELECT DISTINCT scope, subject, (now() AT TIME ZONE 'UTC')::date
FROM unnest($1::text[], $2::text[]) AS input(scope, subject)
ORDER BY scope, subject
ON CONFLICT DO NOTHING;


-- name: settle
-- Gives back what calls did not use. A cost that stayed unknown counts as the worst case.
-- $1 reservation  $2 tokens  $3 US dollars
WITH input AS MATERIALIZED (
    SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::numeric[]) AS i(id, tokens, usd)
), gone AS (
    DELETE FROM budget_reservations r
    USING input
    WHERE r.id = input.id
    RETURNING r.day, r.person, r.channel, r.tokens - input.tokens AS tokens,
              r.usd - coalesce(input.usd, r.usd) AS usd
), back AS MATERIALIZED (
    SELECT scope, subject, day, sum(tokens) AS tokens, sum(usd) AS usd
    FROM gone
    CROSS JOIN LATERAL (
        VALUES ('channel', channel), ('person', person)
    ) AS s(scope, subject)
    WHERE subject IS NOT NULL
    GROUP BY scope, subject, day
), held AS MATERIALIZED (
    SELECT d.scope, d.subject, d.day
    FROM budget_days d
    JOIN back USING (scope, subject, day)
    ORDER BY d.scope, d.subject, d.day
    FOR UPDATE OF d
)
UPDATE budget_days d SET tokens = d.tokens - back.tokens, usd = d.usd - back.usd
FROM back
JOIN held USING (scope, subject, day)
WHERE d.scope = back.scope AND d.subject = back.subject AND d.day = back.day;


-- name: any_budget
-- Asked once per epoch, so that calls without any budget cost nothing.
SELECT EXISTS (SELECT FROM budgets) AS any;


-- name: budgets_today
-- All budgets, and every subject that a budget counted today. What is reserved is under way as
-- long as its call may still run (:call_seconds); after that nobody knows how it ended.
WITH clock AS (
    SELECT (now() AT TIME ZONE 'UTC')::date AS today,
           now() - make_interval(secs => :call_seconds) AS begun
), reserved AS (
    SELECT s.scope, s.subject, r.tokens, r.usd, r.made_at >= clock.begun AS alive
    FROM clock
    JOIN budget_reservations r ON r.day = clock.today
    CROSS JOIN LATERAL (
        VALUES ('person', r.person), ('channel', r.channel)
    ) AS s(scope, subject)
    WHERE s.subject IS NOT NULL
), summed AS (
    SELECT scope, subject,
           count(*) FILTER (WHERE alive) AS calls,
           coalesce(sum(tokens) FILTER (WHERE alive), 0) AS calls_tokens,
           coalesce(sum(usd) FILTER (WHERE alive), 0) AS calls_usd,
           count(*) FILTER (WHERE NOT alive) AS unsettled,
           coalesce(sum(tokens) FILTER (WHERE NOT alive), 0) AS unsettled_tokens,
           coalesce(sum(usd) FILTER (WHERE NOT alive), 0) AS unsettled_usd
    FROM reserved
    GROUP BY scope, subject
)
SELECT scope, subject, b.tokens, b.usd, coalesce(d.tokens, 0), coalesce(d.usd, 0),
       (SELECT string_agg(channel_type || ':' || channel_user_id, ' '
                          ORDER BY channel_type, channel_user_id)
        FROM users
        WHERE scope = 'person' AND person_id::text = subject),
       coalesce(calls, 0), coalesce(calls_tokens, 0), coalesce(calls_usd, 0),
       coalesce(unsettled, 0), coalesce(unsettled_tokens, 0), coalesce(unsettled_usd, 0)
FROM budgets b
FULL JOIN (SELECT * FROM budget_days JOIN clock ON day = today) d USING (scope, subject)
LEFT JOIN summed USING (scope, subject)
ORDER BY scope, subject <> '*', subject;


-- name: find_budget
SELECT tokens, usd FROM budgets WHERE scope = :scope AND subject = :subject;


-- name: set_budget
INSERT INTO budgets (scope, subject, tokens, usd)
VALUES (:scope, :subject, :tokens, :usd)
ON CONFLICT (scope, subject) DO UPDATE SET
    tokens = excluded.tokens,
    usd = excluded.usd,
    updated_at = now();


-- name: unset_budget
DELETE FROM budgets WHERE scope = :scope AND subject = :subject;


-- name: personal_limits
-- Of all accounts with a limit of their own: few, found by a partial index.
SELECT channel_type AS channel, channel_user_id AS account, metadata->>'limit' AS wanted
FROM users
WHERE metadata ? 'limit'
ORDER BY channel_type, channel_user_id;


-- name: count_instances
-- How many share the limits while Redis is away. An instance beats each second.
SELECT count(*) AS alive FROM instances WHERE seen_at > now() - interval '5 seconds';


-- name: settings_of_channels
SELECT channel_type, default_model, settings FROM channel_configs;


-- name: limits_of_person
SELECT channel_type, channel_user_id, metadata->>'limit'
FROM users
WHERE person_id = :person
ORDER BY channel_type, channel_user_id;


-- name: lock_limits_of_person
-- The same, locked in the order in which turns lock people.
SELECT channel_type, channel_user_id, metadata->>'limit'
FROM users
WHERE person_id = :person
ORDER BY channel_type, channel_user_id
FOR UPDATE;


-- name: set_limit_of_person
-- On all accounts of a person; NULL takes it back.
UPDATE users SET metadata =
    CASE WHEN CAST(:limit AS text) IS NULL THEN metadata - 'limit'
         ELSE jsonb_set(metadata, '{limit}', to_jsonb(CAST(:limit AS text))) END
WHERE person_id = :person;
