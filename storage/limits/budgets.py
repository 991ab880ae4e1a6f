"""What people and channels may use up in a day, in tokens and US dollars. Postgres decides,
by its own day in UTC.

A counter for each subject and day holds what is used and what calls under way may use at
most. A call is made only once its worst case fits under every budget that binds it;
afterwards what it did not use is given back. Nothing has to happen for the sum to be right:
what an instance that died had set aside stays counted, for nobody knows what it spent.
Housekeeping deletes such reservations after a day; the day's sum stays.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from typing import Any
from uuid import UUID

import asyncpg
from uuid_utils.compat import uuid7

from agent.core.completion import Prompt, Usage
from agent.core.errors import Refused, StoreUnavailable
from agent.core.limits import waiting
from agent.ports import Control
from storage.batch import LINGER_SECONDS, Batch
from storage.limits import STATEMENTS
from storage.postgres import Database, columns

SMALLEST = Decimal("0.00000001")  # what a stored amount is a multiple of
WorstCase = Callable[[str, Prompt], Usage]
ANYONE = "*"
"""The subject of a budget that each person (or channel) has who has none of their own."""


@dataclass(frozen=True, slots=True)
class _Call:
    """One model call that is to be made."""

    id: UUID
    author: UUID
    channel: str
    worst: Usage

    def row(self) -> tuple[Any, ...]:
        worst = self.worst
        tokens = worst.prompt_tokens + worst.completion_tokens
        return (self.id, self.author, self.channel, tokens, _stored(worst.cost_usd))


class PostgresBudgets:
    """Implements agent.ports.Budgets."""

    def __init__(
        self, database: Database, control: Control, worst_case: WorstCase
    ) -> None:
        self._line, self._settle_line = (
            database.line(planner={}),
            database.line(planner={}),
        )
        self._control = control
        self._worst_case = worst_case
        self._applied: int | None = (
            None  # the epoch at which it was read whether there is any budget
        )
        self._any = False
        self._reading = asyncio.Lock()
        gone = (StoreUnavailable,)
        self._calls: Batch[_Call, UUID | Refused | None] = Batch(
            self._reserve_all, passing=gone
        )
        self._settled: Batch[tuple[UUID, int, Decimal | None], None] = Batch(
            self._settle_all,
            key=lambda item: item[0],
            passing=gone,
            linger=LINGER_SECONDS,
        )

    async def reserve(
        self, channel: str, author: UUID, model: str, prompt: Prompt
    ) -> UUID | None:
        if not await self._any_budget():
            return None
        verdict = await self._calls.submit(
            _Call(uuid7(), author, channel, self._worst_case(model, prompt))
        )
        if isinstance(verdict, Refused):
            raise verdict
        return verdict

    async def settle(self, reservation: UUID, usage: Usage) -> None:
        tokens = usage.prompt_tokens + usage.completion_tokens
        await self._settled.submit((reservation, tokens, _stored(usage.cost_usd)))

    async def _any_budget(self) -> bool:
        epoch = self._control.epoch
        if self._applied != epoch:
            async with self._reading:
                if self._applied != epoch:
                    rows = await self._line.fetch(STATEMENTS["any_budget"])
                    self._any, self._applied = rows[0]["any"], epoch
        return self._any

    async def _reserve_all(self, calls: Sequence[_Call]) -> list[UUID | Refused | None]:
        rows = await self._judge(calls)
        while unbegun := [
            row for row in rows if not row["begun"]
        ]:  # the first of a day; once more at midnight
            await self._line.fetch(
                STATEMENTS["begin_day"],
                *zip(*((row["scope"], row["subject"]) for row in unbegun), strict=True),
            )
            rows = await self._judge(calls)
        by_number: dict[int, list[asyncpg.Record]] = {
            n: [] for n in range(1, len(calls) + 1)
        }
        for row in rows:
            by_number[row["n"]].append(row)
        return [
            await self._verdict(call, by_number[n], alone=len(calls) == 1)
            for n, call in enumerate(calls, start=1)
        ]

    async def _judge(self, calls: Sequence[_Call]) -> list[asyncpg.Record]:
        return await self._line.fetch(
            STATEMENTS["reserve"], *columns(call.row() for call in calls)
        )

    async def _verdict(
        self, call: _Call, rows: Sequence[asyncpg.Record], *, alone: bool
    ) -> UUID | Refused | None:
        if not rows:
            return None  # no budget binds this call
        if all(row["taken"] for row in rows):
            return call.id
        if (
            not alone
        ):  # it may have failed only because of others in the list that failed, too
            return (await self._reserve_all([call]))[0]
        tight = next(
            row for row in rows if not (row["fits_tokens"] and row["fits_usd"])
        )
        return Refused(_sentence(tight, call.worst.model))

    async def _settle_all(
        self, items: Sequence[tuple[UUID, int, Decimal | None]]
    ) -> list[None]:
        await self._settle_line.fetch(STATEMENTS["settle"], *columns(items))
        return [None] * len(items)


def _stored(usd: Decimal | None) -> Decimal | None:
    """Rounded up to what is stored, so that many small amounts never sum up to less than
    they are.
    """
    return None if usd is None else usd.quantize(SMALLEST, ROUND_CEILING)


def _sentence(row: asyncpg.Record, model: str) -> str:
    whose = "Your" if row["scope"] == "person" else "This channel's"
    if row["fits_tokens"] and not row["priced"]:
        return (
            f"{whose} budget is in US dollars and the price of {model} is not known. "
            "Please choose another with /model, or ask whoever runs me to name its price in MODELS."
        )
    most = (
        f"{row['max_usd'].normalize():f} USD"
        if row["fits_tokens"]
        else f"{row['max_tokens']:,} tokens"
    )
    return (
        f"{whose} budget for today ({most}) does not have room for another answer. "
        f"It begins anew in {waiting(row['until_tomorrow'])}."
    )
