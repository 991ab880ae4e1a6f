"""Operators have a role and can sign in to the console: passwords, second factors, sessions,
one-time links, and tokens for programs.
"""

from __future__ import annotations

from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

# Whoever is registered already may do everything, as before.
OPERATORS = """
ALTER TABLE operators
    ADD COLUMN role text NOT NULL DEFAULT 'admin'
        CONSTRAINT operators_role CHECK (role IN ('viewer', 'operator', 'admin')),
    ADD COLUMN password text,
    ADD COLUMN totp bytea,
    ADD COLUMN totp_step bigint,
    ADD COLUMN recovery bytea[] NOT NULL DEFAULT '{}'
"""

# Tokens are random (256 bits), so their plain SHA-256 cannot be guessed backwards.
SESSIONS = """
CREATE TABLE operator_sessions (
    id uuid PRIMARY KEY,
    token_hash bytea NOT NULL CONSTRAINT operator_sessions_token UNIQUE,
    operator text NOT NULL,
    csrf text NOT NULL,
    origin text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    seen_at timestamptz NOT NULL DEFAULT now(),
    ends_at timestamptz NOT NULL
)
"""
INVITATIONS = """
CREATE TABLE operator_invitations (
    token_hash bytea PRIMARY KEY,
    operator text NOT NULL,
    purpose text NOT NULL
        CONSTRAINT operator_invitations_purpose CHECK (purpose IN ('password', 'sign-in')),
    created_at timestamptz NOT NULL DEFAULT now(),
    ends_at timestamptz NOT NULL
)
"""
TOKENS = """
CREATE TABLE api_tokens (
    id uuid PRIMARY KEY,
    token_hash bytea NOT NULL CONSTRAINT api_tokens_token UNIQUE,
    operator text NOT NULL,
    label text NOT NULL,
    scope text NOT NULL
        CONSTRAINT api_tokens_scope CHECK (scope IN ('read', 'operate', 'admin')),
    created_at timestamptz NOT NULL DEFAULT now(),
    used_at timestamptz,
    ends_at timestamptz NOT NULL,
    revoked_at timestamptz
)
"""


def upgrade() -> None:
    for statement in (OPERATORS, SESSIONS, INVITATIONS, TOKENS):
        op.execute(statement)


def downgrade() -> None:
    for table in ("api_tokens", "operator_invitations", "operator_sessions"):
        op.execute(f"DROP TABLE {table}")
    op.execute(
        "ALTER TABLE operators DROP COLUMN role, DROP COLUMN password, DROP COLUMN totp, "
        "DROP COLUMN totp_step, DROP COLUMN recovery"
    )
