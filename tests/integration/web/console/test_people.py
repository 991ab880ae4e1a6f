"""People in the console: found, shown, blocked, handed their data, forgotten."""

from __future__ import annotations

import json
from uuid import UUID

import pytest

from storage.lifecycle.erasure import Stores
from storage.people import listing
from tests.support.browser import HOME, Browser, Page
from tests.support.engine_harness import EngineHarness, Instance
from tests.support.erasures import to_the_end
from tests.support.settings import run, set_channel

HARM = "<script>alert(1)</script>\u202eevil"
LINKED = (
    "UPDATE users SET person_id = (SELECT id FROM users WHERE channel_user_id = $1)"
)


async def person(world: EngineHarness, account: str = "ada") -> UUID:
    rows = await run(
        world.database_url,
        "SELECT person_id FROM users WHERE channel_user_id = $1",
        account,
    )

    return UUID(str(rows[0]["person_id"]))


def people(page: Page) -> list[str]:
    return [link for link in page.links if link.startswith("/people/0")]


async def test_people_are_listed_and_found(
    ada: Browser, world: EngineHarness, agent: Instance
) -> None:
    await world.ask(agent, "hello", chat="ada")
    await world.ask(agent, "hello", chat="Bobby")
    await ada.sign_in("ada", "viewer")
    bob = f"/people/{await person(world, 'Bobby')}"
    every = await ada.get("/people")

    assert people(every) == [bob, f"/people/{await person(world)}"]
    assert [bob] == people(await ada.get("/people?q=bOBB"))
    assert "Nobody of this name" in (await ada.get("/people?q=carol")).text
    for exact in ("test:Bobby", bob.removeprefix("/people/")):
        assert bob == (await ada.get(f"/people?q={exact}")).path
    assert 200 == (await ada.get("/people?q=test:nobody")).status
    assert 200 == (await ada.get("/people?q=%00:x")).status


async def test_everybody_is_on_one_page(
    ada: Browser,
    world: EngineHarness,
    agent: Instance,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(listing, "PAGE", 2)
    monkeypatch.setattr(listing, "WALK", 3)
    for number in range(6):
        await world.ask(agent, "hello", chat=f"p{number}")
    await run(world.database_url, f"{LINKED} WHERE channel_user_id = 'p5'", "p2")
    await ada.sign_in("ada")
    seen, path = [], "/people"
    while path:
        page = await ada.get(path)
        seen += people(page)
        path = next((link for link in page.links if "before=" in link), "")

    everybody = [f"/people/{await person(world, f'p{n}')}" for n in (4, 3, 2, 1, 0)]
    assert everybody == seen


async def test_a_person_is_shown_on_all_accounts(
    ada: Browser, world: EngineHarness, agent: Instance
) -> None:
    await world.ask(agent, "hello", chat="ada")
    await world.ask(agent, "hello", chat="ada2")
    await run(world.database_url, f"{LINKED} WHERE channel_user_id = 'ada2'", "ada")
    await run(
        world.database_url,
        "INSERT INTO budgets (scope, subject, period, tokens)"
        " VALUES ('person', '*', 'day', 500), ('person', $1, 'month', 9000)",
        str(await person(world)),
    )
    await run(
        world.database_url, 'UPDATE users SET metadata = \'{"limit": "7/minute"}\''
    )
    await ada.sign_in("ada", "viewer")
    page = await ada.get(f"/people/{await person(world)}")

    for part in (
        *("test:ada (ada), test:ada2 (ada2)", "2 messages kept", "7/minute"),
        *("linked to one person", "day 0 of 500", "of everybody"),
        *("month 0 of 9,000", "their own", "Messages 2", "Answers 2", "not allowed"),
    ):
        assert part in page.text, (part, page.text)


async def test_blocking_is_the_channels_list_and_stale_forms_change_nothing(
    ada: Browser, world: EngineHarness, agent: Instance
) -> None:
    await world.ask(agent, "hello")
    await set_channel(world.database_url, deny=["somebody"])
    await ada.sign_in("ada", "operator")
    path = f"/people/{await person(world)}"
    page = await ada.get(path)
    blocked = await ada.send(page, path, do="block", reason="spam")
    stale = await ada.send(page, path, do="unblock")
    await agent.ports.control_updates.observe(-1)
    await agent.engine.accept(world.message("are you there?"))
    denied = agent.ports.control.channel("test").deny
    unblocked = await ada.send(stale, path, do="unblock")
    log = await run(
        world.database_url,
        "SELECT actor, action, reason FROM audit_log WHERE subject = 'channel:test'",
    )
    left = await run(world.database_url, "SELECT settings FROM channel_configs")

    assert "no longer hears" in blocked.text
    assert "May write" in page.text
    assert (True, False) == ("state good" in page.html, "state bad" in page.html)
    assert "state bad" in blocked.html
    assert (409, True) == (stale.status, "test was changed meanwhile" in stale.text)
    assert {"somebody", "ada"} == denied
    assert 1 == len(world.model.prompts)
    assert "No longer blocked" in unblocked.text
    assert [("ada", "channel.set", "spam"), ("ada", "channel.set", None)] == [
        tuple(row) for row in log
    ]
    assert {"deny": ["somebody"]} == json.loads(left[0]["settings"])


async def test_a_channel_that_runs_and_was_never_set_can_be_blocked(
    ada: Browser, world: EngineHarness, agent: Instance
) -> None:
    await world.ask(agent, "hello")
    await ada.sign_in("ada", "operator")
    path = f"/people/{await person(world)}"
    blocked = await ada.send(await ada.get(path), path, do="block")
    left = await run(world.database_url, "SELECT settings FROM channel_configs")

    assert (200, True) == (blocked.status, "no longer hears" in blocked.text)
    assert {"deny": ["ada"]} == json.loads(left[0]["settings"])


async def test_an_account_of_a_channel_that_is_no_more_keeps_nobody_from_blocking(
    ada: Browser, world: EngineHarness, agent: Instance
) -> None:
    await world.ask(agent, "hello", chat="ada")
    await world.ask(agent, "hello", chat="ada2")
    await set_channel(world.database_url)
    await run(
        world.database_url,
        f"{LINKED}, channel_type = 'gone' WHERE channel_user_id = 'ada2'",
        "ada",
    )
    await ada.sign_in("ada", "operator")
    path = f"/people/{await person(world)}"
    blocked = await ada.send(await ada.get(path), path, do="block")
    left = await run(world.database_url, "SELECT settings FROM channel_configs")

    assert (200, True) == (blocked.status, "no longer hears" in blocked.text)
    assert "the channel is no more" in blocked.text
    assert {"deny": ["ada"]} == json.loads(left[0]["settings"])


async def test_an_export_is_a_file_and_an_audit_row(
    ada: Browser, world: EngineHarness, agent: Instance
) -> None:
    await world.ask(agent, HARM)
    await ada.sign_in("ada")
    path = f"/people/{await person(world)}"
    page = await ada.get(path)
    file = await ada.send(page, f"{path}/export", reason="as they asked")
    text = await ada.send(page, f"{path}/export", **{"as": "text"})
    log = await run(
        world.database_url,
        "SELECT actor, action, subject FROM audit_log WHERE action = 'person.export'",
    )
    found = json.loads(file.html)

    assert HARM in [one["text"] for one in found["messages"]]
    for each, kind in ((file, "application/json"), (text, "text/plain")):
        headers = each.response.headers
        assert headers["content-disposition"].startswith("attachment; ")
        assert headers["content-type"] == f"{kind}; charset=utf-8"
        assert headers["x-content-type-options"] == "nosniff"
    assert [("ada", "person.export", f"person:{await person(world)}")] * 2 == [
        tuple(row) for row in log
    ]
    assert path == (await ada.get(f"{path}/export")).path


async def test_a_person_is_erased_after_typing_an_account(
    ada: Browser, world: EngineHarness, agent: Instance
) -> None:
    await world.ask(agent, "forget me")
    await ada.sign_in("ada")
    path = f"/people/{await person(world)}"
    asked = await ada.get(f"{path}/erase")
    wrong = await ada.send(asked, f"{path}/erase", account="test:adam")
    begun = await ada.send(
        wrong, f"{path}/erase", account="test:ada", reason="as they asked"
    )
    twice = await ada.send(asked, f"{path}/erase", account="test:ada")
    await to_the_end(Stores(agent.database, agent.pipe, HOME))
    done = await ada.get(begun.path)

    assert "To go on, type test:ada ." in asked.text
    assert (422, True) == (wrong.status, "nothing was erased" in wrong.text)
    assert "step 1 of 7, messages" in begun.text
    assert 'hx-trigger="every 2s"' in begun.html
    assert (422, True) == (twice.status, "being erased already" in twice.text)
    assert "this person is forgotten" in done.text
    assert "hx-trigger" not in done.html
    assert 404 == (await ada.get(path)).status
    assert begun.path in (await ada.get("/people/erasures")).links
    assert [] == await run(world.database_url, "SELECT FROM users")
    log = await run(
        world.database_url,
        "SELECT actor, action, reason FROM audit_log WHERE subject LIKE 'erasure:%'",
    )
    assert [
        ("ada", "person.erase.asked", "as they asked"),
        ("ada", "person.erase", None),
    ] == [tuple(row) for row in log]


@pytest.mark.parametrize("role", ["viewer", "operator"])
async def test_who_may_not_changes_and_takes_nothing(
    ada: Browser, world: EngineHarness, agent: Instance, role: str
) -> None:
    await world.ask(agent, "my secret")
    csrf = (await ada.sign_in("ada", role)).form("/sign-out").fields["csrf"]
    path = f"/people/{await person(world)}"
    page = await ada.get(path)
    sent = {"csrf": csrf, "account": "test:ada"}
    refused = [await ada.post(f"{path}/{each}", sent) for each in ("export", "erase")]
    refused.append(await ada.get(f"{path}/erase"))
    block = await ada.post(path, {"csrf": csrf, "do": "dance"})

    assert "Export" not in page.text
    assert ("Block" in page.text) == (role == "operator")
    assert [403] * 3 == [each.status for each in refused]
    assert (403 if role == "viewer" else 422) == block.status
    assert "secret" not in " ".join(each.html for each in [page, *refused])
    assert [] == await run(world.database_url, "SELECT FROM erasures")


async def test_what_people_call_themselves_is_shown_harmlessly(
    ada: Browser, world: EngineHarness, agent: Instance
) -> None:
    await agent.engine.accept(world.message("hi", chat=HARM))
    await world.answered(HARM, "re: hi")
    await ada.sign_in("ada")
    path = f"/people/{await person(world, HARM)}"
    for each in ("/people", path, f"{path}/erase", f"/people?q={HARM}"):
        page = await ada.get(each)
        assert "evil" in page.text, each
        assert "<script>alert" not in page.html, each
    refused = await ada.send(await ada.get(path), path, do="block")

    assert refused.status in (200, 422), refused.text


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("/x", "There is no such person."),
        ("/00000000-0000-0000-0000-000000000000", "There is no such person."),
        ("/00000000-0000-0000-0000-000000000000/erase", "There is no such person."),
        ("/erasures/x", "There is no such erasure."),
        ("/erasures/00000000-0000-0000-0000-000000000000", "no such erasure."),
        ("?before=x", "This page does not exist."),
    ],
)
async def test_what_there_is_not_is_a_sentence(
    ada: Browser, path: str, sentence: str
) -> None:
    await ada.sign_in("ada")
    page = await ada.get(f"/people{path}")

    assert (404, True) == (page.status, sentence in page.text), page.text
