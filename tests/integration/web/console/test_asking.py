"""What concerns many is checked, then asked about: nobody agrees to what is then refused."""

from __future__ import annotations

import re

import pytest

from storage.control.targets import RuleTarget
from tests.support.browser import HERE, Browser, Page
from tests.support.settings import run

FLAG = "/flags/replies"
CHANNEL = "/channels/slack"
BUDGET = "/limits/budget?scope=channel&period=month&subject=slack"

FORMS = (
    (FLAG, {"do": "set", "value": "off"}),
    (CHANNEL, {"overlap": "queue", "was.overlap": "merge"}),
    (BUDGET, {"do": "set", "usd": "5"}),
)

ODD: tuple[tuple[str, dict[str, str], int, str], ...] = (
    *((path, {"reason": "a\u202eb"}, 422, "reason") for path, _ in FORMS),
    *((path, {"version": "4711"}, 409, "was changed meanwhile") for path, _ in FORMS),
    (FLAG, {"value": "perhaps"}, 422, "replies"),
    (CHANNEL, {"overlap": "nonsense"}, 422, "overlap"),
    (BUDGET, {"usd": "-1"}, 422, "US dollars go from 0"),
    (BUDGET, {"tokens": "many"}, 422, "no number of tokens"),
    (BUDGET, {"do": "unset"}, 422, "has no budget of its own"),
)


async def filled(ada: Browser, path: str, **fields: str) -> Page:
    """The form of a page, sent with what is asked about, and with these fields."""
    page = await ada.get(path)
    sent = {"csrf": page.csrf, "version": page.version, **dict(FORMS)[path], **fields}

    return await ada.post(path, sent)


async def traces(ada: Browser) -> tuple[object, ...]:
    [row] = await run(
        ada.services.stores.database.url,
        "SELECT (SELECT count(*) FROM audit_log WHERE subject NOT LIKE 'operator:%'),"
        " (SELECT count(*) FROM budgets), (SELECT count(*) FROM feature_flags),"
        " (SELECT max(epoch) FROM control_epoch)",
    )

    return tuple(row)


@pytest.mark.parametrize(("path", "fields"), FORMS)
async def test_a_question_leaves_no_trace(
    ada: Browser, path: str, fields: dict[str, str]
) -> None:
    await ada.sign_in("ada")
    before = await traces(ada)
    asked = await filled(ada, path)

    assert "agreed" in asked.html, asked.text
    assert {**fields}.items() <= asked.form(path).fields.items()
    assert before == await traces(ada)


@pytest.mark.parametrize(("path", "fields", "status", "sentence"), ODD)
async def test_what_is_refused_is_refused_before_anybody_is_asked(
    ada: Browser, path: str, fields: dict[str, str], status: int, sentence: str
) -> None:
    await ada.sign_in("ada")
    before = await traces(ada)
    refused = await filled(ada, path, **fields)

    assert (status, False) == (refused.status, "agreed" in refused.html), refused.text
    [problem] = re.findall('role="alert">(.*?)</p>', refused.html)
    assert sentence in problem
    assert before == await traces(ada)


@pytest.mark.parametrize("path", [FLAG, CHANNEL, BUDGET])
async def test_no_leads_back_to_what_was_typed(ada: Browser, path: str) -> None:
    await ada.sign_in("ada")
    asked = await filled(ada, path, reason="an alarm")
    back = await ada.send(asked, path, back="yes")

    assert (200, False) == (back.status, "agreed" in back.html)
    assert 'value="an alarm"' in back.html


async def test_what_changed_while_somebody_was_asked_is_said(ada: Browser) -> None:
    """The answer is checked once more."""
    await ada.sign_in("ada")
    asked = await filled(ada, FLAG)
    await ada.services.flags.set("replies", RuleTarget(channel="slack"), False, HERE)
    late = await ada.send(asked, FLAG)

    assert (409, True) == (late.status, "was changed meanwhile" in late.text)
