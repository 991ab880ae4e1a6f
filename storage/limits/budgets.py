"""What people and channels may use up in a day or month, in tokens and US dollars. Postgres
decides, by its own clock in UTC.

A counter for each subject and period holds what is used and what calls under way may use at
most. A call is made only when its worst case fits under every budget that binds it;
afterwards what it did not use is given back. The sum is right even if an instance dies: its
reservations stay counted, because nobody knows what it spent. Housekeeping deletes such
reservations after a day; the sum stays.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from decimal import ROUND_CEILING, Decimal
from typing import Any
from uuid import UUID

import asyncpg
from msgspec import Struct
from uuid_utils.compat import uuid7

from agent.core.completion import Prompt, Usage
from agent.core.errors import Refused, StoreUnavailable
from agent.core.limits import waiting
from agent.ports import Control
from storage.connecting.batch import LINGER_SECONDS, Batch
from storage.limits import STATEMENTS
from storage.limits.noted import Counter, TouchedCounters
from storage.postgres import Database, columns

SMALLEST = Decimal("0.00000001")
"""US dollars: stored amounts are multiples of this."""

WorstCase = Callable[[str, Prompt], Usage]
"""What one call to a model with this prompt uses at most."""

Learn = Callable[[str], Awaitable[None]]
"""Finds out what a model costs, if that is not known yet."""

ANYONE = "*"
"""The subject of the budget for each person (or channel) without one of their own."""

_Settlement = tuple[UUID, int, Decimal | None]
"""Reservation, tokens and US dollars; None: unknown."""


class _Call(Struct, frozen=True):
    """A call to a model that may be made if budgets allow it."""

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
        self,
        database: Database,
        control: Control,
        worst_case: WorstCase,
        touched: TouchedCounters | None = None,
        learn: Learn | None = None,
    ) -> None:
        self._line = database.line(planner={})
        self._settle_line = database.line(planner={})
        self._control = control
        self._worst_case = worst_case
        self._learn = learn
        self._applied: int | None = None  # epoch at which `_any` was read
        self._any = False
        self._reading = asyncio.Lock()
        self._touched = touched or TouchedCounters()
        gone = (StoreUnavailable,)
        self._calls: Batch[_Call, UUID | Refused | None] = Batch(
            self._reserve_all, passing=gone
        )
        self._settled: Batch[_Settlement, None] = Batch(
            self._settle_all,
            key=lambda item: item[0],
            passing=gone,
            linger=LINGER_SECONDS,
        )

    async def reserve(
        self,
        channel: str,
        author: UUID,
        model: str,
        prompt: Prompt,
    ) -> UUID | None:
        if not await self._any_budget():
            return None

        if self._learn is not None:
            await self._learn(model)
        call = _Call(uuid7(), author, channel, self._worst_case(model, prompt))
        verdict = await self._calls.submit(call)
        if isinstance(verdict, Refused):
            raise verdict

        return verdict

    async def settle(self, reservation: UUID, usage: Usage) -> None:
        tokens = usage.prompt_tokens + usage.completion_tokens
        await self._settled.submit((reservation, tokens, _stored(usage.cost_usd)))

    async def _any_budget(self) -> bool:
        epoch = self._control.epoch
        if self._applied == epoch:
            return self._any

        async with self._reading:
            if self._applied != epoch:
                rows = await self._line.fetch(STATEMENTS["any_budget"])
                self._any, self._applied = rows[0]["any"], epoch

        return self._any

    async def _reserve_all(
        self, calls: Sequence[_Call]
    ) -> list[UUID | Refused | None]:
        rows = await self._judge(calls)
        # the first call of a period; the loop is for one that ends in between
        while unbegun := [row for row in rows if not row["begun"]]:
            counters = columns(_counter(row) for row in unbegun)
            await self._line.fetch(STATEMENTS["begin_periods"], *counters)
            rows = await self._judge(calls)

        by_call: list[list[asyncpg.Record]] = [[] for _ in calls]
        for row in rows:
            by_call[row["n"] - 1].append(row)
            self._touched.note(_counter(row))

        alone = len(calls) == 1
        return [
            await self._verdict(call, judged, alone=alone)
            for call, judged in zip(calls, by_call, strict=True)
        ]

    async def _judge(self, calls: Sequence[_Call]) -> list[asyncpg.Record]:
        values = columns(call.row() for call in calls)

        return await self._line.fetch(STATEMENTS["reserve"], *values)

    async def _verdict(
        self,
        call: _Call,
        rows: Sequence[asyncpg.Record],
        *,
        alone: bool,
    ) -> UUID | Refused | None:
        if not rows:
            return None  # no budget binds this call
        if all(row["taken"] for row in rows):
            return call.id
        if not alone:
            # others in the list, refused as well, may have been the only reason
            return (await self._reserve_all([call]))[0]

        tight = next(
            row for row in rows if not (row["fits_tokens"] and row["fits_usd"])
        )
        if tight["priced"] or not tight["fits_tokens"]:
            self._touched.note(_counter(tight), refused=True)

        return Refused(_sentence(tight, call.worst.model))

    async def _settle_all(self, items: Sequence[_Settlement]) -> list[None]:
        await self._settle_line.fetch(STATEMENTS["settle"], *columns(items))

        return [None] * len(items)


def _counter(row: asyncpg.Record) -> Counter:
    return (row["scope"], row["subject"], row["period"])


def _stored(usd: Decimal | None) -> Decimal | None:
    """Rounded up as it is stored, so that small amounts never sum up to less than they are."""
    return None if usd is None else usd.quantize(SMALLEST, ROUND_CEILING)


def _sentence(row: asyncpg.Record, model: str) -> str:
    whose = "Your" if row["scope"] == "person" else "This channel's"

    if row["fits_tokens"] and not row["priced"]:
        return (
            f"{whose} budget is in US dollars and the price of {model} is not known. "
            "Please choose another with /model, or ask whoever runs me to name its price in MODELS."
        )

    usd, tokens = row["max_usd"], row["max_tokens"]
    amount = (
        f"{usd.normalize():f} USD" if row["fits_tokens"] else f"{tokens:,} tokens"
    )

    period = row["period"]
    which = "today" if period == "day" else "this month"

    return (
        f"{whose} budget for {which} ({amount}) does not have room for another answer. "
        f"A new {period} begins in {waiting(row['until_next'])}."
    )
