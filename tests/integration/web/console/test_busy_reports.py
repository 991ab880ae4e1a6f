"""Pages while reports are busy: a sentence, or the page without its figures."""

from __future__ import annotations

from contextlib import AsyncExitStack

import pytest

from storage.reports.reading import bounded as bounds
from storage.reports.reading.bounded import bounded
from tests.support.api_data import somebody_wrote
from tests.support.browser import Browser
from tests.support.settings import run

PERSON = "UPDATE users SET username = username RETURNING person_id::text"


@pytest.mark.parametrize("path", ["/usage", "/usage?of=person&by=hour", "/models"])
async def test_an_impatient_operator_gets_a_sentence(
    ada: Browser, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setattr(bounds, "WAIT_SECONDS", 0.05)
    await ada.sign_in("ada", "viewer")
    async with AsyncExitStack() as others:
        for _ in range(bounds.AT_ONCE):
            await others.enter_async_context(bounded(9))
        busy = await ada.get(path)
    later = await ada.get(path)

    assert (503, 200) == (busy.status, later.status)
    assert "Reports are busy" in busy.text
    assert "Try again in a moment" in busy.text


async def test_what_is_not_about_figures_is_shown_without_them(
    ada: Browser, monkeypatch: pytest.MonkeyPatch, database_url: str
) -> None:
    """Somebody may have to be blocked, or something may have to be seen, right now."""
    monkeypatch.setattr(bounds, "WAIT_SECONDS", 0.05)
    await somebody_wrote(ada.services)
    person = (await run(database_url, PERSON))[0]["person_id"]
    await ada.sign_in("ada", "operator")
    async with AsyncExitStack() as others:
        for _ in range(bounds.AT_ONCE):
            await others.enter_async_context(bounded(9))
        busy = [await ada.get(path) for path in ("/", f"/people/{person}")]

    assert [200, 200] == [page.status for page in busy]
    assert all("Not known at this moment" in page.text for page in busy)
    assert any(form.action == f"/people/{person}" for form in busy[1].forms)


@pytest.mark.parametrize("path", ["/usage", "/usage?of=person", "/models"])
async def test_a_report_that_takes_too_long_is_a_sentence(
    ada: Browser, monkeypatch: pytest.MonkeyPatch, path: str, database_url: str
) -> None:
    await ada.sign_in("ada", "viewer")
    monkeypatch.setattr(
        "storage.reports.reading.snapshot.bounded", lambda _: bounded(0.0)
    )
    page = await ada.get(path)

    assert (503, True) == (page.status, "took longer than" in page.text), page.text
