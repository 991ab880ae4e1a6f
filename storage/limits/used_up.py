"""Budgets of which nothing is left: an operator, too, has to set another one first."""

from __future__ import annotations

from uuid import UUID

from agent.core.limits import waiting
from storage.connecting.connection import Connection
from storage.limits import STATEMENTS


async def used_up(
    connection: Connection,
    channel: str,
    person: UUID,
) -> str | None:
    """Which budget forbids another answer, as a sentence; None: none does.

    What is left may still be too little for the answer: that is known when the model is asked.
    """
    values = {"channel": channel, "person": str(person)}
    found = await connection.execute(STATEMENTS["used_up"], values)
    row = found.first()
    if row is None:
        return None

    amount = (
        f"{row.tokens:,} tokens" if row.by_tokens else f"{row.usd.normalize():f} USD"
    )
    which = "today" if row.period == "day" else "this month"

    return (
        f"The {row.scope}'s budget for {which} ({amount}) is used up. Set a larger one, or "
        f"wait {waiting(row.until_next)} until the next {row.period} begins."
    )
