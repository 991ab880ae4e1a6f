"""What was used is summed up by hour, so that reports do not read all messages."""

from __future__ import annotations

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

# `user_id` is an account, not a person: linking accounts changes no sum that stands. All zeros:
# nobody that is known. `latencies` are exact, 4 bytes for each answer.
TABLES = """
CREATE TABLE report_hours (
    hour timestamptz NOT NULL,
    channel_type varchar(50) NOT NULL,
    model varchar(200) NOT NULL,
    user_id uuid NOT NULL,
    messages bigint NOT NULL,
    retries bigint NOT NULL,
    answers bigint NOT NULL,
    failures bigint NOT NULL,
    estimated bigint NOT NULL,
    unpriced bigint NOT NULL,
    prompt_tokens bigint NOT NULL,
    cached_tokens bigint NOT NULL,
    tokens bigint NOT NULL,
    cost_usd numeric(20, 8) NOT NULL,
    thumbs_up bigint NOT NULL,
    thumbs_down bigint NOT NULL,
    latencies integer[] NOT NULL,
    PRIMARY KEY (hour, channel_type, model, user_id)
);
CREATE INDEX report_hours_user ON report_hours (user_id);
CREATE TABLE report_state (
    one boolean PRIMARY KEY DEFAULT true CONSTRAINT report_state_one CHECK (one),
    counted_until timestamptz NOT NULL,
    cohorts_at timestamptz
);
INSERT INTO report_state (counted_until)
SELECT date_trunc('hour', coalesce(min(started_at), now()), 'UTC') FROM conversations;
CREATE TABLE report_floors (
    channel_type varchar(50) PRIMARY KEY,
    until timestamptz NOT NULL
);
CREATE TABLE report_late_votes (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    message_id uuid NOT NULL,
    conversation_id uuid NOT NULL
);
"""

# A vote is rare and no part of a turn. The hour of its answer may be closed already.
LATE_VOTES = """
CREATE FUNCTION note_late_vote() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO report_late_votes (message_id, conversation_id)
    SELECT coalesce(NEW.message_id, OLD.message_id),
           coalesce(NEW.conversation_id, OLD.conversation_id);
    RETURN NULL;
END $$
"""
TRIGGER = """
CREATE TRIGGER vote_noted AFTER INSERT OR UPDATE OR DELETE ON votes
FOR EACH ROW EXECUTE FUNCTION note_late_vote()
"""

# Messages as they count, each once: what linking accounts copied to another chat is left out.
# An answer counts for the author of the last message that it covers. That message is nearly
# always of the same day; only where it is not, the whole conversation is looked through.
QUESTION = """
SELECT q.user_id FROM messages q
WHERE q.conversation_id = m.conversation_id AND q.seq = m.answers AND q.role = 'user'
  AND q."timestamp" <= m."timestamp" AND q."timestamp" {bound} m."timestamp" - interval '1 day'
  {floor} ORDER BY q."timestamp" DESC LIMIT 1
"""
NEAR = QUESTION.format(bound=">=", floor="")
FAR = QUESTION.format(bound="<", floor='AND q."timestamp" >= c.started_at')
MESSAGES = """
CREATE VIEW report_messages AS
SELECT m."timestamp" AS at,
       date_trunc('hour', m."timestamp", 'UTC') AS hour,
       c.channel_type,
       coalesce(m.model_used, '') AS model,
       coalesce(
           m.user_id,
           CASE WHEN m.role = 'assistant' THEN coalesce((the_near), (the_far)) END,
           '00000000-0000-0000-0000-000000000000'
       ) AS user_id,
       (m.role = 'user')::int AS messages,
       (m.role = 'user' AND m.metadata ? 'retry')::int AS retries,
       (m.role = 'assistant' AND (NOT m.metadata ? 'notice' OR m.metadata ? 'erased'))::int
           AS answers,
       (m.role = 'assistant' AND m.metadata ? 'notice' AND NOT m.metadata ? 'erased')::int
           AS failures,
       (m.role = 'assistant' AND m.metadata ? 'estimated')::int AS estimated,
       (m.role = 'assistant' AND m.model_used IS NOT NULL AND m.cost_usd IS NULL)::int
           AS unpriced,
       coalesce(m.prompt_tokens, 0) AS prompt_tokens,
       coalesce((m.metadata->>'cached')::bigint, 0) AS cached_tokens,
       coalesce(m.token_count, 0) AS tokens,
       coalesce(m.cost_usd, 0)::numeric(20, 8) AS cost_usd,
       coalesce(v.up, 0) AS thumbs_up,
       coalesce(v.down, 0) AS thumbs_down,
       CASE WHEN m.role = 'assistant' AND (NOT m.metadata ? 'notice' OR m.metadata ? 'erased')
            THEN least(m.latency_ms, 2147483647)::int END AS latency
FROM messages m
JOIN conversations c ON c.id = m.conversation_id
LEFT JOIN LATERAL (
    SELECT count(*) FILTER (WHERE thumb > 0) AS up, count(*) FILTER (WHERE thumb < 0) AS down
    FROM votes
    WHERE message_id = m.id
) v ON m.role = 'assistant'
WHERE m.role IN ('user', 'assistant') AND NOT m.metadata ? 'carried'
""".replace("the_near", NEAR).replace("the_far", FAR)

# Closed hours as they were summed up, and what came after them message by message.
FIGURES = """
CREATE VIEW report_figures AS
SELECT hour, channel_type, model, user_id, messages, retries, answers, failures, estimated,
       unpriced, prompt_tokens, cached_tokens, tokens, cost_usd, thumbs_up, thumbs_down,
       latencies
FROM report_hours
WHERE hour < (SELECT counted_until FROM report_state)
UNION ALL
SELECT hour, channel_type, model, user_id, messages, retries, answers, failures, estimated,
       unpriced, prompt_tokens, cached_tokens, tokens, cost_usd, thumbs_up, thumbs_down,
       CASE WHEN latency IS NULL THEN '{}' ELSE ARRAY[latency] END
FROM report_messages
WHERE at >= (SELECT counted_until FROM report_state)
"""

# How many of the people of a week or month came back in a later one. Channel '': on any.
COHORTS = """
CREATE MATERIALIZED VIEW report_cohorts AS
WITH active AS (
    SELECT DISTINCT unit, scope.channel, u.person_id,
           date_trunc(unit, r.hour, 'UTC') AS period
    FROM report_hours r
    JOIN users u ON u.id = r.user_id
    CROSS JOIN (VALUES ('week'), ('month')) units (unit)
    CROSS JOIN LATERAL (VALUES (''), (r.channel_type)) scope (channel)
    WHERE r.messages > 0
), begun AS (
    SELECT *, min(period) OVER (PARTITION BY unit, channel, person_id) AS cohort FROM active
)
SELECT unit, channel, cohort, period, count(*) AS people
FROM begun
GROUP BY unit, channel, cohort, period
"""
COHORTS_KEY = """
CREATE UNIQUE INDEX report_cohorts_key ON report_cohorts (unit, channel, cohort, period)
"""

# Only its owner may refresh a view or summarize an index; the agent may run under a lesser role.
# Blocks that the index does not know yet are read at each look at new messages. A vacuum under
# way is not waited for.
REFRESH = """
CREATE FUNCTION refresh_reports() RETURNS void LANGUAGE plpgsql
SECURITY DEFINER SET search_path FROM CURRENT SET lock_timeout = '500ms' AS $$
BEGIN
    REFRESH MATERIALIZED VIEW CONCURRENTLY report_cohorts;
    UPDATE report_state SET cohorts_at = now();
    PERFORM brin_summarize_new_values(inhrelid)
    FROM pg_inherits
    WHERE inhparent = 'messages_timestamp'::regclass;
EXCEPTION WHEN lock_not_available THEN
    NULL;
END $$
"""


def upgrade() -> None:
    for statement in filter(str.strip, TABLES.split(";")):
        op.execute(statement)
    for statement in (
        LATE_VOTES,
        TRIGGER,
        MESSAGES,
        FIGURES,
        COHORTS,
        COHORTS_KEY,
        REFRESH,
    ):
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP FUNCTION refresh_reports()")
    op.execute("DROP MATERIALIZED VIEW report_cohorts")
    op.execute("DROP VIEW report_figures")
    op.execute("DROP VIEW report_messages")
    op.execute("DROP TRIGGER vote_noted ON votes")
    op.execute("DROP FUNCTION note_late_vote()")
    op.execute("DROP TABLE report_late_votes")
    op.execute("DROP TABLE report_floors")
    op.execute("DROP TABLE report_state")
    op.execute("DROP TABLE report_hours")
