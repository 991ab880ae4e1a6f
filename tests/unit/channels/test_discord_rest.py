"""What a proxy between the agent and Discord answers in Discord's place."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import pytest
from aiohttp import web

from agent.core.errors import DeliveryError, Undeliverable
from agent.core.messages import Address, Placed
from channels.discord.commands import TRY_AGAIN, keep_registered
from channels.discord.reply import DiscordReply
from channels.discord.rest import Refusal, Rest
from channels.pacing import Governor, RateLimited

A_DATE = "Sat, 21 Nov 2026 18:47:00 GMT"
PAGE = "<html>a page of a proxy</html>"

DEEP = "[" * 100_000
NO_MESSAGES = ["", "null", "[]", "[1]", "{}", "1", '"ok"', '{"id": "1"}', '{"id": 1}']
NO_LISTS = [
    "",
    "null",
    "[1]",
    "{}",
    "1",
    '"ok"',
    '[{"id": "1"}]',
    '[{"content": ""}]',
]


@asynccontextmanager
async def answering(status: int, text: str, **headers: str) -> AsyncIterator[Rest]:
    """A client whose every call is answered so."""

    async def answer(request: web.Request) -> web.Response:
        return web.Response(
            status=status,
            text=text,
            headers=headers,
        )

    runner = web.ServerRunner(web.Server(answer))  # type: ignore[arg-type]
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()

    try:
        yield Rest(
            token="secret", api_url=f"http://127.0.0.1:{runner.addresses[0][1]}"
        )
    finally:
        await runner.cleanup()


@pytest.mark.parametrize(
    "text", [PAGE, "{}", '{"retry_after": "soon"}', '{"retry_after": null}', "[]"]
)
async def test_a_wait_that_is_no_number_of_seconds_is_a_second(text: str) -> None:
    async with answering(429, text, **{"Retry-After": A_DATE}) as rest:
        with pytest.raises(RateLimited) as limited:
            await rest.call("POST", "/channels/1/messages", {}, bucket="POST 1")

    assert 1.0 == limited.value.retry_after


async def test_a_bucket_whose_reset_is_no_number_has_room_after_a_second() -> None:
    empty = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset-After": A_DATE}
    async with answering(200, '{"id": "1"}', **empty) as rest:
        assert {"id": "1"} == await rest.call(
            "POST", "/channels/1/messages", {}, bucket="POST 1"
        )
        with pytest.raises(RateLimited) as limited:
            await rest.call("POST", "/channels/1/messages", {}, bucket="POST 1")

    assert 0 < limited.value.retry_after <= 1.0


@pytest.mark.parametrize("text", [PAGE, DEEP], ids=["a page", "deep JSON"])
async def test_a_page_in_place_of_an_answer_is_worth_another_try(text: str) -> None:
    async with answering(200, text) as rest:
        with pytest.raises(DeliveryError, match="DISCORD_API_URL") as raised:
            await rest.call("POST", "/channels/1/messages", {})

    assert not isinstance(raised.value, Undeliverable)


async def test_a_refusal_whose_code_is_no_number_is_a_refusal() -> None:
    async with answering(502, '{"code": "bad gateway"}') as rest:
        with pytest.raises(Refusal) as raised:
            await rest.call("POST", "/channels/1/messages", {})

    assert (502, 0) == (raised.value.status, raised.value.code)


async def test_an_answer_without_a_body_is_one() -> None:
    async with answering(204, "") as rest:
        assert await rest.call("DELETE", "/channels/1/messages/2") is None


@pytest.mark.parametrize("text", NO_MESSAGES)
@pytest.mark.parametrize(
    "placed", [None, Placed(("2",))], ids=["a new message", "an edit"]
)
async def test_an_answer_that_is_no_message_is_worth_another_try(
    text: str, placed: Placed | None
) -> None:
    async with answering(200, text) as rest:
        with pytest.raises(DeliveryError) as raised:
            await reply(rest, placed=placed).finish("Hello.")

    assert not isinstance(raised.value, Undeliverable)


@pytest.mark.parametrize("text", NO_MESSAGES)
async def test_nor_is_one_to_a_command(text: str) -> None:
    names = {"interaction": "3", "token": "secret", "application": "4"}
    async with answering(200, text) as rest:
        with pytest.raises(DeliveryError) as raised:
            await reply(rest, extra=names).finish("Hello.")

    assert not isinstance(raised.value, Undeliverable)


@pytest.mark.parametrize("text", NO_LISTS)
async def test_an_answer_that_is_no_history_is_worth_another_try(text: str) -> None:
    async with answering(200, text) as rest:
        with pytest.raises(DeliveryError) as raised:
            await reply(rest, repeat=True).finish("Hello.")

    assert not isinstance(raised.value, Undeliverable)


@pytest.mark.parametrize("text", ["", "null", "[1]", "{}", "1", '{"id": "1"}'])
async def test_commands_are_registered_later_when_an_answer_is_not_what_was_asked_for(
    text: str,
) -> None:
    pauses: list[float] = []

    async def look(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 2:
            raise asyncio.CancelledError

    async with answering(200, text) as rest:
        with pytest.raises(asyncio.CancelledError):
            await keep_registered(
                rest, endpoint=None, enabled=lambda: True, sleep=look
            )

    assert pauses == [TRY_AGAIN] * 2


def reply(
    rest: Rest,
    *,
    placed: Placed | None = None,
    extra: dict[str, str] | None = None,
    repeat: bool = False,
) -> DiscordReply:
    options: dict[str, Any] = {"placed": placed, "repeat": repeat}
    address = Address(channel="discord", chat="1", message="1", extra=extra or {})

    return DiscordReply(
        rest=rest, governor=Governor(), address=address, turn=UUID(int=1), **options
    )
