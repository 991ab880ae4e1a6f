"""Conversations with every oddity that a count can trip over, made from a seed; and the same
sums counted the plain way, message by message.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any
from uuid import UUID

from storage.migrate.seed import _make_partitions
from storage.postgres import connect

CHANNELS = ("discord", "slack", "telegram")
MODELS = ("openai:a", "anthropic:b", "offline:echo")
SUMS = (
    "messages",
    "retries",
    "answers",
    "failures",
    "estimated",
    "unpriced",
    "prompt_tokens",
    "cached_tokens",
    "tokens",
    "thumbs_up",
    "thumbs_down",
)
_MESSAGE = [
    "conversation_id",
    "timestamp",
    "seq",
    "id",
    "role",
    "content",
    "user_id",
    "turn_id",
    "answers",
    "model_used",
    "prompt_tokens",
    "token_count",
    "cost_usd",
    "latency_ms",
    "metadata",
]


@dataclass
class UsageData:
    """`days` of conversations that end now."""

    seed: int
    count: int
    days: int = 40
    people: int = 60
    users: list[tuple[Any, ...]] = field(default_factory=list)
    conversations: list[tuple[Any, ...]] = field(default_factory=list)
    votes: list[tuple[Any, ...]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.chance = Random(self.seed)
        self.until = datetime.now(UTC)
        for number in range(self.people):
            self.users.append(self._user(number))

    def uuid(self) -> UUID:
        return UUID(int=self.chance.getrandbits(128))

    async def store(self, database_url: str) -> None:
        await _make_partitions(database_url, self.days // 28 + 1)
        connection = await connect(database_url, None)
        messages = list(self._messages())
        async with connection.transaction():
            await self._copy(
                connection,
                "users",
                ["id", "person_id", "channel_type", "channel_user_id", "username"],
                self.users,
            )
            await self._copy(
                connection,
                "conversations",
                [
                    "id",
                    "user_id",
                    "channel_type",
                    "chat_id",
                    "started_at",
                    "last_activity",
                    "is_active",
                ],
                self.conversations,
            )
            await self._copy(connection, "messages", _MESSAGE, messages)
            await self._copy(
                connection,
                "votes",
                ["message_id", "user_id", "conversation_id", "thumb"],
                self.votes,
            )
        await connection.execute("ANALYZE")
        await connection.close()

    @staticmethod
    async def _copy(
        connection: Any, table: str, columns: list[str], rows: Any
    ) -> None:
        await connection.copy_records_to_table(table, records=rows, columns=columns)

    def _user(self, number: int) -> tuple[Any, ...]:
        id = self.uuid()
        # one in five shares a person with the account before
        person = self.users[-1][1] if self.users and number % 5 == 4 else id

        return (id, person, CHANNELS[number % 3], f"u{number}", f"name {number}")

    def _messages(self) -> Iterator[tuple[Any, ...]]:
        made = 0
        while made < self.count:
            for row in self._conversation():
                made += 1
                yield row

    def _conversation(self) -> Iterator[tuple[Any, ...]]:
        chance, id = self.chance, self.uuid()
        owner = chance.choice(self.users)
        group = [owner, *chance.choices(self.users, k=chance.choice((0, 0, 3)))]
        at = self.until - timedelta(seconds=chance.uniform(0, 86_400 * self.days))
        rows: list[tuple[Any, ...]] = []
        for _ in range(chance.randint(1, 12)):
            rows += self._turn(id, at, group, len(rows))
            at = rows[-1][1] + timedelta(seconds=chance.choice((1, 60, 4000, 90_000)))
            if at > self.until:
                break

        rows = [row for row in rows if row[1] <= self.until] or rows[:0]
        if rows:
            self.conversations.append(
                (id, owner[0], owner[2], str(id), rows[0][1], rows[-1][1], True)
            )
        yield from rows

    def _turn(
        self, id: UUID, at: datetime, group: list[Any], seq: int
    ) -> list[tuple[Any, ...]]:
        """Some messages, and the reply to them: soon, in the next hour or two days later."""
        chance = self.chance
        asked = [
            self._asked(id, at + timedelta(milliseconds=n), seq + n + 1, group)
            for n in range(chance.choice((1, 1, 1, 2, 3)))
        ]
        if chance.random() < 0.05:
            return asked  # nobody answered

        wait = chance.choice((0.5, 2, 8, 30, 3_000, 200_000))
        last = asked[-1]
        answer = self._reply(id, last[1] + timedelta(seconds=wait), last[2], wait)
        self._vote(id, answer)
        carried = {"carried": True}
        if chance.random() < 0.1:  # a copy that linking made counts for nothing
            copy = (*answer[:2], answer[2] + 1_000, self.uuid(), *answer[4:9])
            return [
                *asked,
                answer,
                (*copy, None, None, None, None, None, json.dumps(carried)),
            ]

        return [*asked, answer]

    def _asked(
        self, id: UUID, at: datetime, seq: int, group: list[Any]
    ) -> tuple[Any, ...]:
        chance = self.chance
        metadata = chance.choice(
            ({}, {}, {"edited": True}, {"deleted": True}, {"retry": True})
        )
        # of somebody who was forgotten nothing tells
        author = None if chance.random() < 0.03 else chance.choice(group)[0]
        text = json.dumps(metadata)
        empty = (None,) * 5

        return (
            id,
            at,
            seq,
            self.uuid(),
            "user",
            "x",
            author,
            self.uuid(),
            None,
            *empty,
            text,
        )

    def _reply(
        self, id: UUID, at: datetime, answers: int, wait: float
    ) -> tuple[Any, ...]:
        chance = self.chance
        head = (
            id,
            at,
            answers + 1,
            self.uuid(),
            "assistant",
            "y",
            None,
            None,
            answers,
        )
        if chance.random() < 0.06:
            return (*head, None, None, None, None, 5, json.dumps({"notice": True}))

        model = chance.choice(MODELS)
        metadata: dict[str, Any] = {"epoch": 3}
        if chance.random() < 0.2:
            metadata["estimated"] = True
        if chance.random() < 0.3:
            metadata["cached"] = chance.randint(1, 90)
        if chance.random() < 0.02:
            metadata["notice"] = True  # nothing came of it, but it cost something
        cost = {
            "openai:a": Decimal(chance.randint(1, 10**7)) / 10**8,
            "anthropic:b": None,
            "offline:echo": Decimal(0),
        }[model]
        tokens = chance.randint(90, 4000), chance.randint(1, 900)

        return (*head, model, *tokens, cost, int(wait * 1000), json.dumps(metadata))

    def _vote(self, id: UUID, answer: tuple[Any, ...]) -> None:
        if self.chance.random() < 0.2 and answer[1] <= self.until:
            voter = self.chance.choice(self.users)[0]
            self.votes.append((answer[3], voter, id, self.chance.choice((1, -1))))


async def counted(database_url: str) -> dict[tuple[Any, ...], dict[str, Any]]:
    """By day, channel, model and person, counted from nothing but messages, in Python."""
    connection = await connect(database_url, None)
    people = {
        row["id"]: row["person_id"]
        for row in await connection.fetch("SELECT id, person_id FROM users")
    }
    channels = {
        row["id"]: row["channel_type"]
        for row in await connection.fetch(
            "SELECT id, channel_type FROM conversations"
        )
    }
    votes = defaultdict(list)
    for row in await connection.fetch("SELECT message_id, thumb FROM votes"):
        votes[row["message_id"]].append(row["thumb"])
    rows = await connection.fetch("SELECT * FROM messages")
    await connection.close()

    authors = {
        (row["conversation_id"], row["seq"]): row["user_id"]
        for row in rows
        if row["role"] == "user"
    }
    sums: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in rows:
        if "carried" not in (metadata := json.loads(row["metadata"])):
            asked = row["seq"] if row["role"] == "user" else row["answers"]
            person = people.get(authors.get((row["conversation_id"], asked)))
            key = (
                f"{row['timestamp'].astimezone(UTC):%Y-%m-%d}",
                channels[row["conversation_id"]],
                row["model_used"] or "",
                str(person or ""),
            )
            _add(sums.setdefault(key, _nothing()), row, metadata, votes[row["id"]])

    return sums


def _nothing() -> dict[str, Any]:
    return {**dict.fromkeys(SUMS, 0), "cost_usd": Decimal(0), "latencies": []}


def _add(
    line: dict[str, Any], row: Any, metadata: dict[str, Any], votes: list[int]
) -> None:
    is_user, is_notice = row["role"] == "user", "notice" in metadata
    line["messages"] += is_user
    line["retries"] += is_user and "retry" in metadata
    line["answers"] += not is_user and not is_notice
    line["failures"] += not is_user and is_notice
    line["estimated"] += not is_user and "estimated" in metadata
    line["unpriced"] += row["model_used"] is not None and row["cost_usd"] is None
    line["prompt_tokens"] += row["prompt_tokens"] or 0
    line["cached_tokens"] += metadata.get("cached", 0)
    line["tokens"] += row["token_count"] or 0
    line["cost_usd"] += row["cost_usd"] or 0
    line["thumbs_up"] += votes.count(1)
    line["thumbs_down"] += votes.count(-1)
    if not is_user and not is_notice and row["latency_ms"] is not None:
        line["latencies"].append(row["latency_ms"])
