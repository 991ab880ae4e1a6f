"""Parts of the web application that are made for their first request."""

from __future__ import annotations

import asyncio
import json
import threading

import httpx
import pytest
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from structlog.testing import capture_logs

from agent.web.app import web_app, when_asked
from agent.web.failures import UNEXPECTED
from agent.web.state import InstanceState


async def ask(app: ASGIApp) -> str:
    """The body of its answer."""
    parts: list[bytes] = []

    async def receive() -> dict[str, object]:
        return {"type": "http.request"}

    async def send(message: object) -> None:
        assert isinstance(message, dict)
        parts.append(message.get("body", b""))

    await app({"type": "http", "method": "GET", "headers": []}, receive, send)

    return b"".join(parts).decode()


async def page(scope: Scope, receive: Receive, send: Send) -> None:
    await PlainTextResponse("here")(scope, receive, send)


async def test_it_is_made_once_for_all_who_ask_at_once_and_not_before() -> None:
    made: list[int] = []

    def make() -> ASGIApp:
        made.append(1)
        return page

    app = when_asked(make)
    before = [*made]
    answers = await asyncio.gather(*[ask(app) for _ in range(20)])

    assert ([], [1], {"here"}) == (before, made, set(answers))


async def test_others_are_answered_while_it_is_made() -> None:
    go_on, said = threading.Event(), []

    def make() -> ASGIApp:
        go_on.wait(10)
        return page

    asked = asyncio.create_task(ask(when_asked(make)))
    for n in range(3):
        await asyncio.sleep(0)
        said.append(n)
    go_on.set()

    assert "here" == await asked
    assert [0, 1, 2] == said


async def test_what_could_not_be_made_is_tried_again_for_the_next_request() -> None:
    troubles = [OSError("too many open files")]

    def make() -> ASGIApp:
        if troubles:
            raise troubles.pop()
        return page

    app = when_asked(make)
    with capture_logs() as logs:
        first = await ask(app)

    assert "here" == await ask(app)
    assert {"error": UNEXPECTED} == json.loads(first)
    assert ["OSError"] == [line["error"] for line in logs]


async def test_an_api_that_could_not_be_made_is_a_problem_as_its_other_errors(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def make(*_: object) -> ASGIApp:
        raise OSError("too many open files")

    monkeypatch.setattr("agent.web.app._programs", make)
    transport = httpx.ASGITransport(web_app(InstanceState()))
    async with httpx.AsyncClient(transport=transport, base_url="http://a") as client:
        response = await client.get("/api/v1/flags")

    assert response.headers["content-type"] == "application/problem+json"
    assert response.json() == {
        "type": "about:blank",
        "title": "Internal Server Error",
        "status": response.status_code,
        "detail": UNEXPECTED,
    }


async def test_who_leaves_does_not_take_it_from_others() -> None:
    go_on = threading.Event()

    def make() -> ASGIApp:
        go_on.wait(10)
        return page

    app = when_asked(make)
    leaves, stays = asyncio.create_task(ask(app)), asyncio.create_task(ask(app))
    await asyncio.sleep(0)
    leaves.cancel()
    await asyncio.sleep(0)
    go_on.set()

    assert "here" == await stays
