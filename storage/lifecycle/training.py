"""Conversations as training data: only of people who agreed, and without secrets."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from typing import Any

from storage.lifecycle import STATEMENTS
from storage.postgres import Database
from storage.transaction import transaction

AT_ONCE = 200
"""Conversations read at a time."""

MASK = "[secret]"

_SECRETS = re.compile(
    r"""
    -----BEGIN\ [A-Z ]*PRIVATE\ KEY-----.*?(?:-----END\ [A-Z ]*PRIVATE\ KEY-----|\Z)
    | \b(?:sk|pk|rk)[-_][A-Za-z0-9_-]{16,}            # OpenAI, Anthropic, Stripe
    | \bgh[pousr]_[A-Za-z0-9]{20,}                    # GitHub
    | \bxox[a-z]-[A-Za-z0-9-]{10,}                    # Slack
    | \b(?:AKIA|ASIA)[A-Z0-9]{16}\b                   # AWS
    | \b\d{6,12}:[A-Za-z0-9_-]{30,}                   # Telegram
    | \bey[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]*  # JWT
    | (?<=://)[^\s/:@]+:[^\s/@]+(?=@)                 # in a URL
    | (?i:(?<=password:)|(?<=password=)|(?<=bearer\ ))\s*\S+
    | [\w.+-]+@[\w-]+\.[\w.-]+                        # mail addresses
    | (?<!\d)(?:\d[ -]?){13,19}(?!\d)                 # numbers of cards
    """,
    re.VERBOSE | re.DOTALL,
)


def masked(content: str) -> str:
    """The text without what looks like a key, a password, a mail address or a card."""
    return _SECRETS.sub(MASK, content)


async def training_lines(
    database: Database, since: datetime, channel: str | None = None
) -> AsyncIterator[str]:
    """A line of JSON in chat format for each conversation in which everybody agreed.

    Raises StoreUnavailable.
    """
    after = "00000000-0000-0000-0000-000000000000"
    while True:
        values = {
            "since": since,
            "channel": channel,
            "after": after,
            "limit": AT_ONCE,
        }
        async with transaction(database) as connection:
            page = await connection.scalars(
                STATEMENTS["agreed_conversations"], values
            )
            if not page:
                return

            wanted = {"conversations": page, "since": since}
            statement = STATEMENTS["training_messages"]
            rows = [dict(row) for row in await connection.execute(statement, wanted)]

        for line in _lines(rows):
            yield line
        after = str(page[-1])


def _lines(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    by_conversation = groupby(rows, key=lambda row: row["conversation_id"])
    chats = (
        [{"role": row["role"], "content": masked(row["content"])} for row in group]
        for _, group in by_conversation
    )

    return [
        json.dumps({"messages": chat}, ensure_ascii=False)
        for chat in chats
        if any(message["role"] == "assistant" for message in chat)
    ]
