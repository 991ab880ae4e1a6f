"""The console of a running instance, over its real HTTP server."""

from __future__ import annotations

import httpx

from storage.control.audit import Author
from storage.control.operators.invitations import Invitations
from tests.support.browser import Page
from tests.support.webhooks import Post, running


async def sign_in(client: httpx.AsyncClient, path: str) -> Page:
    client.follow_redirects = True
    page = Page(await client.get(path))
    origin = str(client.base_url).rstrip("/")
    response = await client.post(
        path, data=page.form(path).fields, headers={"origin": origin}
    )

    return Page(response)


async def test_home_shows_the_instance_that_answers(
    database_url: str, redis_url: str
) -> None:
    """Its stores, its channels and how far the flags are; other addresses are as before."""
    async with running(Post(), database_url, redis_url) as (client, app):
        closed = await client.get("/")
        invitations = Invitations(app.stores.database)
        token = await invitations.admit_once(Author("ada", "a test"))
        home = await sign_in(client, f"/link/{token}")
        health = await client.get("/health/ready")
        nothing = await client.get("/nothing")

    assert 404 == closed.status_code
    assert (200, "/") == (home.status, home.path)
    for words in ("postgres ok answers", "redis ok answers", "post ok listens"):
        assert words in home.text
    assert "in force on 1 of 1" in home.text
    assert "none is open" in home.text
    assert (200, 404) == (health.status_code, nothing.status_code)
    assert {"error": "There is nothing at this address."} == nothing.json()
