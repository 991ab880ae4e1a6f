"""`/account/tokens`: operators make tokens for their programs, and take them back."""

from __future__ import annotations

import re

from agent.control.permissions import Scope
from storage.control.audit import Author
from storage.control.operators.api_tokens import ApiTokens
from tests.support.browser import Browser, Page, register

PATH = "/account/tokens"
NEW = f"{PATH}#new"


async def made(ada: Browser, page: Page, **fields: str) -> Page:
    """The form for a new token, sent."""
    values = {"label": "nightly", "scope": "read", "days": "7"}
    form = page.form(NEW)

    return await ada.post(PATH, {**form.fields, **values, **fields})


async def test_a_token_is_shown_once_works_and_is_revoked(ada: Browser) -> None:
    await ada.sign_in("ada", "operator")
    page = await made(ada, await ada.get(PATH))
    found = re.search(r"agent_[\w-]{43}", page.html)
    assert found is not None
    headers = {"authorization": f"Bearer {found[0]}"}
    works = await ada.client.get("/api/v1/me", headers=headers)
    later = await ada.get(PATH)
    ended = await ada.send(later, PATH)
    refused = await ada.client.get("/api/v1/me", headers=headers)

    assert ("read", 401) == (works.json()["scope"], refused.status_code)
    assert found[0] not in later.html
    # a phone shows no heads of columns
    for column in ("Scope", "Used", "Ends"):
        assert f'data-label="{column}"' in later.html
    assert "nightly is revoked." in ended.text
    log = (await ada.get("/audit")).text
    assert 'label unset → "nightly"' in log
    assert 'label "nightly" → unset' in log


async def test_a_viewer_makes_none_that_may_more_and_revokes_only_their_own(
    ada: Browser,
) -> None:
    """The form does not offer it, and a form that asks for it is refused with a sentence."""
    await register(ada.services, "grace", "admin")
    tokens = ApiTokens(ada.services.stores.database)
    foreign, _ = await tokens.add("x", Scope.ADMIN, Author("grace", "a test"))
    await ada.sign_in("ada", "viewer")
    page = await ada.get(PATH)
    more = await made(ada, page, scope="operate")
    odd = await made(ada, page, scope="all")
    csrf = page.form(NEW).fields["csrf"]
    other = {"csrf": csrf, "do": "revoke", "token": str(foreign.id)}
    revoked = await ada.post(PATH, other)
    unsigned = await ada.post(PATH, other | {"csrf": "x"})

    assert 'value="operate"' not in page.html
    assert (422, 422, 422, 403) == (
        more.status,
        odd.status,
        revoked.status,
        unsigned.status,
    )
    assert "Choose a lesser scope" in more.text
    assert [None] == [view.revoked_at for view in await tokens.list("grace")]
    assert [] == await tokens.list("ada")


async def test_odd_labels_come_out_harmless(ada: Browser) -> None:
    await ada.sign_in("ada", "admin")
    page = await made(ada, await ada.get(PATH), label="<script>alert(1)</script>")
    turned = await made(ada, await ada.get(PATH), label="a\u202eb")

    assert "<script>alert(1)" not in page.html
    assert 422 == turned.status
