"""Where two instances placed an answer, both places are kept until one is removed."""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

# Two records of what stands on a platform as one: the ids of the first, then those that only the
# second has. If the second knows all of the first, its order is the newer one.
UNITED = """
CREATE FUNCTION united(first jsonb, second jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE
        WHEN second->'ids' @> coalesce(first->'ids', '[]') THEN second
        ELSE second || jsonb_build_object('ids', (first->'ids') || coalesce(
            (SELECT jsonb_agg(id ORDER BY n)
             FROM jsonb_array_elements(second->'ids') WITH ORDINALITY AS s(id, n)
             WHERE NOT first->'ids' @> id), '[]'))
    END
$$
"""


def upgrade() -> None:
    op.execute(UNITED)


def downgrade() -> None:
    op.execute("DROP FUNCTION united(jsonb, jsonb)")
