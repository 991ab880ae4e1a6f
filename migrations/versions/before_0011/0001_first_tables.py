"""The first tables: people, conversations, messages and turns, and what operators set
(docs/architecture.md says why).
"""

from __future__ import annotations

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE users (
    id uuid PRIMARY KEY,
    person_id uuid NOT NULL,
    channel_type varchar(50) NOT NULL,
    channel_user_id varchar(255) NOT NULL,
    username varchar(255),
    preferred_model varchar(200),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    metadata jsonb NOT NULL DEFAULT '{}',
    CONSTRAINT users_account UNIQUE (channel_type, channel_user_id)
);
CREATE INDEX users_person ON users (person_id);

CREATE TABLE conversations (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    channel_type varchar(50) NOT NULL,
    chat_id text NOT NULL,
    thread_id text NOT NULL DEFAULT '',
    model_override varchar(200),
    started_at timestamptz NOT NULL DEFAULT now(),
    last_activity timestamptz NOT NULL DEFAULT now(),
    is_active boolean NOT NULL DEFAULT true,
    metadata jsonb NOT NULL DEFAULT '{}',
    version bigint NOT NULL DEFAULT 0,
    asked bigint NOT NULL DEFAULT 0,
    answered bigint NOT NULL DEFAULT 0,
    answering uuid,
    stopping uuid,
    owner uuid,
    lease_until timestamptz
) WITH (fillfactor = 70);
CREATE UNIQUE INDEX conversations_active ON conversations (channel_type, chat_id, thread_id)
    WHERE is_active;
CREATE INDEX conversations_chat ON conversations (channel_type, chat_id, thread_id);
CREATE INDEX conversations_user ON conversations (user_id);

CREATE TABLE messages (
    conversation_id uuid NOT NULL,
    "timestamp" timestamptz NOT NULL DEFAULT now(),
    seq bigint NOT NULL,
    id uuid NOT NULL,
    role varchar(20) NOT NULL
        CONSTRAINT messages_role CHECK (role IN ('user', 'assistant', 'system')),
    content text NOT NULL,
    user_id uuid,
    turn_id uuid,
    answers bigint,
    model_used varchar(200),
    prompt_tokens bigint,
    token_count bigint,
    cost_usd numeric(14, 8),
    latency_ms bigint,
    metadata jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (conversation_id, "timestamp", seq)
) PARTITION BY RANGE ("timestamp");
CREATE INDEX messages_timestamp ON messages USING brin ("timestamp");
CREATE TABLE messages_default PARTITION OF messages DEFAULT;

CREATE TABLE turns (
    id uuid PRIMARY KEY,
    channel_type varchar(50) NOT NULL,
    chat_id text NOT NULL,
    thread_id text NOT NULL DEFAULT '',
    platform_message_id text NOT NULL,
    state varchar(10) NOT NULL DEFAULT 'open'
        CONSTRAINT turns_state CHECK (state IN ('open', 'done', 'failed')),
    attempts bigint NOT NULL DEFAULT 0,
    address jsonb NOT NULL DEFAULT '{}',
    placed jsonb,
    reply text,
    created_at timestamptz NOT NULL DEFAULT now(),
    touched_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);
CREATE INDEX turns_created ON turns USING brin (created_at) WITH (pages_per_range = 16);

CREATE TABLE instances (
    id uuid PRIMARY KEY,
    host text NOT NULL,
    pid bigint NOT NULL,
    channels text[] NOT NULL,
    epoch bigint NOT NULL DEFAULT 0,
    started_at timestamptz NOT NULL DEFAULT now(),
    seen_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE channel_configs (
    id uuid PRIMARY KEY,
    channel_type varchar(50) NOT NULL UNIQUE,
    default_model varchar(200),
    settings jsonb NOT NULL DEFAULT '{}',
    credentials bytea,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE feature_flags (
    scope text NOT NULL,
    name text NOT NULL,
    value jsonb NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (scope, name)
);

CREATE TABLE experiments (
    name text PRIMARY KEY,
    definition jsonb NOT NULL,
    started_at timestamptz,
    ended_at timestamptz
);

CREATE TABLE control_epoch (
    single boolean PRIMARY KEY DEFAULT true CONSTRAINT control_epoch_one_row CHECK (single),
    epoch bigint NOT NULL DEFAULT 1
);
INSERT INTO control_epoch DEFAULT VALUES;

CREATE TABLE audit_log (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now(),
    actor text NOT NULL,
    action text NOT NULL,
    subject text NOT NULL,
    before jsonb,
    after jsonb,
    reason text
);

CREATE TABLE link_codes (
    code_hash bytea PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    conversation_id uuid,
    expires_at timestamptz NOT NULL
);
"""

# The agent calls it every hour, so that a month's partition exists long before its first
# message. It looks before it creates, because creating locks the parent table.
PARTITIONS = """
CREATE FUNCTION make_message_partitions(months int) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    first date := date_trunc('month', now() AT TIME ZONE 'UTC');
    month date;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('make_message_partitions'));
    FOR i IN 0..months LOOP
        month := first + make_interval(months => i);
        CONTINUE WHEN to_regclass('messages_' || to_char(month, 'YYYY_MM')) IS NOT NULL;
        EXECUTE format('CREATE TABLE %I PARTITION OF messages FOR VALUES FROM (%L) TO (%L)',
            'messages_' || to_char(month, 'YYYY_MM'),
            month::timestamp AT TIME ZONE 'UTC', (month + interval '1 month') AT TIME ZONE 'UTC');
    END LOOP;
END $$;
SELECT make_message_partitions(3);
"""


def upgrade() -> None:
    for block in TABLES.split("\n\n"):
        for statement in block.strip().removesuffix(";").split(";\n"):
            op.execute(statement)

    function, _, call = PARTITIONS.strip().removesuffix(";").partition("$$;\n")
    op.execute(function + "$$")
    op.execute(call)


def downgrade() -> None:
    op.execute("DROP FUNCTION make_message_partitions(int)")

    for table in (
        "link_codes",
        "audit_log",
        "control_epoch",
        "experiments",
        "feature_flags",
        "channel_configs",
        "instances",
        "turns",
        "messages",
        "conversations",
        "users",
    ):
        op.execute(f"DROP TABLE {table}")
