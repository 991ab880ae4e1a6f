-- Rate limits and budgets.
-- Parameters: $1, $2 … where a turn asks (pinned connections); :name where an operator does
-- (the pool).


-- name: reserve
-- Sets aside the worst case of each call in a list, if it fits under every budget that binds it.
-- A row says for each call and budget whether the period's counter exists and whether it fits.
-- Calls that no budget binds do not come back.
-- $1 reservation  $2 author  $3 channel  $4 tokens  $5 US dollars, NULL when the price is unknown
WITH clock AS MATERIALIZED (
    SELECT moment, moment::date AS today, date_trunc('month', moment)::date AS month
    FROM (SELECT now() AT TIME ZONE 'UTC' AS moment) m
), input AS MATERIALIZED (
    -- `before`: this statement ran already, and its answer was lost
    SELECT i.*, u.person_id::text AS person, r.id IS NOT NULL AS before
    FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::bigint[], $5::numeric[])
        WITH ORDINALITY AS i(id, author, channel, tokens, usd, n)
    JOIN users u ON u.id = i.author
    LEFT JOIN budget_reservations r ON r.id = i.id
), bound AS MATERIALIZED (
    SELECT input.n, input.id, input.tokens, input.usd, s.scope, s.subject, b.period,
           CASE b.period WHEN 'month' THEN clock.month ELSE clock.today END AS day,
           b.tokens AS max_tokens, b.usd AS max_usd
    FROM input
    CROSS JOIN clock
    CROSS JOIN LATERAL (
        VALUES ('channel', channel), ('person', person)
    ) AS s(scope, subject)
    CROSS JOIN LATERAL (
        SELECT DISTINCT ON (period) period, tokens, usd
        FROM budgets
        WHERE scope = s.scope AND subject IN (s.subject, '*')
        ORDER BY period, subject = '*'
    ) b
    WHERE NOT before
), held AS MATERIALIZED (
    -- waits for other counters, and sees what they counted
    SELECT d.scope, d.subject, d.period, d.day, d.tokens, d.usd
    FROM budget_days d
    WHERE (d.scope, d.subject, d.period, d.day)
       IN (SELECT scope, subject, period, day FROM bound)
    ORDER BY d.scope, d.subject, d.period, d.day
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
    LEFT JOIN held USING (scope, subject, period, day)
    WINDOW counter AS (PARTITION BY scope, subject, period ORDER BY n)
), taken AS (
    INSERT INTO budget_reservations (
        id, day, person, channel, person_month, channel_month, tokens, usd
    )
    SELECT id, clock.today,
           max(subject) FILTER (WHERE scope = 'person' AND period = 'day'),
           max(subject) FILTER (WHERE scope = 'channel' AND period = 'day'),
           max(subject) FILTER (WHERE scope = 'person' AND period = 'month'),
           max(subject) FILTER (WHERE scope = 'channel' AND period = 'month'),
           max(tokens), coalesce(max(usd), 0)
    FROM judged, clock
    GROUP BY id, clock.today
    HAVING bool_and(begun AND fits_tokens AND fits_usd)
    RETURNING id
), counted AS (
    UPDATE budget_days d SET tokens = d.tokens + s.tokens, usd = d.usd + s.usd
    FROM (
        SELECT scope, subject, period, day,
               sum(tokens) AS tokens, coalesce(sum(usd), 0) AS usd
        FROM judged
        JOIN taken USING (id)
        GROUP BY scope, subject, period, day
    ) s
    WHERE (d.scope, d.subject, d.period, d.day) = (s.scope, s.subject, s.period, s.day)
)
SELECT n, scope, subject, period, begun, fits_tokens, fits_usd, usd IS NOT NULL AS priced,
       max_tokens, max_usd,
       id IN (SELECT id FROM taken) AS taken,
       extract(epoch FROM CASE period
           WHEN 'month' THEN clock.month + interval '1 month'
           ELSE clock.today + interval '1 day'
       END - clock.moment)::float8 AS until_next
FROM judged, clock
UNION ALL
SELECT n, '', '', '', true, true, true, true, NULL, NULL, true, 0 FROM input WHERE before;


-- name: begin_periods
-- Makes the counters of a day or month, in the order in which they are locked.
-- $1 scope  $2 subject  $3 period
INSERT INTO budget_days (scope, subject, period, day)
SELECT DISTINCT scope, subject, period, date_trunc(period, now() AT TIME ZONE 'UTC')::date AS day
FROM unnest($1::text[], $2::text[], $3::text[]) AS input(scope, subject, period)
ORDER BY scope, subject, period, day
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
    RETURNING r.day, r.person, r.channel, r.person_month, r.channel_month,
              r.tokens - input.tokens AS tokens,
              r.usd - coalesce(input.usd, r.usd) AS usd
), back AS MATERIALIZED (
    SELECT s.scope, s.subject, s.period, s.day, sum(tokens) AS tokens, sum(usd) AS usd
    FROM gone
    CROSS JOIN LATERAL (
        VALUES ('channel', channel, 'day', gone.day),
               ('person', person, 'day', gone.day),
               ('channel', channel_month, 'month', date_trunc('month', gone.day)::date),
               ('person', person_month, 'month', date_trunc('month', gone.day)::date)
    ) AS s(scope, subject, period, day)
    WHERE s.subject IS NOT NULL
    GROUP BY s.scope, s.subject, s.period, s.day
), held AS MATERIALIZED (
    SELECT d.scope, d.subject, d.period, d.day
    FROM budget_days d
    JOIN back USING (scope, subject, period, day)
    ORDER BY d.scope, d.subject, d.period, d.day
    FOR UPDATE OF d
)
UPDATE budget_days d SET tokens = d.tokens - back.tokens, usd = d.usd - back.usd
FROM back
JOIN held USING (scope, subject, period, day)
WHERE (d.scope, d.subject, d.period, d.day)
    = (back.scope, back.subject, back.period, back.day);


-- name: alert
-- Notes on each of these counters the highest step that it reached, and returns those that are
-- new: so each is told once in a period, whichever instance looks. A counter that is locked is
-- looked at the next time. What calls under way set aside is not counted as used.
-- :refused: whether a call was refused for it
WITH input AS (
    SELECT i.*, date_trunc(period, now() AT TIME ZONE 'UTC')::date AS day
    FROM unnest(CAST(:scopes AS text[]), CAST(:subjects AS text[]),
                CAST(:periods AS text[]), CAST(:refused AS bool[]))
        AS i(scope, subject, period, refused)
), held AS MATERIALIZED (
    SELECT d.*, input.refused
    FROM budget_days d
    JOIN input USING (scope, subject, period, day)
    ORDER BY d.scope, d.subject, d.period, d.day
    FOR UPDATE OF d SKIP LOCKED
), spent AS (
    SELECT held.scope, held.subject, held.period, held.day, held.refused,
           b.tokens AS max_tokens, b.usd AS max_usd,
           held.tokens - coalesce(r.tokens, 0) AS tokens,
           held.usd - coalesce(r.usd, 0) AS usd
    FROM held
    CROSS JOIN LATERAL (
        SELECT tokens, usd
        FROM budgets
        WHERE scope = held.scope AND period = held.period AND subject IN (held.subject, '*')
        ORDER BY subject = '*'
        LIMIT 1
    ) b
    CROSS JOIN LATERAL (
        SELECT sum(tokens) AS tokens, sum(usd) AS usd
        FROM budget_reservations
        WHERE made_at > now() - make_interval(secs => :call_seconds)
          AND held.subject = CASE held.scope || held.period
              WHEN 'personday' THEN person
              WHEN 'personmonth' THEN person_month
              WHEN 'channelday' THEN channel
              ELSE channel_month
          END
    ) r
), reached AS (
    SELECT spent.*,
           CASE
               WHEN refused OR share >= 1 THEN 100
               WHEN share >= 0.8 THEN 80
               WHEN share >= 0.5 THEN 50
               ELSE 0
           END AS step
    FROM spent
    CROSS JOIN LATERAL (
        SELECT greatest(
            tokens::numeric / nullif(max_tokens, 0), usd / nullif(max_usd, 0), 0
        ) AS share
    ) s
)
UPDATE budget_days d SET alerted = reached.step
FROM reached
WHERE (d.scope, d.subject, d.period, d.day)
    = (reached.scope, reached.subject, reached.period, reached.day)
  AND d.alerted < reached.step
RETURNING d.scope, d.subject, d.period, reached.step;


-- name: any_budget
-- Asked once per epoch, so that calls without any budget cost nothing.
SELECT EXISTS (SELECT FROM budgets) AS any;


-- name: walked_budgets
-- Keys of budgets, and of subjects that a budget counted today or this month, after a key. At most
-- :walk are looked at, in the order of the primary keys; those with :words in their name or account
-- are named, at most :page of them.
WITH clock AS (
    SELECT today, date_trunc('month', today)::date AS month
    FROM (SELECT (now() AT TIME ZONE 'UTC')::date AS today) t
), walked AS MATERIALIZED (
    (
        SELECT scope, subject, period
        FROM budgets
        WHERE (scope, subject, period) > (:scope, :subject, :period)
        ORDER BY scope, subject, period
        LIMIT :walk
    )
    UNION
    (
        SELECT scope, subject, period
        FROM budget_days
        WHERE (scope, subject, period) > (:scope, :subject, :period)
          AND (period = 'day' AND day = (SELECT today FROM clock)
               OR period = 'month' AND day = (SELECT month FROM clock))
        ORDER BY scope, subject, period
        LIMIT :walk
    )
    ORDER BY scope, subject, period
    LIMIT :walk
), fitting AS MATERIALIZED (
    SELECT scope, subject, period
    FROM walked
    WHERE CAST(:words AS text) IS NULL
       OR strpos(subject, :words) > 0
       OR (
           -- EXISTS would read all users once
           SELECT bool_or(strpos(lower(channel_type || ':' || channel_user_id), :words) > 0)
           FROM users
           WHERE person_id = CASE WHEN scope = 'person' AND subject <> '*' THEN subject::uuid END
       )
    ORDER BY scope, subject, period
    LIMIT :page
), ended AS (
    SELECT * FROM walked ORDER BY scope DESC, subject DESC, period DESC LIMIT 1
)
SELECT ARRAY(SELECT ARRAY[scope, subject, period] FROM fitting
             ORDER BY scope, subject, period) AS keys,
       (SELECT count(*) FROM walked) AS looked,
       (SELECT ARRAY[scope, subject, period] FROM ended) AS ended;


-- name: budget_views
-- What the budgets of these keys allow, and what is used of them. What is reserved is under way
-- as long as its call may still run (:call_seconds); after that nobody knows how it ended.
WITH clock AS (
    SELECT today, date_trunc('month', today)::date AS month,
           now() - make_interval(secs => :call_seconds) AS begun
    FROM (SELECT (now() AT TIME ZONE 'UTC')::date AS today) t
), named AS MATERIALIZED (
    SELECT *
    FROM unnest(
        CAST(:scopes AS text[]), CAST(:subjects AS text[]), CAST(:periods AS text[])
    ) AS n(scope, subject, period)
), reserved AS (
    SELECT s.scope, s.subject, s.period, r.tokens, r.usd, r.made_at >= clock.begun AS alive
    FROM clock
    JOIN budget_reservations r ON r.day >= clock.month
    CROSS JOIN LATERAL (
        VALUES ('person', r.person, 'day', r.day = clock.today),
               ('channel', r.channel, 'day', r.day = clock.today),
               ('person', r.person_month, 'month', true),
               ('channel', r.channel_month, 'month', true)
    ) AS s(scope, subject, period, counts)
    WHERE s.counts AND (s.scope, s.subject, s.period) IN (SELECT * FROM named)
), summed AS (
    SELECT scope, subject, period,
           count(*) FILTER (WHERE alive) AS calls,
           coalesce(sum(tokens) FILTER (WHERE alive), 0) AS calls_tokens,
           coalesce(sum(usd) FILTER (WHERE alive), 0) AS calls_usd,
           count(*) FILTER (WHERE NOT alive) AS unsettled,
           coalesce(sum(tokens) FILTER (WHERE NOT alive), 0) AS unsettled_tokens,
           coalesce(sum(usd) FILTER (WHERE NOT alive), 0) AS unsettled_usd
    FROM reserved
    GROUP BY scope, subject, period
)
SELECT n.scope, n.subject, n.period, b.tokens, b.usd, coalesce(d.tokens, 0), coalesce(d.usd, 0),
       (SELECT string_agg(channel_type || ':' || channel_user_id, ' '
                          ORDER BY channel_type, channel_user_id)
        FROM users
        WHERE person_id = CASE WHEN n.scope = 'person' AND n.subject <> '*'
                               THEN n.subject::uuid END),
       coalesce(d.alerted, 0),
       coalesce(calls, 0), coalesce(calls_tokens, 0), coalesce(calls_usd, 0),
       coalesce(unsettled, 0), coalesce(unsettled_tokens, 0), coalesce(unsettled_usd, 0)
FROM named n
CROSS JOIN clock
LEFT JOIN budgets b USING (scope, subject, period)
LEFT JOIN summed s USING (scope, subject, period)
LEFT JOIN budget_days d
       ON (d.scope, d.subject, d.period) = (n.scope, n.subject, n.period)
      AND d.day = CASE n.period WHEN 'month' THEN clock.month ELSE clock.today END
WHERE b.scope IS NOT NULL OR d.scope IS NOT NULL
ORDER BY n.scope, n.subject, n.period;


-- name: alerts_now
-- Counters of this day and month of which operators were told.
SELECT scope, subject, period, alerted
FROM budget_days
WHERE alerted > 0
  AND day = date_trunc(period, now() AT TIME ZONE 'UTC')::date
ORDER BY alerted DESC, scope, subject, period;


-- name: find_budget
SELECT tokens, usd
FROM budgets
WHERE scope = :scope AND subject = :subject AND period = :period;


-- name: set_budget
INSERT INTO budgets (scope, subject, period, tokens, usd)
VALUES (:scope, :subject, :period, :tokens, :usd)
ON CONFLICT (scope, subject, period) DO UPDATE SET
    tokens = excluded.tokens,
    usd = excluded.usd,
    updated_at = now();


-- name: unset_budget
DELETE FROM budgets WHERE scope = :scope AND subject = :subject AND period = :period;


-- name: personal_limits
-- Of all accounts with a limit of their own: few, found by a partial index.
SELECT channel_type AS channel, channel_user_id AS account, metadata->>'limit' AS wanted
FROM users
WHERE metadata ? 'limit'
ORDER BY channel_type, channel_user_id;


-- name: listed_personal_limits
-- The same of those with :words in their account, at most :most of them.
SELECT channel_type AS channel, channel_user_id AS account, metadata->>'limit' AS wanted
FROM users
WHERE metadata ? 'limit'
  AND (CAST(:words AS text) IS NULL
       OR strpos(lower(channel_type || ':' || channel_user_id), :words) > 0)
ORDER BY channel_type, channel_user_id
LIMIT CAST(:most AS bigint);


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


-- name: used_up
-- A budget of which a person, or a channel, has nothing left, and the seconds until it has.
SELECT s.scope, b.period, b.tokens, b.usd, b.tokens <= coalesce(d.tokens, 0) IS TRUE AS by_tokens,
       extract(epoch FROM date_trunc(b.period, clock.moment) + ('1 ' || b.period)::interval
           - clock.moment)::float8 AS until_next
FROM (SELECT now() AT TIME ZONE 'UTC' AS moment) clock
CROSS JOIN (
    VALUES ('channel', CAST(:channel AS text)), ('person', CAST(:person AS text))
) AS s(scope, subject)
CROSS JOIN LATERAL (
    SELECT DISTINCT ON (period) period, tokens, usd
    FROM budgets
    WHERE scope = s.scope AND subject IN (s.subject, '*')
    ORDER BY period, subject = '*'
) b
LEFT JOIN budget_days d
       ON d.scope = s.scope AND d.subject = s.subject AND d.period = b.period
      AND d.day = date_trunc(b.period, clock.moment)::date
WHERE b.tokens <= coalesce(d.tokens, 0) OR b.usd <= coalesce(d.usd, 0)
ORDER BY until_next DESC
LIMIT 1;
