"""Budgets and limits in the console: by the same functions as the commands."""

from __future__ import annotations

from decimal import Decimal

import pytest

from agent.web.console.pages.limits import listing
from storage.limits.budget_admin import BudgetAdmin
from storage.limits.budget_views import BudgetView
from storage.limits.limit_admin import LimitAdmin
from tests.support.browser import (
    HERE,
    Browser,
    Page,
    register,
)
from tests.support.operators import (
    ADA,
    BOB,
)
from tests.support.settings import run

EACH = "/limits/budget?scope=person&period=day&subject=%2A"
SLACK = "/limits/budget?scope=channel&period=month&subject=slack"
HARM = "<script>alert(1)</script>\u202eevil"
USER = (
    "INSERT INTO users (id, person_id, channel_type, channel_user_id, username)"
    " VALUES ($1, $1, 'slack', $2, 'eve')"
)
EVE = "00000000-0000-0000-0000-000000000e5e"


async def eve(
    ada: Browser,
    account: str = "U1",
) -> str:
    """The page of her limit."""
    await run(
        ada.services.stores.database.url,
        USER,
        EVE,
        account,
    )

    return f"/limits/person?person=slack%3A{account}"


def budgets(
    ada: Browser,
) -> BudgetAdmin:
    return BudgetAdmin(ada.services.stores.database, ada.services.stores.pipe)


async def stored(
    ada: Browser,
) -> list[BudgetView]:
    return [
        view
        for view in await budgets(ada).list()
        if (view.tokens, view.usd) != (None, None)
    ]


async def send(ada: Browser, page: Page, do: str, **fields: str) -> Page:
    """Sends what a form of the page would, and agrees if it asks."""
    path = page.path
    sent = {
        "csrf": page.csrf,
        "version": page.version,
        "do": do,
        **fields,
    }
    asked = await ada.post(path, sent)

    return await ada.send(asked, path) if "agreed" in asked.html else asked


async def test_a_budget_is_set_shown_and_removed(
    ada: Browser,
) -> None:
    await ada.sign_in("ada")
    page = await ada.get(EACH)
    sent = {
        "csrf": page.csrf,
        "version": "0",
        "do": "set",
        "tokens": "50,000",
    }
    asked = await ada.post(
        EACH,
        {
            **sent,
            "reason": "thrift",
        },
    )
    assert [] == await stored(ada)
    made = await ada.send(asked, EACH)
    [budget] = await stored(ada)
    listed = await ada.get("/limits")
    removed = await send(
        ada,
        made,
        "unset",
    )
    log = await run(
        ada.services.stores.database.url,
        "SELECT actor, action, reason FROM audit_log WHERE subject LIKE 'budget:%'",
    )

    assert (
        "Set 50,000 tokens a day for each person without one of their own?"
        in asked.text
    )
    assert "Set: 50,000 tokens, any US dollars a day." in made.text
    assert (50_000, None) == (budget.tokens, budget.usd)
    assert "each person without one of their own" in listed.text
    assert "0 of 50,000" in listed.text
    assert "The budget is removed." in removed.text
    assert [] == await stored(ada)
    assert [("ada", "budget.set", "thrift"), ("ada", "budget.unset", None)] == [
        tuple(row) for row in log
    ]


async def test_one_persons_budget_is_set_at_once_by_any_of_their_names(
    ada: Browser,
) -> None:
    await ada.sign_in("ada")
    await eve(ada)
    path = "/limits/budget?scope=person&period=day&subject=slack:U1"
    page = await ada.get(path)
    made = await ada.post(
        path,
        {
            "csrf": page.csrf,
            "version": "0",
            "do": "set",
            "usd": "2.50",
        },
    )
    [budget] = await stored(ada)

    assert "any tokens, $2.50 a day" in made.text
    assert (EVE, Decimal("2.5")) == (budget.subject, budget.usd)
    assert "No price is known of test:model" not in page.text
    assert "Budget of eve (slack:U1) for a day" in (await ada.get(made.path)).text


async def test_what_was_used_is_shown_with_how_near_its_end_it_is(
    ada: Browser,
) -> None:
    await ada.sign_in("ada", "viewer")
    await budgets(ada).set(
        "channel",
        "slack",
        1000,
        None,
        HERE,
        period="month",
    )
    await run(
        ada.services.stores.database.url,
        "INSERT INTO budget_days (scope, subject, period, day, tokens, usd, alerted)"
        " VALUES ('channel', 'slack', 'month',"
        " date_trunc('month', now() AT TIME ZONE 'UTC')::date, 850, 0.25, 80)",
    )
    page = await ada.get("/limits")
    one = await ada.get(SLACK)
    await run(
        ada.services.stores.database.url,
        "INSERT INTO budget_reservations (id, day, channel, channel_month, tokens, usd)"
        " VALUES (gen_random_uuid(), (now() AT TIME ZONE 'UTC')::date,"
        " 'slack', 'slack', 100, 0.1)",
    )
    with_a_call = await ada.get("/limits")
    one_with_a_call = await ada.get(SLACK)

    assert "under way: 1 call, 100 tokens, $0.1000" in with_a_call.text
    assert "Set aside by 1 call under way 100 $0.1000" in one_with_a_call.text
    assert "slack channel month 85 % told at 80 % 850 of 1,000 $0.2500 of any" in (
        page.text
    )
    assert "state fair" in page.html
    assert "Used and settled 850 $0.2500" in one.text


async def test_a_long_list_ends_and_a_search_finds_the_rest(
    ada: Browser,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        listing,
        "MOST",
        1,
    )
    await ada.sign_in("ada", "viewer")
    for name in ("slack", "telegram"):
        await budgets(ada).set(
            "channel",
            name,
            1000,
            None,
            HERE,
        )
    first = await ada.get("/limits")
    found = await ada.get("/limits?q=TELE")
    [more] = [one for one in first.links if "after=" in one]
    rest = await ada.get(more)

    assert ("slack channel" in first.text, "telegram channel" in first.text) == (
        True,
        False,
    )
    assert "telegram channel day" in rest.text
    assert [] == [one for one in rest.links if "after=" in one]
    assert "telegram channel day" in found.text
    assert "slack channel" not in found.text


BAD: tuple[tuple[dict[str, str], str], ...] = (
    ({}, 'Fill in "Tokens, read and written" or "US dollars".'),
    ({"tokens": "many"}, "no number of tokens"),
    ({"tokens": "-1"}, "Tokens go from 0"),
    ({"usd": "cheap"}, "is no amount"),
    ({"usd": "0.000000001"}, "at most eight decimals"),
    ({"tokens": "none"}, "neither tokens nor US dollars"),
)


async def test_what_is_no_budget_is_a_sentence(
    ada: Browser,
) -> None:
    await ada.sign_in("ada")
    page = await ada.get(SLACK)
    for fields, sentence in BAD:
        sent = {"csrf": page.csrf, "version": page.version, "do": "set", **fields}
        refused = await ada.post(SLACK, sent)

        assert (422, True) == (refused.status, sentence in refused.text), refused.text
    assert [] == await stored(ada)


QUESTIONS = (
    (SLACK, {"usd": "5"}, "Set $5.00 a month for everybody on slack?"),
    (SLACK, {"usd": "0.00001"}, "Set $0.00001 a month for everybody on slack?"),
    (
        SLACK,
        {"tokens": "5000", "usd": "none"},
        "Set 5,000 tokens and any US dollars a month for everybody on slack?",
    ),
    (
        EACH,
        {"usd": "2.5"},
        "Set $2.50 a day for each person without one of their own?",
    ),
)


@pytest.mark.parametrize(("path", "fields", "question"), QUESTIONS)
async def test_the_question_says_what_will_be_so_and_leads_back(
    ada: Browser, path: str, fields: dict[str, str], question: str
) -> None:
    """Back on the form, what was typed is still there."""
    await ada.sign_in("ada")
    page = await ada.get(path)
    sent = {"csrf": page.csrf, "version": page.version, "do": "set", **fields}
    asked = await ada.post(path, {**sent, "reason": "thrift"})
    back = await ada.send(asked, asked.form(path).action, back="yes")

    assert question in asked.text
    assert 200 == back.status
    for name, value in {**fields, "reason": "thrift"}.items():
        assert f'name="{name}" value="{value}"' in back.html
    assert [] == await stored(ada)


async def test_nothing_and_any_are_two_things(
    ada: Browser,
) -> None:
    """A budget of 0 is one; `none` takes one half away; an empty field leaves it."""
    await ada.sign_in("ada")
    page = await ada.get(SLACK)
    nothing = await send(
        ada,
        page,
        "set",
        tokens="0",
        usd="1",
    )
    halves = await send(
        ada,
        nothing,
        "set",
        usd="none",
    )
    [budget] = await stored(ada)

    assert "Set: 0 tokens, $1.00 a month." in nothing.text
    assert "Set: 0 tokens, any US dollars a month." in halves.text
    assert (0, None) == (budget.tokens, budget.usd)
    assert "100 %" in (await ada.get("/limits")).text


async def test_a_limit_of_a_person_is_set_reset_and_taken_back(
    ada: Browser,
) -> None:
    await ada.sign_in("ada")
    path = await eve(ada)
    page = await ada.get(path)
    wrong = await send(
        ada,
        page,
        "set",
        limit="often",
    )
    made = await send(
        ada,
        page,
        "set",
        limit="5/10s",
        reason="noise",
    )
    listed = await ada.get("/limits?q=u1")
    reset = await send(
        ada,
        made,
        "reset",
    )
    back = await send(
        ada,
        reset,
        "unset",
    )
    log = await run(
        ada.services.stores.database.url,
        "SELECT actor, action, reason FROM audit_log WHERE subject LIKE 'person:%'",
    )
    admin = LimitAdmin(ada.services.stores.database, ada.services.stores.pipe)
    [limit] = await admin.person("slack:U1")

    assert "60/minute the channel" in page.text
    assert (422, True) == (wrong.status, "is no limit" in wrong.text)
    assert 'value="often"' in wrong.html
    assert "Set: 5/10s, instead of the channel's limit." in made.text
    assert "5/10s their own" in made.text
    assert "slack:U1 5/10s" in listed.text
    assert "may speak again" in reset.text
    assert "5/10s no longer holds, the channel's limit does." in back.text
    assert (True, "60/minute") == (limit.default, str(limit.limit))
    assert [("limit.set", "noise"), ("limit.reset", None), ("limit.set", None)] == [
        (row[1], row[2]) for row in log
    ]


async def test_stale_forms_are_a_sentence_and_change_nothing(
    ada: Browser,
) -> None:
    await ada.sign_in("ada")
    path = await eve(ada)
    await register(
        ada.services,
        "bob",
        "operator",
    )
    budget, limit = await ada.get(SLACK), await ada.get(path)
    await budgets(ada).set(
        "channel",
        "slack",
        7,
        None,
        BOB,
        period="month",
    )
    admin = LimitAdmin(ada.services.stores.database, ada.services.stores.pipe)
    await admin.set(
        "slack:U1",
        "7/minute",
        BOB,
    )
    stale = [
        await send(
            ada,
            budget,
            "set",
            tokens="9",
        ),
        await send(
            ada,
            budget,
            "unset",
        ),
        await send(
            ada,
            limit,
            "set",
            limit="9/minute",
        ),
        await send(
            ada,
            limit,
            "unset",
        ),
    ]

    for page in stale:
        assert (409, True) == (page.status, "was changed meanwhile" in page.text)
    assert [7] == [view.tokens for view in await stored(ada)]
    assert ["7/minute"] == [str(one.limit) for one in await admin.person("slack:U1")]


async def test_a_viewer_sees_and_changes_nothing(
    ada: Browser,
) -> None:
    csrf = (await ada.sign_in("ada", "viewer")).csrf
    path = await eve(ada)
    for each in (SLACK, path):
        shown = await ada.get(each)
        sent = {
            "csrf": csrf,
            "do": "set",
            "tokens": "5",
            "limit": "5/minute",
        }
        refused = await ada.post(
            each,
            {
                **sent,
                "version": "0",
            },
        )

        actions = [one.action for one in shown.forms if "csrf" in one.fields]
        assert (200, ["/sign-out"], 403) == (shown.status, actions, refused.status)
    assert [] == await stored(ada)
    assert [] == await run(
        ada.services.stores.database.url,
        "SELECT FROM audit_log WHERE action LIKE 'limit.%' OR action LIKE 'budget.%'",
    )


async def test_what_people_call_themselves_is_shown_harmlessly(
    ada: Browser,
) -> None:
    await ada.sign_in("ada")
    await eve(ada, HARM)
    await budgets(ada).set(
        "person",
        EVE,
        5,
        None,
        ADA,
    )
    admin = LimitAdmin(ada.services.stores.database, ada.services.stores.pipe)
    await admin.set(
        EVE,
        "5/minute",
        ADA,
    )
    budget = f"/limits/budget?scope=person&period=day&subject={EVE}"
    for path in ("/limits", budget, f"/limits/person?person={EVE}"):
        page = await ada.get(path)
        assert "&lt;script&gt;" in page.html, path
        assert "<script>alert" not in page.html, path
        assert "\u202e" not in page.html, path
    for path in (f"/limits?q={HARM}", f"/limits/person?person={HARM}"):
        assert "<script>alert" not in (await ada.get(path)).html, path


NOWHERE: tuple[tuple[str, str], ...] = (
    ("/limits/budget", "Say whose budget"),
    ("/limits/budget?scope=x&period=day&subject=%2A", "Say whose budget"),
    ("/limits/budget?scope=channel&period=day&subject=slck", "mean slack?"),
    ("/limits/budget?scope=person&period=day&subject=slack:no", "No such person"),
    ("/limits/person", "Say whose limit"),
    ("/limits/person?person=slack:no", "No such person"),
)


async def test_what_there_is_not_is_a_sentence(
    ada: Browser,
) -> None:
    await ada.sign_in("ada")
    for path, sentence in NOWHERE:
        page = await ada.get(path)

        assert (404, True) == (page.status, sentence in page.text), page.text
