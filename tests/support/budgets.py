"""One instance's budgets in a test, and the operator's side of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

import pytest

from agent.core.completion import Prompt, Usage
from agent.core.errors import Refused
from storage.control.live import RedisControl
from storage.limits.budget_admin import BudgetAdmin
from storage.limits.budget_views import Period
from storage.limits.budgets import PostgresBudgets
from storage.limits.noted import TouchedCounters
from storage.postgres import Database, open_database
from storage.redis import open_redis
from tests.support.settings import OPERATOR

ADA, BOB = UUID(int=1), UUID(int=2)
MODEL = "test:model"


def worst(model: str, prompt: Prompt) -> Usage:
    """100 tokens and a cent, unless the prompt says otherwise."""
    tokens = int(prompt.system or 100)
    return Usage(
        model,
        tokens,
        0,
        None if model == "test:unpriced" else Decimal(tokens) / 10_000,
    )


@dataclass
class Shop:
    """One instance's budgets, and the operator's side."""

    budgets: PostgresBudgets
    admin: BudgetAdmin
    control: RedisControl
    database: Database
    touched: TouchedCounters

    async def set(
        self,
        scope: str,
        subject: str,
        tokens: int | None = None,
        usd: str | None = None,
        period: Period = "day",
    ) -> None:
        await self.admin.set(
            scope,  # type: ignore[arg-type]
            subject,
            tokens,
            Decimal(usd) if usd else None,
            OPERATOR,
            period=period,
        )
        await self.control.observe(0)

    async def reserve(
        self,
        tokens: int = 100,
        *,
        author: UUID = ADA,
        channel: str = "test",
    ) -> UUID | None:
        return await self.budgets.reserve(
            channel, author, MODEL, Prompt(str(tokens), ())
        )

    async def used(self) -> dict[str, tuple[int, str]]:
        """Tokens and USD by subject."""
        return {
            view.accounts or view.subject: (view.used_tokens, f"{view.used_usd:.4f}")
            for view in await self.admin.list()
        }


@asynccontextmanager
async def shop(database_url: str, redis_url: str) -> AsyncIterator[Shop]:
    async with open_database(database_url) as database, open_redis(redis_url) as pipe:
        control = RedisControl(database, pipe)
        await control.start()
        touched = TouchedCounters()
        yield Shop(
            PostgresBudgets(database, control, worst, touched),
            BudgetAdmin(database, pipe),
            control,
            database,
            touched,
        )


async def refusal(
    shop: Shop,
    tokens: int = 100,
    *,
    author: UUID = ADA,
) -> str:
    with pytest.raises(Refused) as error:
        await shop.reserve(tokens, author=author)
    return error.value.sentence


def used(tokens: int, usd: str | None = "0") -> Usage:
    return Usage(MODEL, tokens, 0, Decimal(usd) if usd is not None else None)
