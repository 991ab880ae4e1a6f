"""The audit log in the console."""

from __future__ import annotations

from agent.web.console.pages import audit, home
from agent.web.console.pages.home import LOOKS
from storage.control.audit import record
from storage.control.targets import RuleTarget
from storage.transaction import transaction
from tests.support.browser import Browser, register
from tests.support.operators import ADA, BOB
from tests.support.settings import run


async def test_it_is_filtered_and_paged(ada: Browser) -> None:
    await ada.sign_in("ada", "viewer")
    await register(ada.services, "ada", "operator")
    await register(ada.services, "bob", "operator")
    flags = ada.services.flags
    for number in range(audit.AT_ONCE + 2):
        target = RuleTarget(channel="slack")
        await flags.set("replies", target, number % 2 == 0, ADA)
    await flags.set("streaming", RuleTarget(), False, BOB)
    first = await ada.get("/audit?subject=flag:replies")
    older = next(link for link in first.links if "older=" in link)
    second = await ada.get(older)
    by_bob = await ada.get("/audit?actor=bob")
    none = await ada.get("/audit?actor=nobody&older=x")

    assert audit.AT_ONCE == first.text.count("flag.set flag:replies")
    assert 2 == second.text.count("flag.set flag:replies")
    assert [] == [link for link in second.links if "older=" in link]
    assert ("flag:streaming" in by_bob.text, "flag:replies" in by_bob.text) == (
        True,
        False,
    )
    assert "Nothing of this kind is in the log." in none.text


async def test_the_first_page_has_changes_and_no_looks(ada: Browser) -> None:
    """Ten conversations that were read do not hide what was changed."""
    await ada.sign_in("ada", "viewer")
    await register(ada.services, "ada", "operator")
    await ada.services.flags.set("replies", RuleTarget(), False, ADA)
    async with transaction(ada.services.stores.database) as connection:
        for action in LOOKS * home.CHANGES:
            await record(
                connection, ADA, action, "any", before=None, after=None, epoch=None
            )
    page = await ada.get("/")
    whole = await ada.get("/audit")

    assert "flag.set flag:replies" in page.text
    assert [] == [action for action in LOOKS if f">{action} " in page.html]
    assert "playground.ask" in whole.text


async def test_it_is_verified(ada: Browser) -> None:
    await ada.sign_in("ada", "viewer")
    whole = await ada.send(await ada.get("/audit"), "/audit")
    unknown = await ada.send(await ada.get("/audit"), "/audit", head="ab" * 32)
    url = ada.services.stores.database.url
    await run(url, "ALTER TABLE audit_log DISABLE TRIGGER USER")
    await run(url, "UPDATE audit_log SET actor = 'eve' WHERE id = 1")
    broken = await ada.send(await ada.get("/audit"), "/audit")

    assert "all as they were written. Head" in whole.text
    assert "The noted hash is not in the chain" in unknown.text
    assert "Row 1 is not as it was written." in broken.text
