"""Budgets of a day: the sum cannot be exceeded, and what was reserved but not used comes back."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from decimal import Decimal
from uuid import UUID

import pytest

from agent.core.completion import Prompt, Usage
from agent.core.errors import Refused, Rejected
from storage.conversation.housekeeping import tidy
from storage.limits.budget_views import Aside, BudgetView
from storage.limits.budgets import PostgresBudgets
from tests.support.budgets import ADA, BOB, MODEL, Shop, refusal, shop, used
from tests.support.settings import OPERATOR, run


async def test_without_a_budget_nothing_is_set_aside(
    open_shop: Shop,
    database_url: str,
) -> None:
    assert await open_shop.reserve(10**12) is None
    assert await run(database_url, "SELECT FROM budget_days") == []


async def test_a_budget_that_is_set_holds_from_the_next_epoch_on(
    open_shop: Shop,
) -> None:
    assert await open_shop.reserve() is None

    await open_shop.set("person", "test:ada", tokens=99)

    assert "Your budget for today (99 tokens)" in await refusal(open_shop)

    await open_shop.admin.unset("person", "test:ada", OPERATOR)
    await open_shop.control.observe(0)

    assert await open_shop.reserve() is None


async def test_what_is_set_aside_counts_until_what_was_used_is_known(
    open_shop: Shop,
) -> None:
    await open_shop.set("person", "test:ada", tokens=250, usd="1")
    first = await open_shop.reserve(100)
    await open_shop.reserve(100)
    await refusal(open_shop)

    assert first is not None

    await open_shop.budgets.settle(first, used(30, "0.002"))

    assert await open_shop.used() == {"test:ada": (130, "0.0120")}
    assert await open_shop.reserve(120) is not None

    await refusal(open_shop, 1)


async def test_a_cost_that_stays_unknown_counts_as_it_was_feared(
    open_shop: Shop,
) -> None:
    await open_shop.set("person", "test:ada", tokens=1000)
    reservation = await open_shop.reserve(100)

    assert reservation is not None

    await open_shop.budgets.settle(reservation, used(30, None))

    assert await open_shop.used() == {"test:ada": (30, "0.0100")}


async def test_settling_twice_gives_back_once(open_shop: Shop) -> None:
    await open_shop.set("person", "test:ada", tokens=1000)
    reservation = await open_shop.reserve(100)

    assert reservation is not None

    for _ in range(3):
        await open_shop.budgets.settle(reservation, used(0))

    assert await open_shop.used() == {"test:ada": (0, "0.0000")}


async def test_a_call_fits_under_all_budgets_or_counts_in_none(
    open_shop: Shop,
) -> None:
    await open_shop.set("person", "test:ada", tokens=1000)
    await open_shop.set("channel", "test", tokens=150)
    await open_shop.reserve(100)

    assert "This channel's budget" in await refusal(open_shop)
    assert "This channel's budget" in await refusal(open_shop, author=BOB)
    assert await open_shop.used() == {
        "test:ada": (100, "0.0100"),
        "test": (100, "0.0100"),
    }


async def test_a_budget_for_each_binds_everyone_who_has_no_own(
    open_shop: Shop,
) -> None:
    await open_shop.set("person", "*", tokens=100)
    await open_shop.set("person", "test:bob", tokens=200)

    assert await open_shop.reserve(100, author=ADA)

    await refusal(open_shop, 1, author=ADA)

    assert await open_shop.reserve(200, author=BOB)

    await refusal(open_shop, 1, author=BOB)


async def test_money_is_counted_exactly(open_shop: Shop) -> None:
    await open_shop.set("person", "test:ada", usd="0.03")

    assert [await open_shop.reserve(100) is not None for _ in range(3)] == [True] * 3
    assert "(0.03 USD)" in await refusal(open_shop, 1)


async def test_a_budget_in_dollars_cannot_be_kept_without_a_price(
    open_shop: Shop,
) -> None:
    await open_shop.set("channel", "test", usd="100")
    with pytest.raises(Refused, match="the price of test:unpriced is not known"):
        await open_shop.budgets.reserve("test", ADA, "test:unpriced", Prompt("", ()))


async def test_accounts_of_one_person_share_a_budget(
    open_shop: Shop,
    database_url: str,
) -> None:
    await run(database_url, "UPDATE users SET person_id = $1", ADA)
    await open_shop.set("person", "test:bob", tokens=150)

    assert await open_shop.reserve(100, author=ADA)

    await refusal(open_shop, 100, author=BOB)


async def test_a_new_day_begins_at_nothing(
    open_shop: Shop, database_url: str
) -> None:
    await open_shop.set("person", "test:ada", tokens=100)
    yesterdays = await open_shop.reserve(100)
    await run(database_url, "UPDATE budget_days SET day = day - 1")
    await run(database_url, "UPDATE budget_reservations SET day = day - 1")

    assert await open_shop.reserve(100)
    assert yesterdays is not None

    await open_shop.budgets.settle(
        yesterdays, used(0)
    )  # gives back to the day it was taken from
    days = await run(database_url, "SELECT tokens FROM budget_days ORDER BY day")

    assert [row["tokens"] for row in days] == [0, 100]


async def test_a_statement_that_runs_twice_counts_once(open_shop: Shop) -> None:
    """Its first answer may be lost with the connection."""
    await open_shop.set("person", "test:ada", tokens=250)
    lost = open_shop.budgets._judge

    async def twice(calls: list[object]) -> list[object]:
        await lost(calls)  # type: ignore[arg-type]
        return await lost(calls)  # type: ignore[arg-type,return-value]

    open_shop.budgets._judge = twice  # type: ignore[method-assign,assignment]

    assert [await open_shop.reserve(100) is not None for _ in range(2)] == [
        True,
        True,
    ]
    assert await open_shop.used() == {"test:ada": (200, "0.0200")}


async def test_a_large_call_in_the_same_statement_takes_nothing_from_a_small_one(
    open_shop: Shop,
) -> None:
    await open_shop.set("channel", "test", tokens=100)
    calls = [open_shop.reserve(tokens) for tokens in (1000, 60, 1000, 40, 1000)]
    verdicts = await asyncio.gather(*calls, return_exceptions=True)

    assert [isinstance(verdict, UUID) for verdict in verdicts] == [
        False,
        True,
        False,
        True,
        False,
    ]


async def view_of(shop: Shop, subject: str) -> BudgetView:
    return next(
        view
        for view in await shop.admin.list()
        if subject in (view.accounts, view.subject)
    )


async def test_it_is_shown_which_calls_are_under_way_and_which_were_never_settled(
    open_shop: Shop,
    database_url: str,
) -> None:
    await open_shop.set("person", "test:ada", tokens=1000)
    await open_shop.set("channel", "test", tokens=1000)
    dead, done, _, _ = [
        await open_shop.reserve(tokens) for tokens in (1, 20, 300, 400)
    ]

    assert done is not None

    await open_shop.budgets.settle(done, used(5, "0.0005"))
    await run(
        database_url,
        "UPDATE budget_reservations SET made_at = now() - interval '181 s' WHERE id = $1",
        dead,
    )

    for subject in ("test:ada", "test"):
        view = await view_of(open_shop, subject)

        assert (view.under_way, view.unsettled) == (
            Aside(2, 700, Decimal("0.07")),
            Aside(1, 1, Decimal("0.0001")),
        )
        assert (view.used_tokens, view.settled) == (706, (5, Decimal("0.0005")))


async def test_what_nobody_settled_within_a_day_stays_counted_and_its_row_goes(
    open_shop: Shop,
    database_url: str,
) -> None:
    await open_shop.set("person", "test:ada", tokens=1000)
    old, young = await open_shop.reserve(100), await open_shop.reserve(10)

    assert old is not None
    assert young is not None

    await run(
        database_url,
        "UPDATE budget_reservations SET made_at = now() - interval '25 hours' WHERE id = $1",
        old,
    )
    await tidy(open_shop.database)

    assert [
        row["id"]
        for row in await run(database_url, "SELECT id FROM budget_reservations")
    ] == [young]

    await open_shop.budgets.settle(old, used(0))  # too late: it gives nothing back

    assert await open_shop.used() == {"test:ada": (110, "0.0110")}

    await open_shop.budgets.settle(young, used(0))

    assert await open_shop.used() == {"test:ada": (100, "0.0100")}


async def test_days_are_kept_for_ninety_days(
    open_shop: Shop,
    database_url: str,
) -> None:
    await run(
        database_url,
        "INSERT INTO budget_days (scope, subject, day) SELECT 'channel', 'test', "
        "(now() AT TIME ZONE 'UTC')::date - n"
        " FROM generate_series(0, 100) n",
    )
    await tidy(open_shop.database)
    [kept] = await run(
        database_url, "SELECT count(*), max(day) - min(day) AS days FROM budget_days"
    )

    assert (kept["count"], kept["days"]) == (91, 90)


async def test_amounts_smaller_than_what_is_stored_are_rounded_up(
    open_shop: Shop,
) -> None:
    """Else a budget would let through a little more than itself."""
    await open_shop.set("person", "test:ada", usd="0.00000003")
    tiny = PostgresBudgets(
        open_shop.database,
        open_shop.control,
        lambda model, prompt: Usage(model, 1, 0, Decimal("0.0000000101")),
    )

    assert await tiny.reserve("test", ADA, MODEL, Prompt("", ()))

    with pytest.raises(Refused):
        await tiny.reserve("test", ADA, MODEL, Prompt("", ()))


async def race(
    database_url: str,
    redis_url: str,
    *,
    instances: int,
    calls: int,
    budget: int,
) -> tuple[int, int]:
    """Calls of 1 to 10 tokens on all instances at once, each settled with a part. Counted
    and really used.
    """
    async with AsyncExitStack() as stack:
        shops = [
            await stack.enter_async_context(shop(database_url, redis_url))
            for _ in range(instances)
        ]
        await shops[0].set("channel", "test", tokens=budget)
        await shops[0].set("person", "*", tokens=budget * 2 // 3)

        for one in shops:
            await one.control.observe(0)

        spent = await asyncio.gather(
            *(_spend(shops[n % instances], n) for n in range(calls))
        )
        counted = await run(
            database_url, "SELECT tokens FROM budget_days WHERE scope = 'channel'"
        )
    return counted[0]["tokens"], sum(spent)


async def _spend(shop: Shop, number: int) -> int:
    worst, author = number % 10 + 1, (ADA, BOB)[number % 2]

    try:
        reservation = await shop.reserve(worst, author=author)
    except Refused:
        return 0

    assert reservation is not None

    if number % 7 == 0:  # killed: nobody settles, and all of it may have been used
        return worst

    await shop.budgets.settle(reservation, used(worst // 2))

    return worst // 2


@pytest.mark.parametrize(
    ("instances", "calls"),
    [
        (3, 600),
        pytest.param(8, 50_000, marks=[pytest.mark.chaos, pytest.mark.timeout(1800)]),
    ],
)
async def test_reservations_of_all_instances_at_once_never_exceed_the_budget(
    database_url: str,
    redis_url: str,
    spenders: None,
    instances: int,
    calls: int,
) -> None:
    counted, spent = await race(
        database_url, redis_url, instances=instances, calls=calls, budget=calls
    )

    assert counted == spent
    assert spent <= calls
    assert (
        spent > calls // 2
    )  # … and most of it could be used, though all asked at once


# --- what an operator may say -------------------------------------------------


@pytest.mark.parametrize(
    ("scope", "subject", "tokens", "usd", "sentence"),
    [
        ("person", "test:ada", None, None, "in tokens, in US dollars, or both"),
        ("person", "test:nobody", 1, None, "No such person"),
        ("channel", "irc", 1, None, "There are: discord"),
        ("person", "*", -1, None, "Tokens go from 0"),
        ("person", "*", None, "NaN", "US dollars go from 0"),
        ("person", "*", None, "-0.01", "US dollars go from 0"),
    ],
)
async def test_what_cannot_be_is_refused_and_nothing_is_written(
    open_shop: Shop,
    database_url: str,
    scope: str,
    subject: str,
    tokens: int | None,
    usd: str | None,
    sentence: str,
) -> None:
    with pytest.raises(Rejected, match=sentence):
        await open_shop.set(scope, subject, tokens, usd)

    assert await run(database_url, "SELECT FROM budgets") == []
    assert await run(database_url, "SELECT FROM audit_log") == []


async def test_a_change_is_in_the_log_with_before_and_after(
    open_shop: Shop,
    database_url: str,
) -> None:
    await open_shop.set("channel", "test", tokens=10)
    await open_shop.set("channel", "test", tokens=10)  # is so already
    await open_shop.set("channel", "test", tokens=20, usd="1.50")
    rows = await run(
        database_url,
        "SELECT actor, action, subject, before, after FROM audit_log ORDER BY id",
    )

    assert [tuple(row) for row in rows] == [
        (
            "grace",
            "budget.set",
            "budget:channel:test",
            None,
            '{"usd": null, "tokens": 10}',
        ),
        (
            "grace",
            "budget.set",
            "budget:channel:test",
            '{"usd": null, "tokens": 10}',
            '{"usd": "1.5", "tokens": 20}',
        ),
    ]
