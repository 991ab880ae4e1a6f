"""Flags in the console: by the same functions as the commands, with the operator's name."""

from __future__ import annotations

import pytest

from agent.control.about import About
from agent.control.flags import Kind, new_flag
from storage.control.targets import RuleTarget, target_of
from tests.support.browser import Browser, Page, register
from tests.support.operators import ADA, BOB
from tests.support.settings import run

PATH = "/flags/replies"
HARM = "<script>alert(1)</script>\u202eevil"


async def change(ada: Browser, page: Page, **fields: str) -> Page:
    """Sends what the form to set a rule would."""
    csrf = next(form for form in page.forms if "csrf" in form.fields).fields["csrf"]
    version = next(
        form.fields["version"] for form in page.forms if "version" in form.fields
    )
    sent = {"csrf": csrf, "version": version, **fields}

    return await ada.post(page.response.url.path, sent)


async def agree(ada: Browser, page: Page) -> Page:
    return await ada.send(page, page.response.url.path)


async def test_flags_are_listed_and_found(ada: Browser) -> None:
    await ada.sign_in("ada")
    await ada.services.flags.set("replies", RuleTarget(channel="slack"), False, ADA)
    every = await ada.get("/flags")
    found = await ada.get("/flags?q=REPL")
    none = await ada.get("/flags?q=nothing+is+called+so")

    assert "replies" in every.text
    assert "streaming" in every.text
    assert "channel:slack false" in found.text
    assert "streaming" not in found.text
    assert "No flag has this" in none.text


async def test_a_toggle_asks_first_and_says_what_it_did(ada: Browser) -> None:
    await ada.sign_in("ada")
    page = await ada.get(PATH)
    asked = await change(ada, page, do="set", value="off", reason="an alarm")
    untouched = await ada.services.flags.get("replies")
    done = await agree(ada, asked)
    log = await run(
        ada.services.stores.database.url,
        "SELECT actor, action, reason, origin FROM audit_log ORDER BY id DESC LIMIT 1",
    )

    assert "Switch off for everybody" in page.text
    assert "Set replies to 'off' for everybody?" in asked.text
    assert {} == dict(untouched.rules)
    assert "replies: global unset → false" in done.text
    assert "Switch on for everybody" in done.text
    assert [("ada", "flag.set", "an alarm", "console from 192.0.2.7")] == [
        tuple(row) for row in log
    ]


async def test_what_is_for_some_is_done_at_once_and_undone(ada: Browser) -> None:
    await ada.sign_in("ada")
    made = await change(
        ada, await ada.get(PATH), do="set", value="off", channels="slack telegram"
    )
    assert "rule:slack_telegram" in made.text
    entry = (await ada.services.flags.history("replies", 1))[0].id
    asked = await change(ada, made, do="undo", change=str(entry))
    undone = await agree(ada, asked)

    assert "Change replies back for everybody: " in asked.text
    assert "Everybody gets the default" in undone.text.replace(
        "everybody", "Everybody"
    )
    assert {} == dict((await ada.services.flags.get("replies")).rules)


@pytest.mark.parametrize(
    "target",
    [
        RuleTarget(channel="slack"),
        RuleTarget(channel="slack", chat="C1:2"),
        RuleTarget(),
        RuleTarget(kill=True),
        RuleTarget(percentage=5.0),
    ],
)
async def test_each_rule_can_be_removed(ada: Browser, target: RuleTarget) -> None:
    await ada.sign_in("ada")
    flags = ada.services.flags
    await flags.set("replies", target, False, ADA)
    [scope] = (await flags.get("replies")).rules
    page = await change(ada, await ada.get(PATH), do="unset", scope=scope)
    done = page if "unset" in page.text else await agree(ada, page)

    assert "→ unset" in done.text
    assert {} == dict((await flags.get("replies")).rules)
    assert target_of(scope) in (target, RuleTarget(percentage=0.0))


async def test_a_stale_form_says_what_changed_and_by_whom(ada: Browser) -> None:
    """Nothing is changed; the form comes back with what was typed, to the new version."""
    await ada.sign_in("ada")
    await register(ada.services, "bob", "operator")
    page = await ada.get(PATH)
    await ada.services.flags.set("replies", RuleTarget(channel="slack"), False, BOB)
    stale = await change(
        ada, page, do="set", value="false", channels="telegram", reason="mine"
    )
    kept = dict((await ada.services.flags.get("replies")).rules)
    again = await change(ada, stale, do="set", value="false", channels="telegram")

    assert 409 == stale.status
    assert "was changed meanwhile (bob: channel:slack unset → false)" in stale.text
    assert 'value="mine"' in stale.html
    assert {"channel:slack": False} == kept
    assert "channel:telegram unset → false" in again.text


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"do": "set", "value": "perhaps"}, "replies takes"),
        ({"do": "set", "value": "off", "chat": "5"}, 'Fill in "Channel".'),
        ({"do": "set", "value": "off", "people": "slack:nobody"}, "No such person"),
        ({"do": "set", "value": "off", "channels": "slck"}, "Did you mean slack?"),
        ({"do": "set", "value": "off", "percentage": "x"}, "A share is a number"),
        ({"do": "set", "value": "off", "starts": "soon"}, "A moment looks like"),
        ({"do": "set", "value": "off", "ends": "2100-01-01", "for": "1h"}, "one end"),
        (
            {"do": "set", "value": "off", "reason": "a\nb", "channels": "slack"},
            "A reason",
        ),
        ({"do": "set", "by_default": "yes"}, "Only a kill switch"),
        ({"do": "unset", "scope": "nothing"}, "There is no such rule."),
        ({"do": "undo", "change": "4711"}, "There is no such change"),
        ({"do": "dance"}, "The form does not say what to do."),
        ({}, "The form does not say what to do."),
    ],
)
async def test_what_cannot_be_is_a_sentence_and_changes_nothing(
    ada: Browser, fields: dict[str, str], sentence: str
) -> None:
    await ada.sign_in("ada")
    page = await ada.get(PATH)
    refused = await change(ada, page, **fields)

    assert (422, True) == (refused.status, sentence in refused.text), refused.text
    assert {} == dict((await ada.services.flags.get("replies")).rules)


async def test_what_somebody_gets_is_explained(ada: Browser) -> None:
    await ada.sign_in("ada")
    await ada.services.flags.set("replies", RuleTarget(channel="slack"), False, ADA)
    page = await ada.get(f"{PATH}?ask=yes&channel=slack")
    wrong = await ada.get(f"{PATH}?ask=yes&channel=slck")
    later = await ada.get(f"{PATH}?ask=yes&at=2999-01-01")

    assert "They get false , because of the rule channel" in page.text
    assert "Did you mean slack?" in wrong.text
    assert "That time is in the future." in later.text


async def test_a_viewer_sees_and_changes_nothing(ada: Browser) -> None:
    page = await ada.sign_in("ada", "viewer")
    csrf = page.form("/sign-out").fields["csrf"]
    shown = await ada.get(PATH)
    refused = await ada.post(PATH, {"csrf": csrf, "do": "set", "value": "off"})

    assert ["/sign-out"] == [
        form.action for form in shown.forms if "csrf" in form.fields
    ]
    assert (403, True) == (
        refused.status,
        "ada has the role viewer and may not change anything" in refused.text,
    )
    assert {} == dict((await ada.services.flags.get("replies")).rules)


async def test_what_operators_wrote_is_shown_harmlessly(ada: Browser) -> None:
    await ada.sign_in("ada")
    flags = ada.services.flags
    await flags.create(new_flag("odd", Kind.STRING, "odd"), HARM, ADA)
    await flags.set("odd", RuleTarget(channel="slack"), HARM, ADA)
    await flags.describe("odd", About("ada", ("tests",)), ADA)
    for path in ("/flags", "/flags/odd", "/"):
        page = await ada.get(path)
        assert "&lt;script&gt;" in page.html, path
        assert "<script>alert" not in page.html, path
        assert "\u202e" not in page.html, path
    for path in (f"/flags?q={HARM}", f"/flags/odd?ask=yes&person={HARM}"):
        assert "<script>alert" not in (await ada.get(path)).html, path


async def test_a_flag_that_there_is_not(ada: Browser) -> None:
    await ada.sign_in("ada")
    page = await ada.get("/flags/replys")

    assert (404, True) == (page.status, "Did you mean replies?" in page.text)
