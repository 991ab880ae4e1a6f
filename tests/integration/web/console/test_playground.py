"""The playground: a prompt is built as for a chat, and is sent and stored nowhere."""

from __future__ import annotations

import asyncio
import json
from contextlib import ExitStack, suppress
from decimal import Decimal
from unittest.mock import AsyncMock

import pytest

from agent.control.permissions import PERMISSIONS, Permission, Role
from agent.conversation import trial
from agent.core.completion import Spent
from agent.web.console.pages import playground
from storage.control.audit import Author
from storage.control.flags import FlagAdmin
from storage.conversation.operating.trials import note_cost
from storage.postgres import open_database
from tests.support.browser import Browser, Page
from tests.support.engine_harness import EngineHarness, Instance, Script
from tests.support.operators import EVERYBODY
from tests.support.settings import run, set_channel

HARM = "<script>alert(1)</script>\u202eevil"
STORED = (
    "SELECT (SELECT count(*) FROM messages), (SELECT count(*) FROM turns),"
    " (SELECT count(*) FROM budget_days), (SELECT count(*) FROM budget_reservations)"
)


def script(ada: Browser) -> Script:
    models = ada.services.models
    assert isinstance(models, Script)

    return models


async def ask(ada: Browser, do: str = "ask", **fields: str) -> Page:
    page = await ada.get("/playground")

    return await ada.send(page, "/playground", **{"do": do, "text": "Why?", **fields})


async def counts(database_url: str) -> tuple[int, ...]:
    return tuple((await run(database_url, STORED))[0])


async def test_an_answer_is_shown_with_its_cost_and_stored_nowhere(
    ada: Browser, database_url: str
) -> None:
    await ada.sign_in("ada", "operator")
    before = await counts(database_url)
    built = await ask(ada, "build")
    asked_for_it = len(script(ada).prompts)
    page = await ask(ada)
    entry, answer = await run(
        database_url,
        "SELECT actor, action, after FROM audit_log WHERE subject = 'playground'"
        " ORDER BY id",
    )

    assert (200, 0) == (built.status, asked_for_it)
    assert "You are a helpful assistant." in built.text
    assert "re: Why?" in page.text
    for label in ("system", "user", "The answer"):  # keys scroll them, too
        assert f'aria-label="{label}" tabindex="0">' in page.html
    assert "cost $" in page.text or "cost unknown" in page.text
    assert before == await counts(database_url)
    assert "ada" == entry["actor"]
    assert ("playground.ask", "playground.answer") == (
        entry["action"],
        answer["action"],
    )
    assert {"models"} == {*json.loads(entry["after"])}
    assert {"models", "usd"} == {*json.loads(answer["after"])}
    assert "Why?" not in entry["after"] + answer["after"]


@pytest.mark.parametrize("cost", ["0.00000000", "0.00000001"])
async def test_the_log_has_a_cost_with_all_its_digits(
    database_url: str, cost: str
) -> None:
    author = Author("ada", "a test")
    async with open_database(database_url) as database:
        await note_cost(database, author, ["a:b"], Decimal(cost))
    (noted,) = await run(database_url, "SELECT after FROM audit_log")

    assert cost == json.loads(noted["after"])["usd"]


async def test_a_call_that_is_cut_off_is_in_the_log(
    ada: Browser, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def cut_off(*_: object) -> None:
        raise asyncio.CancelledError

    await ada.sign_in("ada", "operator")
    monkeypatch.setattr(playground, "try_out", cut_off)
    with suppress(asyncio.CancelledError):
        await ask(ada)
    rows = await run(
        database_url, "SELECT action FROM audit_log WHERE subject = 'playground'"
    )

    assert ["playground.ask"] == [row["action"] for row in rows]


async def test_an_operator_has_two_calls_at_once_and_the_process_a_few(
    ada: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond that it is a sentence, with what was typed; each call ends its place."""
    calls = playground.Calls()
    monkeypatch.setattr(playground, "CALLS", calls)
    await ada.sign_in("ada", "operator")
    with calls.taken("ada", 1):
        fits, refused = await ask(ada), await ask(ada, two="yes")
    with ExitStack() as others:
        for number in range(playground.PER_PROCESS):
            assert others.enter_context(calls.taken(str(number), 1)) == ""
        busy = await ask(ada)
    free = await ask(ada, two="yes")

    assert (200, 429, 429, 200) == (
        fits.status,
        refused.status,
        busy.status,
        free.status,
    )
    assert "You have 2 calls to models under way" in refused.text
    assert "Why?" in refused.html
    assert "6 calls to models are under way here" in busy.text


async def test_without_the_names_of_models_the_page_is_there(
    ada: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = AsyncMock(side_effect=OSError("gone"))
    monkeypatch.setattr(playground, "models_named", failing)
    await ada.sign_in("ada", "operator")

    assert 200 == (await ada.get("/playground")).status


async def test_lines_end_in_a_prompt_as_they_do_in_a_chat(ada: Browser) -> None:
    """Browsers send two characters at each end."""
    await ada.sign_in("ada", "operator")
    fields = {"text": "One.\r\nTwo.", "system.a": "Be\r\nbrief."}
    await ask(ada, **fields)
    (prompt,) = script(ada).prompts

    assert ("One.\nTwo.", True) == (
        prompt.messages[-1][1],
        prompt.system.startswith("Be\nbrief."),
    )


async def test_two_variants_stand_side_by_side_each_with_its_own_rules(
    ada: Browser, world: EngineHarness, agent: Instance, database_url: str
) -> None:
    """The prompt is the one that a turn on that channel builds."""
    await set_channel(database_url, system_prompt="Be brief.")
    await agent.ports.control_updates.observe(-1)
    await world.ask(agent, "Why?")
    await ada.sign_in("ada", "operator")
    page = await ask(
        ada,
        two="yes",
        **{
            "channel.a": "test",
            "person.a": "test:ada",
            "model.b": "test:other",
            "system.b": "Be <b>verbose</b>.",
            "flags.b": "temperature = 0.5\n\nreasoning_effort=low",
        },
    )
    (one, other) = script(ada).prompts

    assert world.model.prompts[0] == one, page.text
    assert ("Be <b>verbose</b>.", 0.5, "low") == (
        other.system,
        other.tuning.temperature,
        other.tuning.effort,
    )
    assert {"test:other", ada.services.settings.model} == {*script(ada).asked}
    assert page.text.index("Variant A") < page.text.rindex("Variant B")


async def test_a_model_that_fails_is_a_sentence_and_unknown_use_is_unknown(
    ada: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ada.sign_in("ada", "operator")
    script(ada).error = "test:model cannot be reached."
    script(ada).spent = [Spent(None, again=True)]
    failed = await ask(ada)
    script(ada).error, script(ada).spent = None, []
    monkeypatch.setattr(trial, "SECONDS", 0.05)
    script(ada).hold()
    late = await ask(ada)

    assert (200, True) == (failed.status, "cannot be reached" in failed.text)
    assert "cost unknown" in failed.text
    assert "was broken off" in late.text
    assert "cost unknown" in late.text


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"text": " "}, "?"),
        ({"model.a": "nobody:knows"}, "There are test:model"),
        ({"person.a": "test:nobody"}, "has"),
        ({"channel.a": "nowhere"}, "channel"),
        ({"chat.a": "7"}, "chat"),
        ({"flags.a": "temprature = 1"}, "Did you mean temperature?"),
        ({"flags.a": "temperature = warm"}, "temperature takes"),
    ],
)
async def test_what_cannot_be_asked_is_a_sentence_with_what_was_typed(
    ada: Browser, fields: dict[str, str], sentence: str
) -> None:
    await ada.sign_in("ada", "operator")
    page = await ask(ada, **fields)

    assert (422, []) == (page.status, script(ada).prompts)
    assert 'role="alert"' in page.html
    assert sentence in page.text


async def test_no_model_is_asked_where_replies_are_off(
    ada: Browser, database_url: str
) -> None:
    await ada.sign_in("ada", "operator")
    flags: FlagAdmin = ada.services.flags
    await flags.set("replies", EVERYBODY, False, Author("ada", "a test"))
    page = await ask(ada)

    assert "No model is asked" in page.text
    assert [] == script(ada).prompts


async def test_texts_are_harmless(ada: Browser) -> None:
    await ada.sign_in("ada", "operator")
    page = await ask(ada, text=HARM, **{"system.a": HARM, "model.a": HARM})
    asked = await ask(ada, text=HARM, **{"system.a": HARM})

    for each in (page, asked):
        assert "<script>alert" not in each.html
    assert "[U+202E]evil" in asked.text


async def test_a_viewer_may_not_spend_money(ada: Browser) -> None:
    home = await ada.sign_in("ada", "viewer")
    csrf = home.form("/sign-out").fields["csrf"]
    seen = await ada.get("/playground")
    sent = await ada.post("/playground", {"csrf": csrf, "text": "x", "do": "ask"})

    assert (403, 403) == (seen.status, sent.status)
    assert "/playground" not in home.links
    assert [] == script(ada).prompts
    assert Permission.SPEND not in PERMISSIONS[Role.VIEWER]
