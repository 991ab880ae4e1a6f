"""`uv run python -m tests.benchmarks.compare`: who does how many turns a second, at what cost.

Other projects need `--with-requirements tests/benchmarks/compare/peers.txt`; without it they are
left out, and said so. `--only floor ours` measures two, `--calls` counts calls, too.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

import structlog
import uvloop

from tests.benchmarks.compare.contenders import CONTENDERS
from tests.benchmarks.compare.kept import keep, kept, write
from tests.benchmarks.compare.laps import (
    Lap,
    calls_per_turn,
    open_stores,
    opened,
    race,
)
from tests.benchmarks.compare.table import table

CONVERSATIONS = (1, 16, 64, 256)


async def measure(given: argparse.Namespace) -> list[Lap]:
    """All laps."""
    laps: list[Lap] = []
    chosen = [one for one in CONTENDERS if not given.only or one.name in given.only]

    def report(lap: Lap) -> None:
        laps.append(lap)
        if given.keep:
            keep(lap, given.keep)
        print(
            f"{lap.conversations:>4} {lap.contender:<14} {lap.rate:>7.0f} turns/s"
            f"  {lap.client / lap.turns * 1e6:>6.0f} µs",
            flush=True,
        )

    async with open_stores() as stores, opened(chosen, stores) as turns:
        for people in given.conversations:
            await race(
                turns,
                people,
                laps=given.laps,
                seconds=given.seconds,
                stores=stores,
                report=report,
            )
        if given.calls:
            for name, turn in turns.items():
                print(f"{name}: {await calls_per_turn(turn):,.0f} calls a turn")

    return laps


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", help="names of contenders")
    parser.add_argument("--conversations", nargs="*", type=int, default=CONVERSATIONS)
    parser.add_argument("--laps", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--keep", type=Path, help="add the laps to this file")
    parser.add_argument(
        "--write", type=Path, help="only write the laps of this file into the docs"
    )
    parser.add_argument("--calls", action="store_true", help="count calls, too")

    return parser.parse_args()


def main() -> None:
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        cache_logger_on_first_use=True,  # as `agent serve` has it
    )
    given = arguments()
    if given.write:
        write(kept(given.write))
        return

    print(table(uvloop.run(measure(given))))


if __name__ == "__main__":
    main()
