"""`Answer again` on a conversation's page: as `/retry`, by an operator, seen afterwards."""

from __future__ import annotations

from tests.support.again import newest, said, settled
from tests.support.browser import Browser
from tests.support.engine_harness import EngineHarness, Instance
from tests.support.settings import run

LOG = "SELECT actor, reason, origin, after FROM audit_log WHERE action = 'conversation.again'"


async def test_an_operator_has_a_message_answered_again(
    ada: Browser, world: EngineHarness, agent: Instance
) -> None:
    """The page says so, by whom, and leads there and to the reason. Sent twice, done once."""
    await said(world, agent)
    await ada.sign_in("ada", "operator")
    path = f"/conversations/{await newest(world)}"
    page = await ada.get(path)
    told = await ada.send(page, path, do="again", reason="it was rude")
    await world.answered("ada", "re: hello", "re: hello")
    await settled(world)
    resent = await ada.send(page, path, do="again", reason="it was rude")
    await world.answered("ada", "re: hello", "re: hello")

    assert "The last message is answered again" in told.text, told.text
    assert "That was asked already" in resent.text
    assert "Asked once more by ada" in resent.text
    assert "asked again by ada (an operator)" in resent.text
    audit = f"/audit?subject=conversation:{path.removeprefix('/conversations/')}"
    assert {"#m3", audit} <= {*resent.links}
    assert 'id="m3"' in resent.html
    assert "it was rude" in (await ada.get(audit)).text
    [row] = await run(world.database_url, LOG)
    assert ("ada", "it was rude", "console from 192.0.2.7") == tuple(row)[:3]
    why = await ada.get(f"{path}/4")
    assert (200, True) == (why.status, "test:model" in why.text), why.text


async def test_what_stands_in_the_way_is_said_on_the_page(
    ada: Browser, world: EngineHarness, agent: Instance
) -> None:
    """An answer under way, somebody who went on, an odd form: nothing is asked."""
    await said(world, agent)
    await ada.sign_in("ada", "operator")
    path = f"/conversations/{await newest(world)}"
    page = await ada.get(path)
    await said(world, agent, "more")
    stale = await ada.send(page, path, do="again")
    world.model.hold()
    await agent.engine.accept(world.message("a long one"))
    during = await ada.send(await ada.get(path), path, do="again")
    odd = await ada.send(page, path, do="again", key="x" * 65)
    versionless = await ada.send(page, path, do="again", version="soon")
    world.model.release()

    assert "This conversation went on since" in stale.text
    assert "An answer is under way here" in during.text
    assert "Stop the answer" in during.text
    assert (422, 422) == (odd.status, versionless.status)
    assert [] == await run(world.database_url, LOG)


async def test_the_version_that_is_followed_live_is_the_one_that_is_sent(
    ada: Browser, world: EngineHarness, agent: Instance
) -> None:
    """The part that renews itself holds it; what was typed beside it stays."""
    await said(world, agent)
    await ada.sign_in("ada", "operator")
    path = f"/conversations/{await newest(world)}?follow=yes"
    first = await ada.get(path)
    await said(world, agent, "more")
    later = await ada.get(path, **{"hx-request": "true"})

    assert ("2", "4") == (first.version, later.version)
    live = later.html.partition('id="live"')[2]
    assert '<input type="hidden" name="version" value="4" form="act">' in live


async def test_a_viewer_has_nothing_answered_again(
    ada: Browser, world: EngineHarness, agent: Instance
) -> None:
    await said(world, agent)
    csrf = (await ada.sign_in("ada", "viewer")).form("/sign-out").fields["csrf"]
    path = f"/conversations/{await newest(world)}"
    page = await ada.get(path)
    sent = {"csrf": csrf, "do": "again", "key": "k", "version": "2"}
    refused = await ada.post(path, sent)

    assert "Answer again" not in page.html
    assert 403 == refused.status
    assert [] == await run(world.database_url, LOG)


async def test_a_name_is_shown_harmlessly(
    ada: Browser, world: EngineHarness, agent: Instance
) -> None:
    """Whatever stands in the database."""
    await said(world, agent)
    harm = '\'{"again_by": "<script>alert(1)</script>\\u202eevil"}\''
    await run(
        world.database_url,
        f"UPDATE messages SET metadata = metadata || {harm} WHERE role = 'user'",
    )
    await ada.sign_in("ada", "viewer")
    page = await ada.get(f"/conversations/{await newest(world)}")

    assert "Asked once more by" in page.text
    assert "<script>alert" not in page.html
    assert "\u202e" not in page.text
