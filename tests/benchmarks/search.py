"""How long searches take: `uv run python -m tests.benchmarks.search [--messages 1000000]`.

Prints how long reading the words takes, and the median and the 99th percentile of a person's
searches and of operators'.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from random import Random

from agent.core.messages import Address, Said
from agent.core.words.search import Query, parse_query
from storage.conversation.records import PostgresChatRecords
from storage.migrate import upgrade
from storage.postgres import Database, connect, open_database
from storage.reports.search import search_everything
from storage.reports.search_index import index_now
from storage.transaction import transaction
from tests.support.servers import Postgres, running

SEARCHES = 200
VOCABULARY = 20_000

USERS = """
INSERT INTO users (id, person_id, channel_type, channel_user_id)
SELECT md5(n::text)::uuid, md5(n::text)::uuid, 'telegram', n::text
FROM generate_series(1, $1::int) n
"""
CHATS = """
INSERT INTO conversations (id, user_id, channel_type, chat_id, started_at, last_activity)
SELECT id, id, 'telegram', channel_user_id, now() - interval '70 days', now() FROM users
"""
# Few words are frequent and many are rare, as in languages.
MESSAGES = """
INSERT INTO messages (conversation_id, "timestamp", seq, id, role, content, user_id, answers)
SELECT id, now() - interval '60 days' * (1 - n::float8 / $1), n, gen_random_uuid(),
       CASE n % 2 WHEN 0 THEN 'user' ELSE 'assistant' END,
       (SELECT string_agg('w' || (random() ^ 3 * $3)::int, ' ')
        FROM generate_series(1, 20) WHERE n > 0),
       CASE n % 2 WHEN 0 THEN id END, CASE n % 2 WHEN 1 THEN n - 1 END
FROM (SELECT n, md5((1 + n / 2 % $2)::text)::uuid AS id FROM generate_series(2, $1::int) n) said
"""


async def main(messages: int) -> None:
    people = max(messages // 500, 10)
    with running(Postgres()) as postgres:
        await postgres.execute("CREATE DATABASE search")
        url = postgres.url("search")
        await upgrade(url)
        connection = await connect(url, None)
        await connection.execute(USERS, people)
        await connection.execute(CHATS)
        await connection.execute(MESSAGES, messages, people, VOCABULARY)
        await connection.execute("ANALYZE")

        begun = time.monotonic()
        await index_now(url, datetime.now(UTC) - timedelta(days=70))
        print(
            f"words of {messages} messages read in {time.monotonic() - begun:.0f} s"
        )
        await connection.execute("ANALYZE search_messages")
        await connection.close()

        async with open_database(url) as database:
            await measure(database, people)


async def measure(database: Database, people: int) -> None:
    """Each kind twice: the first lap opens connections and warms their caches."""
    chance, records = Random(1), PostgresChatRecords(database)

    async def own(query: Query) -> None:
        account = str(chance.randint(1, people))
        address = Address("telegram", account)
        inbound = Said(address=address, message_id="1", user_id=account, text="")
        await records.search(inbound, query)

    async def all_of_it(query: Query) -> None:
        async with transaction(database) as connection:
            await search_everything(connection, query)

    for name, search in (("a person's", own), ("operators'", all_of_it)):
        for lap in ("cold", "warm"):
            took = [await timed(search, chance) for _ in range(SEARCHES)]
            print(f"{name} searches, {lap}: {shown(took)}")


async def timed(search: Callable[[Query], Awaitable[None]], chance: Random) -> float:
    query = parse_query(f"w{int(chance.random() ** 3 * VOCABULARY)}")
    begun = time.perf_counter()
    await search(query)

    return (time.perf_counter() - begun) * 1000


def shown(took: list[float]) -> str:
    took = sorted(took)
    median, high = took[len(took) // 2], took[len(took) * 99 // 100]

    return f"median {median:.1f} ms, p99 {high:.1f} ms"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=1_000_000)
    asyncio.run(main(parser.parse_args().messages))
