"""The agent may run under a role that owns nothing: the audit chain is closed to it."""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

# What a lesser role needs done for it runs with the owner's rights, in the owner's schema.
FUNCTIONS = ("audit_chain()", "make_message_partitions(int)")

# Owners keep their rights: nobody can be kept out of what is theirs. For every other role the
# log only grows, and only its own trigger moves the head.
GUARD = """
CREATE FUNCTION audit_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF pg_has_role(current_user, (SELECT relowner FROM pg_class WHERE oid = TG_RELID), 'USAGE') THEN
        RETURN NULL;
    END IF;
    RAISE insufficient_privilege USING
        MESSAGE = format('the audit log cannot be changed: %s on %s', TG_OP, TG_TABLE_NAME);
END $$
"""


def upgrade() -> None:
    for function in FUNCTIONS:
        op.execute(
            f"ALTER FUNCTION {function} SECURITY DEFINER SET search_path FROM CURRENT"
        )
    op.execute(GUARD)
    op.execute(
        "CREATE TRIGGER audit_guard AFTER UPDATE OR DELETE OR TRUNCATE ON audit_log "
        "FOR EACH STATEMENT EXECUTE FUNCTION audit_guard()"
    )
    op.execute(
        "CREATE TRIGGER audit_guard AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON audit_head "
        "FOR EACH STATEMENT EXECUTE FUNCTION audit_guard()"
    )


def downgrade() -> None:
    op.execute("DROP TRIGGER audit_guard ON audit_head")
    op.execute("DROP TRIGGER audit_guard ON audit_log")
    op.execute("DROP FUNCTION audit_guard()")
    for function in FUNCTIONS:
        op.execute(f"ALTER FUNCTION {function} SECURITY INVOKER RESET search_path")
