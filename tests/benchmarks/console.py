"""How long each page of the console takes, with many messages in the database:
`uv run python -m tests.benchmarks.console [--messages 1000000]`.

Opens every page that a page links to, three of a kind. Prints milliseconds of the server (the
median of three), and how many rows of messages were read without an index.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import time
from datetime import UTC, datetime, timedelta
from statistics import median

from storage.migrate import upgrade
from storage.postgres import connect
from storage.reports.rollup import sum_up
from storage.reports.search_index import index_now
from tests.benchmarks.search import CHATS, MESSAGES, USERS, VOCABULARY
from tests.support.browser import HTTPS, Browser, console
from tests.support.servers import Postgres, Valkey, running

KINDS = 3
"""Pages of one kind, such as two people or two conversations, that are opened."""

LAPS = 3
DAYS = 70
_PARTS = re.compile(r"[0-9a-f-]{32,36}|\d+")
_ROWS = """
SELECT coalesce(sum(seq_tup_read), 0)::bigint FROM pg_stat_user_tables
WHERE relname ~ '^messages(_|$)'
"""


async def main(messages: int) -> None:
    people = max(messages // 500, 10)
    with running(Postgres()) as postgres, running(Valkey()) as valkey:
        await postgres.execute("CREATE DATABASE console")
        url = postgres.url("console")
        await filled(url, messages, people)

        async with console(url, valkey.url) as browser:
            await browser.sign_in("ada")
            await crawl(browser, url)


async def filled(url: str, messages: int, people: int) -> None:
    await upgrade(url)
    connection = await connect(url, None)
    await connection.execute(USERS, people)
    await connection.execute(CHATS)
    await connection.execute(MESSAGES, messages, people, VOCABULARY)
    await connection.execute("ANALYZE")
    await index_now(url, datetime.now(UTC) - timedelta(days=DAYS))
    await sum_up(url)
    await connection.execute("ANALYZE")
    await connection.close()
    print(f"{messages} messages of {people} people")


async def crawl(browser: Browser, url: str) -> None:
    """Prints a line for each page."""
    left, known = ["/", "/conversations?q=w1", "/people?q=1"], set[str]()
    kinds: dict[str, int] = {}

    while left:
        path = left.pop(0)
        kind = _PARTS.sub("…", path)
        kinds[kind] = kinds.get(kind, 0) + 1
        if path in known or kinds[kind] > KINDS:
            continue

        known.add(path)
        before = await rows_read(url)
        page = await browser.get(path)
        took = [await milliseconds(browser, path) for _ in range(LAPS)]
        rows = (await rows_read(url) - before) // (LAPS + 1)
        print(f"{median(took):7.1f} ms  {rows:9} rows  {page.status}  {path}")
        left += [
            link.removeprefix(HTTPS) for link in page.links if link.startswith("/")
        ]


async def milliseconds(browser: Browser, path: str) -> float:
    begun = time.perf_counter()
    await browser.get(path)

    return (time.perf_counter() - begun) * 1_000


async def rows_read(url: str) -> int:
    """Of messages, by reading whole tables, up to now."""
    connection = await connect(url, None)
    try:
        await connection.execute("SELECT pg_stat_force_next_flush()")
        await asyncio.sleep(1.2)  # others report at most once a second
        return int(await connection.fetchval(_ROWS))
    finally:
        await connection.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=1_000_000)
    asyncio.run(main(parser.parse_args().messages))
