"""A process that makes, uses and settles reservations, to be killed at any moment.

`python -m tests.support.fleet.spender SPEC` takes a JSON document: database_url, redis_url,
people, channels, calls, seed. Before it goes on, it writes a line of JSON for each event: that
is in the pipe, whatever happens to the process. The first line says that it is ready; it begins
when its input ends.

- {"granted": id, "author": …, "channel": …, "tokens": worst, "usd": worst}: call it now
- {"used": id, "tokens": …, "usd": …}: it was made and will be settled
- {"refused": …}: there was no room, or no Postgres
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
from collections.abc import Sequence
from decimal import Decimal
from typing import Any
from uuid import UUID

from agent.core.completion import Prompt, Usage
from agent.core.errors import AgentError
from storage.control.live import RedisControl
from storage.limits.budgets import PostgresBudgets
from storage.postgres import open_database
from storage.redis import open_redis

AT_ONCE = 32
MAX_TOKENS = 50
"""Tokens of one call."""

PRICE = Decimal("0.0000123456789")
"""USD a token: finer than what is stored."""


def worst(model: str, prompt: Prompt) -> Usage:
    """As many tokens as the prompt says."""
    tokens = int(prompt.system)
    return Usage(model, tokens, 0, tokens * PRICE)


def tell(**what: object) -> None:
    # Less than PIPE_BUF: never half a line.
    os.write(1, json.dumps(what, default=str).encode() + b"\n")


class Spender:
    """Makes calls whose usage is known to nobody else."""

    def __init__(
        self,
        budgets: PostgresBudgets,
        people: Sequence[str],
        channels: Sequence[str],
        seed: int,
    ) -> None:
        self._budgets = budgets
        self._people = people
        self._channels = channels
        self._random = random.Random(seed)

    async def call(self) -> None:
        author = self._random.choice(self._people)
        channel = self._random.choice(self._channels)
        most = self._random.randint(1, MAX_TOKENS)

        try:
            reservation = await self._budgets.reserve(
                channel, UUID(author), "test:model", Prompt(str(most), ())
            )
        except AgentError as error:
            tell(refused=type(error).__name__)
            return

        assert reservation is not None

        tell(
            granted=reservation,
            author=author,
            channel=channel,
            tokens=most,
            usd=most * PRICE,
        )
        await asyncio.sleep(self._random.random() * 0.01)  # the model answers
        used = self._random.choice((most, self._random.randint(0, most)))
        tell(used=reservation, tokens=used, usd=used * PRICE)
        await self._budgets.settle(
            reservation, Usage("test:model", used, 0, used * PRICE)
        )


async def main(spec: dict[str, Any]) -> None:
    async with (
        open_database(spec["database_url"]) as database,
        open_redis(spec["redis_url"]) as pipe,
    ):
        control = RedisControl(database, pipe)
        await control.start()
        budgets = PostgresBudgets(database, control, worst)
        spender = Spender(budgets, spec["people"], spec["channels"], spec["seed"])
        left = iter(range(spec["calls"]))

        async def work() -> None:
            for _ in left:
                await spender.call()

        tell(ready=os.getpid())
        await asyncio.to_thread(sys.stdin.read)

        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(work())


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
