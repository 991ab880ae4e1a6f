"""Reports over a million messages, held against a plain count: `uv run python -m
tests.benchmarks.usage [--rows 1000000] [--seed 1]`.

Prints how long summing up takes, how long a report takes, and whether each sum is the same.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from datetime import UTC, datetime

from agent.reports.usage import Scope
from storage.migrate import upgrade
from storage.reports.rollup import sum_up_again
from storage.reports.usage import UsageReader, read_usage
from tests.support.servers import Postgres, running
from tests.support.usage_data import CHANNELS, MODELS, SUMS, UsageData, counted

EVER = datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)


async def main(rows: int, seed: int) -> None:
    with running(Postgres()) as postgres:
        await postgres.execute("CREATE DATABASE usage")
        url = postgres.url("usage")
        await upgrade(url)
        await UsageData(seed, rows, days=80, people=rows // 500).store(url)

        begun = time.monotonic()
        await sum_up_again(url)
        print(f"summed up in {time.monotonic() - begun:.1f} s")

        async with read_usage(url) as reader:
            begun = time.monotonic()
            await reader.lines(Scope(*EVER, "day"))
            print(f"a report by day in {1000 * (time.monotonic() - begun):.0f} ms")
            different = await compare(url, reader)

    print(f"sums that differ from a plain count: {different}")


async def compare(url: str, reader: UsageReader) -> int:
    plain, seen, different = await counted(url), 0, 0
    for channel in CHANNELS:
        for model in (*MODELS, ""):
            scope = Scope(*EVER, "day", "person", channel, model)
            for line in await reader.lines(scope):
                key = (f"{line.period:%Y-%m-%d}", channel, model, line.subject)
                seen += 1
                different += any(
                    plain[key][name] != getattr(line, name)
                    for name in (*SUMS, "cost_usd")
                )

    print(f"{seen} lines, of {len(plain)} that there should be")
    return different + abs(len(plain) - seen)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    asyncio.run(main(options.rows, options.seed))
