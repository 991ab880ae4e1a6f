"""One run, from its seed: `uv run python -m tests.chaos --seed 17 kill_agent cut_platform`."""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
from collections.abc import Sequence

from tests.chaos.harness.faults import FAULTS
from tests.chaos.harness.plan import drawn
from tests.chaos.harness.processes import Nursery, nursery
from tests.chaos.harness.run import Outcome, carry_out
from tests.chaos.harness.world import world


async def one_run(
    nursery: Nursery,
    seed: int,
    faults: Sequence[str],
    *,
    rounds: int = 1,
    at_once: int = 1,
    instances: int = 2,
    direct: int = 2,
    pause: float = 12.0,
    changes: Sequence[str] = (),
) -> Outcome:
    """A world of its own, a plan from the seed, and the outcome."""
    async with world(
        nursery, instances=instances, direct=direct, changes=changes
    ) as here:
        plan = drawn(
            seed,
            faults,
            chats=len(here.chats),
            rounds=rounds,
            at_once=at_once,
            pause=pause,
        )
        return await carry_out(here, plan)


def main() -> int:
    """Exit status 1 when something was wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos", description=__doc__
    )
    parser.add_argument(
        "faults", nargs="*", metavar="fault", help=f"none: all of {', '.join(FAULTS)}"
    )
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument(
        "--at-once", type=int, default=1, help="faults that strike together"
    )
    parser.add_argument("--instances", type=int, default=2)
    parser.add_argument(
        "--direct", type=int, default=2, help="direct chats on each platform"
    )
    parser.add_argument(
        "--pause", type=float, default=12.0, help="seconds between two rounds"
    )
    given = vars(parser.parse_args())
    if unknown := set(given["faults"]) - set(FAULTS):
        parser.error(
            f"No such fault: {', '.join(sorted(unknown))}. There are {', '.join(FAULTS)}."
        )

    seed, faults = given.pop("seed"), given.pop("faults") or list(FAULTS)
    with nursery() as forks:
        outcome = asyncio.run(one_run(forks, seed, faults, **given))
    return 1 if outcome.verdicts else 0


if __name__ == "__main__":
    sys.exit(main())
