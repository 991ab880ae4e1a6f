"""An address that sends too many unsigned deliveries waits; Retry-After says how long."""

from __future__ import annotations

from agent.core.limits import Rule
from agent.web.rate_limit import PER_ADDRESS
from tests.support.webhooks import Post, running

LONG_AHEAD = 9_000_000_000_000_000  # microseconds: used up, whatever the clock says


async def test_too_many_unsigned_deliveries_of_one_address_are_refused(
    database_url: str,
    redis_url: str,
) -> None:
    """Those that the platform signed are taken, wherever they come from."""
    post = Post()

    async with running(post, database_url, redis_url) as (client, app):
        first = await client.post("/webhooks/post", content=b"1:hello")
        key = Rule("ip", "127.0.0.1", PER_ADDRESS, "127.0.0.1").key
        await app.stores.pipe.client.set(key, LONG_AHEAD)
        second = await client.post("/webhooks/post", content=b"2:hello")
        signed = await client.post(
            "/webhooks/post", content=b"3:hello", headers={"x-signature": "ours"}
        )

    assert (first.status_code, second.status_code) == (401, 429)
    assert second.headers["retry-after"] == "1"
    assert second.json() == {
        "error": "Too many calls from this address; please come again in 1 second."
    }
    assert signed.status_code == 200
