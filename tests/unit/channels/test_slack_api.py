"""What a proxy between the agent and Slack answers in Slack's place."""

from __future__ import annotations

import pytest
from aiohttp import web

from channels.slack.api import ApiError, SlackApi

BODIES = {
    "a page": b"<html>a page of a proxy</html>",
    "another encoding": "Zugang gesperrt für Sie".encode("latin-1"),
    "deep JSON": b"[" * 100_000,
    "a long number": b"9" * 5000,
    "a list": b"[1]",
    "nothing": b"",
}


@pytest.mark.parametrize("kind", ["text/html", "text/plain", "application/json"])
@pytest.mark.parametrize("status", [200, 502])
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
async def test_what_is_no_answer_of_slack_is_worth_another_try(
    body: bytes, status: int, kind: str
) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(
            status=status,
            body=body,
            headers={"Content-Type": f"{kind}; charset=utf-8"},
        )

    runner = web.ServerRunner(web.Server(answer))  # type: ignore[arg-type]
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        api = SlackApi("xoxb-1", f"http://127.0.0.1:{runner.addresses[0][1]}/api/")
        with pytest.raises(ApiError) as raised:
            await api.call("chat.postMessage", channel="C1", text="Hello.")
    finally:
        await runner.cleanup()

    assert raised.value.is_passing
