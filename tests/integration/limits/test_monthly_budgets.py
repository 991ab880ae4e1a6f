"""Budgets of a month beside those of a day: each holds by itself, and both are told of."""

from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from agent import metrics
from agent.operations.status import check_budgets
from storage.limits.budget_alerts import BudgetAlerts
from storage.transaction import transaction
from tests.support.budgets import ADA, BOB, Shop, refusal, shop, used
from tests.support.settings import OPERATOR, run

Told = list[tuple[str, str, int]]


async def counters(url: str) -> dict[tuple[str, str], int]:
    """Tokens by subject's scope and period."""
    rows = await run(url, "SELECT scope, period, tokens FROM budget_days")

    return {(row["scope"], row["period"]): row["tokens"] for row in rows}


async def told(alerts: BudgetAlerts) -> Told:
    return sorted(
        (alert.scope, alert.period, alert.step) for alert in await alerts.look()
    )


def alerts_of(one: Shop) -> BudgetAlerts:
    return BudgetAlerts(one.database, one.touched, 60.0)


async def spend(one: Shop, tokens: int) -> None:
    """A call that uses all that was set aside for it."""
    reservation = await one.reserve(tokens)
    assert reservation is not None
    await one.budgets.settle(reservation, used(tokens, None))


async def test_a_budget_of_a_month_holds_on_the_next_day(
    open_shop: Shop, database_url: str
) -> None:
    await open_shop.set("person", "test:ada", tokens=150, period="month")
    await spend(open_shop, 100)
    await run(database_url, "UPDATE budget_reservations SET day = day - 1")

    sentence = await refusal(open_shop, 100)
    assert sentence.startswith("Your budget for this month (150 tokens)")
    assert "A new month begins in " in sentence


async def test_a_new_month_begins_at_nothing(
    open_shop: Shop, database_url: str
) -> None:
    """What is settled then goes back to the month that it was taken from."""
    await open_shop.set("person", "test:ada", tokens=100, period="month")
    earlier = await open_shop.reserve(100)
    assert earlier is not None
    for table in ("budget_days", "budget_reservations"):
        await run(
            database_url,
            f"UPDATE {table} SET day = (date_trunc('month', day) - interval '1 day')::date",
        )
    await run(
        database_url, "UPDATE budget_days SET day = date_trunc('month', day)::date"
    )

    assert await open_shop.reserve(100)
    await open_shop.budgets.settle(earlier, used(0))
    rows = await run(database_url, "SELECT tokens FROM budget_days ORDER BY day")
    assert [0, 100] == [row["tokens"] for row in rows]


@pytest.mark.parametrize(
    ("day", "month", "refused"),
    [(100, 1000, "today"), (1000, 100, "this month"), (100, 100, "today")],
)
async def test_a_call_fits_under_both_or_counts_in_none(
    open_shop: Shop, database_url: str, day: int, month: int, refused: str
) -> None:
    await open_shop.set("person", "test:ada", tokens=day)
    await open_shop.set("person", "test:ada", tokens=month, period="month")
    await spend(open_shop, 60)

    assert f"budget for {refused} (" in await refusal(open_shop, 50)
    both = {("person", "day"): 60, ("person", "month"): 60}
    assert both == await counters(database_url)


async def test_a_budget_of_ones_own_replaces_that_for_each_in_its_period_alone(
    open_shop: Shop,
) -> None:
    await open_shop.set("person", "*", tokens=50)
    await open_shop.set("person", "*", tokens=500, period="month")
    await open_shop.set("person", "test:ada", tokens=200)
    await spend(open_shop, 200)

    assert "budget for today (200 tokens)" in await refusal(open_shop, 10)
    assert "budget for today (50 tokens)" in await refusal(open_shop, 60, author=BOB)


async def test_reservations_of_two_instances_never_exceed_a_month(
    database_url: str, redis_url: str, spenders: None
) -> None:
    async with (
        shop(database_url, redis_url) as one,
        shop(database_url, redis_url) as two,
    ):
        await one.set("person", "test:ada", tokens=1000, period="month")
        await one.set("channel", "test", tokens=5000)
        await two.control.observe(0)
        calls = [
            each.reserve(90, author=ADA) for each in (one, two) for _ in range(20)
        ]
        ended = await asyncio.gather(*calls, return_exceptions=True)

    assert 11 == sum(not isinstance(each, BaseException) for each in ended)
    found = {("person", "month"): 990, ("channel", "day"): 990}
    assert found == await counters(database_url)


async def test_budgets_written_by_an_older_version_are_those_of_a_day(
    open_shop: Shop, database_url: str
) -> None:
    """Rows as that version wrote them, without a period."""
    await run(
        database_url,
        "INSERT INTO budgets (scope, subject, tokens) VALUES ('channel', 'test', 120)",
    )
    await run(
        database_url,
        "INSERT INTO budget_days (scope, subject, day, tokens) "
        "VALUES ('channel', 'test', (now() AT TIME ZONE 'UTC')::date, 100)",
    )
    await run(database_url, "UPDATE control_epoch SET epoch = epoch + 1")
    await open_shop.control.observe(10)

    assert "This channel's budget for today (120 tokens)" in await refusal(
        open_shop, 50
    )
    [view] = await open_shop.admin.list()
    assert ("day", 120, 100) == (view.period, view.tokens, view.used_tokens)


async def test_each_step_is_told_once_in_a_period(
    open_shop: Shop, database_url: str, redis_url: str
) -> None:
    """By whichever instance looks, in the log and as a metric."""
    await open_shop.set("person", "test:ada", tokens=100)
    alerts = alerts_of(open_shop)
    seen: list[Told] = []
    before = dict(metrics.budget_alerts.values)

    with capture_logs() as logs:
        for tokens in (40, 15, 20, 10, 5):
            await spend(open_shop, tokens)
            seen.append(await told(alerts))
        async with shop(database_url, redis_url) as other:
            await refusal(other, 50)
            seen += [await told(alerts_of(other)), await told(alerts)]

    day = ("person", "day")
    assert [[], [(*day, 50)], [], [(*day, 80)], [], [(*day, 100)], []] == seen
    assert [50, 80, 100] == [line["percent"] for line in logs if "percent" in line]
    for percent in ("50", "80", "100"):
        labels = (*day, percent)
        assert 1 == metrics.budget_alerts.values[labels] - before.get(labels, 0)


async def test_day_and_month_are_told_apart(
    open_shop: Shop, database_url: str
) -> None:
    await open_shop.set("person", "test:ada", tokens=100)
    await open_shop.set("person", "test:ada", tokens=150, period="month")
    alerts = alerts_of(open_shop)
    await spend(open_shop, 90)
    assert [("person", "day", 80), ("person", "month", 50)] == await told(alerts)

    await run(database_url, "DELETE FROM budget_days WHERE period = 'day'")
    await spend(open_shop, 50)
    assert [("person", "day", 50), ("person", "month", 80)] == await told(alerts)


async def test_what_is_only_set_aside_is_not_told_of(open_shop: Shop) -> None:
    """An answer that may cost much, and costs little, is no alarm."""
    await open_shop.set("channel", "test", tokens=100)
    alerts = alerts_of(open_shop)
    reservation = await open_shop.reserve(90)
    assert [] == await told(alerts)

    assert reservation is not None
    await open_shop.budgets.settle(reservation, used(10, None))
    assert [] == await told(alerts)


async def test_a_counter_that_a_call_holds_is_told_of_the_next_time(
    open_shop: Shop, database_url: str
) -> None:
    """Nobody waits for anybody, so nobody waits in a circle."""
    await open_shop.set("channel", "test", tokens=100)
    alerts = alerts_of(open_shop)
    await spend(open_shop, 60)

    async with transaction(open_shop.database) as holding:
        await holding.execute("SELECT FROM budget_days FOR UPDATE")
        assert [] == await told(alerts)

    assert [("channel", "day", 50)] == await told(alerts)


async def test_operators_see_it_in_the_status(open_shop: Shop) -> None:
    await open_shop.set("channel", "test", tokens=100)
    assert [] == await check_budgets(open_shop.database)

    await spend(open_shop, 60)
    await told(alerts_of(open_shop))
    [check] = await check_budgets(open_shop.database)
    assert ("ok", "channel test at 50 % of the day") == (check.state, check.text)

    await refusal(open_shop, 60)
    await told(alerts_of(open_shop))
    [check] = await check_budgets(open_shop.database)
    assert ("slower", "channel test at 100 % of the day") == (check.state, check.text)


async def test_unsetting_the_budget_of_a_month_leaves_that_of_the_day(
    open_shop: Shop,
) -> None:
    await open_shop.set("channel", "test", tokens=100)
    await open_shop.set("channel", "test", tokens=900, period="month")
    month = await open_shop.admin.version("channel", "test", "month")
    await open_shop.admin.unset(
        "channel", "test", OPERATOR, expected=month, period="month"
    )

    [view] = await open_shop.admin.list()
    assert ("day", 100) == (view.period, view.tokens)
