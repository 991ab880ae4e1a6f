"""People with accounts, direct chats and groups, whose every text names who may find it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random
from uuid import UUID, uuid4

from storage.postgres import connect
from storage.reports.search_index import index_now

WORDS = [
    *("rot", "blau", "grün", "病院", "上海", "кот", "елка"),
    *("café", "🎉", "foo_bar", "haus", "baum"),
]
LONG_AGO = datetime.now(UTC) - timedelta(days=100)


class Chats:
    """People with accounts, direct chats and groups; every text names who may see it."""

    def __init__(self, database_url: str, seed: int) -> None:
        self.url = database_url
        self.chance = Random(seed)
        self.accounts: list[tuple[UUID, UUID, str]] = []
        self.count = 0

    async def people(self, count: int) -> None:
        for number in range(count):
            id = uuid4()
            # one in four is a second account of the one before
            person = self.accounts[-1][1] if number % 4 == 3 else id
            self.accounts.append((id, person, f"u{number}"))
        connection = await connect(self.url)
        await connection.executemany(
            "INSERT INTO users (id, person_id, channel_type, channel_user_id)"
            " VALUES ($1, $2, 'telegram', $3)",
            self.accounts,
        )
        await connection.close()

    async def talk(
        self, chat: str, people: list[int], turns: int, text: str = ""
    ) -> UUID:
        """A question and an answer each time, by one of these people. Returns the chat's id."""
        connection = await connect(self.url)
        conversation = uuid4()
        await connection.execute(
            "INSERT INTO conversations"
            " (id, user_id, channel_type, chat_id, started_at, last_activity, is_active)"
            " VALUES ($1, $2, 'telegram', $3, now() - interval '90 days', now(), false)",
            conversation,
            self.accounts[people[0]][0],
            chat,
        )
        for turn in range(turns):
            author = self.accounts[self.chance.choice(people)]
            said = text or " ".join(self.chance.choices(WORDS, k=4))
            said = f"{said} of:{author[1].hex} in:{chat}"
            age = self.chance.random() * 50 + 1
            await connection.execute(
                "INSERT INTO messages"
                ' (conversation_id, "timestamp", seq, id, role, content, user_id, answers)'
                " SELECT $1, now() - make_interval(days => 1) * $6::float8"
                " + n * interval '1 second', $2 + n, gen_random_uuid(),"
                " CASE n WHEN 0 THEN 'user' ELSE 'assistant' END, $3::text,"
                " CASE n WHEN 0 THEN $4::uuid END, CASE n WHEN 1 THEN $5::bigint END"
                " FROM generate_series(0, 1) n",
                conversation,
                turn * 2 + 1,
                said,
                author[0],
                turn * 2 + 1,
                age,
            )
        await connection.close()

        return conversation

    async def read(self) -> None:
        """Reads all words now."""
        await index_now(self.url, LONG_AGO)
