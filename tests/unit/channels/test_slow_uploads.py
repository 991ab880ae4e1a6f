"""An upload may take longer than other calls, and what no platform takes is said at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from agent.core.channel import OutgoingFile
from agent.core.errors import AnswerRefused, DeliveryError
from agent.core.messages import Address
from channels.discord.channel import Discord
from channels.discord.rest import Rest
from channels.pacing import Governor
from channels.slack import api
from channels.slack.api import ApiError, SlackApi, judged

FILE = OutgoingFile("export.zip", b"12345")
SLOW = 0.3


@asynccontextmanager
async def platform(status: int = 200, seconds: float = 0.0) -> AsyncIterator[str]:
    """Answers what is no call of Slack's API like this; its root."""

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        await request.read()
        if request.path.startswith("/api/"):
            url = f"http://{request.host}/upload"
            return web.json_response(
                {"ok": True, "upload_url": url, "file_id": "F1", "files": []}
            )

        await asyncio.sleep(seconds)
        return web.Response(status=status, text="{}", headers={"Retry-After": "7"})

    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()

    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def slack_upload(root: str) -> None:
    await SlackApi("xoxb-x", f"{root}/api/").upload("D1", "", FILE)


async def discord_upload(root: str) -> None:
    channel = Discord(token="x", api_url=root, governor=Governor())
    await channel.send_file(Address("discord", "1"), FILE)


@pytest.mark.parametrize("upload", [slack_upload, discord_upload])
async def test_an_upload_may_take_longer_than_other_calls(
    monkeypatch: pytest.MonkeyPatch, upload: Callable[[str], object]
) -> None:
    monkeypatch.setattr(api, "_TIMEOUT_S", SLOW / 3)
    monkeypatch.setitem(Rest.call.__kwdefaults__ or {}, "seconds", SLOW / 3)
    async with platform(seconds=SLOW) as root:
        await upload(root)  # type: ignore[misc]


def test_the_time_of_an_upload_follows_its_size() -> None:
    small, large = (OutgoingFile("x", bytes(n)) for n in (0, 10_000_000))

    assert (30.0, 70.0) == (small.upload_seconds, large.upload_seconds)


@pytest.mark.parametrize("status", [400, 413])
async def test_a_file_that_slacks_host_refuses_is_refused_for_good(
    status: int,
) -> None:
    async with platform(status) as root:
        with pytest.raises(AnswerRefused, match=str(status)), judged():
            await slack_upload(root)


async def test_a_host_of_slack_in_trouble_passes() -> None:
    async with platform(503) as root:
        with pytest.raises(ApiError) as raised, judged():
            await slack_upload(root)

    assert raised.value.is_passing
    assert isinstance(raised.value, DeliveryError)
