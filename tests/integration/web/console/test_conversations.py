"""Conversations in the console: found, read, followed and explained; reading is audited."""

from __future__ import annotations

import asyncio
from uuid import UUID

import pytest

from agent.core.text import is_text
from storage.control.targets import RuleTarget
from storage.conversation.operating import listed
from storage.reports.search_index import index_now
from tests.support.browser import Browser, Page
from tests.support.chats import LONG_AGO
from tests.support.engine_harness import EngineHarness, Instance
from tests.support.operators import ADA
from tests.support.settings import run

HARM = "<script>alert(1)</script>\u202eevil <img src=x onerror=alert(2)>"
READS = "SELECT actor, subject FROM audit_log WHERE action = 'conversation.read'"


async def only(world: EngineHarness, chat: str = "ada") -> UUID:
    """The active conversation of a chat."""
    rows = await run(
        world.database_url,
        "SELECT id FROM conversations WHERE chat_id = $1 AND is_active",
        chat,
    )

    return UUID(str(rows[0]["id"]))


def conversations(page: Page) -> list[str]:
    return [link for link in page.links if link.startswith("/conversations/")]


async def closed(world: EngineHarness) -> None:
    """Returns once no turn is open."""
    async with asyncio.timeout(15):
        while await run(world.database_url, "SELECT FROM turns WHERE state = 'open'"):
            await asyncio.sleep(0.02)


async def test_conversations_are_listed_and_filtered(
    ada: Browser, world: EngineHarness, agent: Instance
) -> None:
    await world.ask(agent, "hello", chat="ada")
    world.model.error = "The server of the model is full."
    await world.ask(agent, "hello", chat="bob")
    await ada.sign_in("ada", "viewer")

    async def found(query: str = "") -> list[str]:
        page = await ada.get(f"/conversations?{query}")
        assert 200 == page.status, page.text
        return [name for name in ("ada", "bob") if f"test {name}" in page.text]

    assert ["ada", "bob"] == await found()
    assert ["ada"] == await found("person=test:ada")
    assert ["bob"] == await found("troubled=yes")
    assert ["ada", "bob"] == await found("channel=test&state=active&order=active")
    assert [] == await found("channel=slack")
    assert [] == await found("state=ended")
    assert [] == await found("cost=0.01")
    page = await ada.get("/conversations")
    assert f"/conversations/{await only(world, 'bob')}" == conversations(page)[0]


@pytest.mark.parametrize("order", ["begun", "active"])
async def test_every_conversation_is_on_one_page(
    ada: Browser,
    world: EngineHarness,
    agent: Instance,
    monkeypatch: pytest.MonkeyPatch,
    order: str,
) -> None:
    """Also when others begin meanwhile."""
    monkeypatch.setattr(listed, "PAGE", 2)
    monkeypatch.setattr(listed, "WALK_TURNS", 3)
    for number in range(5):
        await world.ask(agent, "hello", chat=f"c{number}")
    await world.ask(agent, "once more", chat="c0")
    await ada.sign_in("ada")
    seen, path = [], f"/conversations?order={order}"
    while path:
        page = await ada.get(path)
        seen += conversations(page)
        path = next((link for link in page.links if "before=" in link), "")
        await world.ask(agent, "hello", chat=f"late{len(seen)}")

    rows = [f"/conversations/{await only(world, f'c{n}')}" for n in range(5)]
    latest = [rows[n] for n in (0, 4, 3, 2, 1)]
    assert seen == (latest if order == "active" else rows[::-1])


async def test_reading_is_an_audit_row_once_a_session(
    ada: Browser, world: EngineHarness, agent: Instance
) -> None:
    await world.ask(agent, "my secret")
    path = f"/conversations/{await only(world)}"
    await ada.sign_in("ada", "operator")
    pages = [await ada.get(path) for _ in range(3)]
    await ada.get(f"{path}/1")
    once = await run(world.database_url, READS)
    await ada.sign_in("ada", "operator")
    await ada.get(path)
    twice = await run(world.database_url, READS)

    assert "my secret" in pages[0].text
    assert "re: my secret" in pages[2].text
    subject = path.removeprefix("/conversations/")
    assert [("ada", f"conversation:{subject}")] == [tuple(row) for row in once]
    assert 2 == len(twice)


async def test_two_pages_at_once_write_one_row(
    ada: Browser, world: EngineHarness, agent: Instance
) -> None:
    await world.ask(agent, "hello")
    path = f"/conversations/{await only(world)}"
    await ada.sign_in("ada", "operator")
    await asyncio.gather(*(ada.get(path) for _ in range(4)))

    assert 1 == len(await run(world.database_url, READS))


async def test_a_viewer_reads_no_text_and_changes_nothing(
    ada: Browser, world: EngineHarness, agent: Instance
) -> None:
    await world.ask(agent, "my secret")
    path = f"/conversations/{await only(world)}"
    csrf = (await ada.sign_in("ada", "viewer")).form("/sign-out").fields["csrf"]
    pages = [await ada.get(each) for each in (path, f"{path}/1", f"{path}/2")]
    search = await ada.get("/conversations?q=secret")
    refused = await ada.post(path, {"csrf": csrf, "do": "end"})

    assert [200] * 3 == [page.status for page in pages]
    assert not any("secret" in page.html for page in pages)
    assert "9 characters" in pages[0].text
    assert (403, 403) == (search.status, refused.status)
    assert [] == await run(world.database_url, READS)


async def test_a_conversation_is_followed_live(
    ada: Browser, world: EngineHarness, agent: Instance
) -> None:
    """Without script, the same address is loaded again."""
    await world.ask(agent, "first")
    path = f"/conversations/{await only(world)}?follow=yes"
    await ada.sign_in("ada", "operator")
    page = await ada.get(path)
    world.model.hold()
    await agent.engine.accept(world.message("second"))
    await asyncio.wait_for(world.model.started.wait(), 10)
    during = await ada.get(path, **{"hx-request": "true"})
    world.model.release()
    await world.answered("ada", "re: first", "re: second")
    after = await ada.get(path, **{"hx-request": "true"})

    assert f'hx-get="{path}" hx-trigger="every 800ms"' in page.html
    assert "second" in during.text
    assert "answering" in during.text
    assert "re: second" not in during.text
    assert "re: second" in after.text


async def test_a_long_conversation_is_read_in_pages(
    ada: Browser, world: EngineHarness, agent: Instance
) -> None:
    for _ in range(3):
        await world.ask(agent, "hello")
    conversation = await only(world)
    await run(
        world.database_url,
        "INSERT INTO messages (conversation_id, timestamp, seq, id, role, content)"
        " SELECT id, started_at + n * interval '1 microsecond', 10000 + n,"
        " gen_random_uuid(), 'system', 'number' || n || '.'"
        " FROM conversations, generate_series(1, 70) n WHERE id = $1",
        conversation,
    )
    await ada.sign_in("ada", "operator")
    newest = await ada.get(f"/conversations/{conversation}")
    earlier = next(link for link in newest.links if "before=" in link)
    oldest = await ada.get(earlier)

    both = f"{newest.text} {oldest.text} "
    assert [1] * 70 == [both.count(f" number{n}. ") for n in range(1, 71)]
    assert "Earlier messages" not in oldest.text
    assert "hx-trigger" not in (await ada.get(f"{earlier}&follow=yes")).html


async def test_why_an_answer_is_as_it_is(
    ada: Browser, world: EngineHarness, agent: Instance
) -> None:
    await ada.sign_in("ada", "operator")
    flags = ada.services.flags
    await flags.set("streaming", RuleTarget(), False, ADA)
    await agent.ports.control_updates.observe(-1)
    await world.ask(agent, "hello")
    await closed(world)
    await run(
        world.database_url,
        "UPDATE messages SET cost_usd = 0.0125,"
        ' metadata = metadata || \'{"price": "a list", "variants": {"tone": "b"}}\''
        " WHERE role = 'assistant'",
    )
    await flags.set("streaming", RuleTarget(), True, ADA)
    path = f"/conversations/{await only(world)}"
    page = await ada.get(path)
    why = await ada.get(f"{path}/2")

    assert f"{path}/2" in page.links
    assert 'aria-label="The message" tabindex="0">' in why.html, "keys scroll it, too"
    for part in (
        *("test:model", "Tokens read 10", "Tokens written 5", "$0.0125", "a list"),
        *("streaming false global", "experiment tone b", "written by the model"),
        *("delivered", "m0", "done", "re: hello"),
    ):
        assert part in why.text, (part, why.text)


async def test_a_channel_that_is_no_more_hides_no_answer(
    ada: Browser, world: EngineHarness, agent: Instance
) -> None:
    await world.ask(agent, "hello")
    await closed(world)
    await run(world.database_url, "UPDATE conversations SET channel_type = 'gone'")
    await ada.sign_in("ada", "operator")
    page = await ada.get(f"/conversations/{await only(world)}/2")

    assert (200, True) == (page.status, "re: hello" in page.text), page.text
    assert "There is no such channel." in page.text


async def test_what_went_wrong_is_said(
    ada: Browser, world: EngineHarness, agent: Instance
) -> None:
    world.model.error = "The server of the model is full."
    await world.ask(agent, "hello there")
    await run(
        world.database_url,
        'UPDATE messages SET metadata = metadata || \'{"undelivered": "chat is gone"}\''
        " WHERE role = 'assistant'",
    )
    await ada.sign_in("ada", "viewer")
    path = f"/conversations/{await only(world)}"
    for page in (await ada.get(path), await ada.get(f"{path}/2")):
        assert "The server of the model is full." in page.text
        assert "chat is gone" in page.text


async def test_an_operator_stops_an_answer_as_people_do(
    ada: Browser, world: EngineHarness, agent: Instance
) -> None:
    await ada.sign_in("ada", "operator")
    world.model.hold()
    await agent.engine.accept(world.message("a long one"))
    await asyncio.wait_for(world.model.started.wait(), 10)
    path = f"/conversations/{await only(world)}"
    page = await ada.get(path)
    told = await ada.send(page, path, do="stop", reason="it repeats itself")
    await world.answered("ada", "re:\n\n*(stopped)*")
    nothing = await ada.send(told, path, do="stop")
    log = await run(
        world.database_url,
        "SELECT action, reason FROM audit_log WHERE subject LIKE 'conversation:%'"
        " AND action <> 'conversation.read'",
    )

    assert "is asked to stop" in told.text
    assert "No answer is being written here." in nothing.text
    assert [("conversation.stop", "it repeats itself")] == [tuple(row) for row in log]


async def test_an_operator_ends_a_conversation_as_people_do(
    ada: Browser, world: EngineHarness, agent: Instance
) -> None:
    await world.ask(agent, "before")
    await ada.sign_in("ada", "operator")
    ended = await only(world)
    path = f"/conversations/{ended}"
    page = await ada.get(path)
    told = await ada.send(page, path, do="end")
    again = await ada.send(page, path, do="end")
    await world.ask(agent, "after")

    assert "The conversation has ended" in told.text
    assert "had ended already" in again.text
    assert ended != await only(world)
    assert ["before"] == [
        text for _, text in world.model.prompts[0].messages if is_text(text)
    ]
    assert ["after"] == [text for _, text in world.model.prompts[-1].messages]


async def test_what_people_wrote_is_shown_harmlessly(
    ada: Browser, world: EngineHarness, agent: Instance
) -> None:
    long = "x" * 40_000
    message = world.message(HARM, chat="g", user=HARM)
    await agent.engine.accept(message)
    await world.platform.until(lambda: world.platform.finished[message.turn_id] > 0)
    await world.ask(agent, "short")
    await run(
        world.database_url,
        "UPDATE messages SET content = $1 WHERE content = 'short'",
        long,
    )
    await ada.sign_in("ada", "operator")
    harmed, endless = await only(world, "g"), await only(world)
    await run(world.database_url, "UPDATE conversations SET title = $1", HARM[:80])
    await index_now(world.database_url, LONG_AGO)

    for path in (
        *("/conversations", f"/conversations/{harmed}", f"/conversations/{harmed}/1"),
        *("/conversations?q=evil", f"/conversations?person={HARM}&channel={HARM}"),
        *("/conversations?q=" + HARM, "/conversations?cost=" + HARM),
    ):
        page = await ada.get(path)
        assert "evil" in page.html, path
        assert "<script>alert" not in page.html, path
        assert "<img" not in page.html, path
        assert "\u202e" not in page.text, path
    assert "<mark>evil</mark>" in (await ada.get("/conversations?q=evil")).html
    page = await ada.get(f"/conversations/{endless}")
    assert "All 40000 characters" in page.text
    assert len(page.html) < 60_000
    assert long in (await ada.get(f"/conversations/{endless}/1")).html


@pytest.mark.parametrize(
    ("path", "status", "sentence"),
    [
        ("?person=slack:nobody", 422, "No such person"),
        ("?person=%00", 422, "No such person"),
        ("?channel=a%00b", 200, "There is no channel"),
        ("?state=odd", 200, 'There is no state "odd"; it is left out.'),
        ("?cost=much", 422, "A cost is an amount"),
        ("?cost=NaN", 422, "A cost is an amount"),
        ("?before=x", 422, "This page does not exist."),
        ("?before=9e99.0", 422, "This page does not exist."),
        ("?q=-a", 422, ""),
        ("/not-an-id", 404, "There is no such conversation."),
        ("/00000000-0000-0000-0000-000000000000", 404, "It may have been erased."),
        ("/00000000-0000-0000-0000-000000000000/1", 404, "may have been erased."),
        ("/00000000-0000-0000-0000-000000000000/x", 404, "no such message"),
        ("/00000000-0000-0000-0000-000000000000?before=x", 404, "does not exist"),
        ("/00000000-0000-0000-0000-000000000000?before=1.-1", 404, "not exist"),
    ],
)
async def test_what_cannot_be_is_a_sentence(
    ada: Browser, path: str, status: int, sentence: str
) -> None:
    await ada.sign_in("ada")
    page = await ada.get(f"/conversations{path}")

    assert (status, True) == (page.status, sentence in page.text), page.text


async def test_a_form_that_says_nothing_does_nothing(
    ada: Browser, world: EngineHarness, agent: Instance
) -> None:
    await world.ask(agent, "hello")
    await ada.sign_in("ada")
    path = f"/conversations/{await only(world)}"
    page = await ada.get(path)
    odd = await ada.send(page, path, do="dance")
    stale = await ada.post(path, {"csrf": "old", "do": "end"})
    gone = "/conversations/00000000-0000-0000-0000-000000000000"
    csrf = page.form(path).fields["csrf"]
    nobody = await ada.post(gone, {"csrf": csrf, "do": "end"})

    assert (422, 403, 422) == (odd.status, stale.status, nobody.status)
    assert "There is no such conversation" in nobody.text
    assert await only(world)
