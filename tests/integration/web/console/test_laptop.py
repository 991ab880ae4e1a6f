"""`agent console`: the pages alone, on this machine."""

from __future__ import annotations

import asyncio

import httpx

from agent.web.console.laptop import run_console
from storage.control.audit import Author
from tests.support.browser import Page
from tests.support.webhooks import client_of, settings


async def test_a_browser_is_opened_with_a_link_that_signs_in(
    database_url: str, redis_url: str
) -> None:
    """Over a real server on the loopback address; the link works once."""
    told: list[str] = []
    opened: asyncio.Queue[str] = asyncio.Queue()
    loop = asyncio.get_running_loop()

    def open_(link: str) -> bool:
        loop.call_soon_threadsafe(opened.put_nowait, link)
        return False

    running = asyncio.create_task(
        run_console(
            settings(database_url, redis_url),
            Author("ada", "a test"),
            told.append,
            open_,
        )
    )
    link = httpx.URL(await asyncio.wait_for(opened.get(), 20))
    async with client_of(link.port or 0) as client:
        client.follow_redirects = True
        page = Page(await client.get(link.path))
        home = await client.post(
            link.path,
            data=page.form(link.path).fields,
            headers={"origin": f"http://127.0.0.1:{link.port}"},
        )
        again = await client.get(link.path)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)

    assert told[0] == f"The console is at {link}"
    assert (200, "/", True) == (home.status_code, home.url.path, "ada" in home.text)
    assert 410 == again.status_code
