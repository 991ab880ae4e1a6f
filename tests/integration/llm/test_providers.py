"""The providers against a model server on loopback: what is sent, what comes back, what it
costs.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from decimal import Decimal

import httpx
import pytest

from agent.core.completion import Prompt, Usage
from agent.core.errors import ModelError
from agent.llm.http_errors import Server
from agent.llm.http_stream import Wire, open_client
from agent.llm.openai import OpenAI
from agent.llm.provider import Patience
from agent.llm.router import open_models
from tests.support.model_server import Answer, refusal
from tests.support.providers import ASKED, BOTH, ask, served, settings


@BOTH
async def test_an_answer_has_its_text_its_tokens_and_its_cost(model: str) -> None:
    async with served() as (server, models):
        server.script(Answer("You are Ada."))
        usage = Usage(model, 11, 3, Decimal("0.000041"))
        assert await ask(models, model) == ("You are Ada.", usage, None)


@BOTH
async def test_text_appears_as_it_comes(model: str) -> None:
    async with served() as (server, models):
        more = asyncio.Event()
        server.script(Answer("You are Ada.", hold=more))
        stream = models.stream(model, ASKED)
        assert await anext(stream) == "You "
        more.set()
        assert await anext(stream) == "are "
        await stream.aclose()


async def test_openai_is_sent_the_whole_prompt() -> None:
    async with served() as (server, models):
        await ask(models, "openai:gpt")
        [request] = server.requests
        assert (request.path, request.headers["authorization"]) == (
            "/v1/chat/completions",
            "Bearer sk-open",
        )
        assert request.body == {
            "model": "gpt",
            "messages": [
                {"role": "system", "content": "Be kind."},
                {"role": "user", "content": "my name is Ada"},
                {"role": "assistant", "content": "Hello Ada."},
                {"role": "user", "content": "who am I?"},
            ],
            "stream": True,
            "max_tokens": 8192,
            "stream_options": {"include_usage": True},
        }


async def test_anthropic_is_sent_the_whole_prompt() -> None:
    async with served() as (server, models):
        await ask(models, "anthropic:claude")
        [request] = server.requests
        sent = (
            request.path,
            request.headers["x-api-key"],
            request.headers["anthropic-version"],
        )
        assert sent == ("/v1/messages", "sk-ant", "2023-06-01")
        assert request.body == {
            "model": "claude",
            "max_tokens": 8192,
            "messages": [
                {"role": "user", "content": "my name is Ada"},
                {"role": "assistant", "content": "Hello Ada."},
                {"role": "user", "content": "who am I?"},
            ],
            "stream": True,
            "system": "Be kind.",
        }


async def test_anthropics_base_may_end_in_its_version() -> None:
    async with (
        served() as (server, _),
        open_models(settings(server, anthropic_base_url=server.url)) as models,
    ):
        assert (await ask(models, "anthropic:claude"))[0] == "who am I?"


async def test_a_server_without_keys_is_asked_without_one() -> None:
    async with served(openai_api_key=None) as (server, models):
        await ask(models, "openai:gpt")
        assert "authorization" not in server.requests[0].headers


async def test_a_server_that_does_not_know_stream_options_is_asked_once_more_without() -> (
    None
):
    async with served() as (server, models):
        server.knows_stream_options = False
        text, usage, failure = await ask(models, "openai:gpt")
        assert (text, failure) == ("who am I?", None)
        assert usage is not None
        assert usage.estimated
        assert ["stream_options" in request.body for request in server.requests] == [
            True,
            False,
        ]


@BOTH
async def test_tokens_no_server_reported_are_estimated_and_marked(model: str) -> None:
    async with served() as (server, models):
        server.script(Answer("You are Ada.", usage=False))
        usage = Usage(model, 28, 3, Decimal("0.000058"), estimated=True)
        assert await ask(models, model) == ("You are Ada.", usage, None)


async def test_an_unknown_price_is_an_unknown_cost() -> None:
    async with served(models={}) as (_, models):
        _, usage, _ = await ask(models, "openai:gpt")
        assert usage == Usage("openai:gpt", 11, 3)


@BOTH
async def test_a_declined_answer_says_so(model: str) -> None:
    async with served() as (server, models):
        server.script(Answer("I", finish="content_filter"))
        text, _, failure = await ask(models, model)
        assert (text, failure) == (
            "I",
            f"{model} declined to answer this (further). Say it in another way.",
        )


@BOTH
async def test_an_empty_answer_says_so(model: str) -> None:
    async with served() as (server, models):
        server.script(Answer(""))
        sentence = f"{model} gave an empty answer. /retry asks again."
        assert await ask(models, model) == ("", None, sentence)


async def test_characters_no_encoding_or_database_takes_do_not_break_an_answer() -> (
    None
):
    async with served() as (_, models):
        text, _, failure = await ask(
            models, "openai:gpt", Prompt("", (("user", "a\ud800\0 🎉 שלום"),))
        )
        assert (text, failure) == ("a? 🎉 שלום", None)


async def test_a_keep_alive_comment_and_other_fields_are_passed_over() -> None:
    events = (
        ": still here",
        "retry: 3",
        'data: {"choices": [{"delta": {"reasoning_content": "hm"}}], "new": 1}',
        'data: {"choices": [{"delta": {"content": "hi"}, "finish_reason": "stop"}], "usage": null}',
    )
    stream = Answer(
        body="".join(f"{e}\n\n" for e in events).encode(),
        headers={"content-type": "text/event-stream"},
    )
    async with served() as (server, models):
        server.script(stream)
        text, usage, failure = await ask(models, "openai:gpt")
        assert (text, usage is not None, failure) == ("hi", True, None)


async def test_many_answers_of_a_provider_share_a_connection() -> None:
    async with served() as (server, models):
        for _ in range(3):
            await ask(models, "openai:gpt")
            await ask(models, "anthropic:claude")
        assert (len(server.requests), server.accepted) == (6, 2)


@BOTH
async def test_answers_run_side_by_side(model: str) -> None:
    async with served() as (server, models):
        more = asyncio.Event()
        server.script(*(Answer(f"{i} is it", hold=more) for i in range(20)))
        streams = [models.stream(model, ASKED) for _ in range(20)]
        firsts = await asyncio.gather(*(anext(stream) for stream in streams))
        assert {f"{i} " for i in range(20)} == set(firsts)
        for stream in streams:
            await stream.aclose()
        await server.until(lambda: server.open == 0)


@BOTH
async def test_closing_a_stream_closes_its_connection(model: str) -> None:
    async with served() as (server, models):
        server.script(Answer("You are Ada.", hold=asyncio.Event()))
        stream = models.stream(model, ASKED)
        await anext(stream)
        assert server.open == 1
        await stream.aclose()
        await server.until(lambda: server.open == 0)
        assert (await ask(models, model))[2] is None


class HeldBytes(httpx.AsyncByteStream):
    """One piece of an answer, then nothing more."""

    def __init__(self) -> None:
        self.closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b'data: {"choices": [{"delta": {"content": "You"}}]}\n\n'
        await asyncio.Event().wait()

    async def aclose(self) -> None:
        self.closed = True


async def test_a_closed_stream_has_released_its_response_when_it_returns() -> None:
    held = HeldBytes()
    response = httpx.Response(
        200, headers={"content-type": "text/event-stream"}, stream=held
    )
    transport = httpx.MockTransport(lambda _: response)
    wire = Wire(idle=5, make_client=lambda: open_client(transport))
    server = Server("openai:gpt", "http://model", "OPENAI_API_KEY", "OPENAI_BASE_URL")
    stream = OpenAI("gpt", server, wire, 100).stream(
        ASKED, Patience(place=5, first_byte=5)
    )
    assert await anext(stream) == "You"
    await stream.aclose()
    assert held.closed
    await wire.aclose()


@BOTH
@pytest.mark.parametrize("words", [0, 1])
async def test_cancelling_closes_the_connection(model: str, words: int) -> None:
    async with served() as (server, models):
        server.script(Answer("You are Ada.", fault="stall", after=words))
        task = asyncio.create_task(ask(models, model))
        await server.until(lambda: len(server.requests) == 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await server.until(lambda: server.open == 0)


async def test_no_secret_is_in_what_is_shown_of_a_failure() -> None:
    async with served() as (server, models):
        server.script(refusal(401, "invalid_api_key", "Incorrect API key: sk-open"))
        with pytest.raises(ModelError) as caught:
            async for _ in models.stream("openai:gpt", ASKED):
                pass
        shown = json.dumps(
            [
                repr(caught.value),
                repr(caught.value.__cause__),
                repr(vars(caught.value)),
            ]
        )
        assert "sk-open" not in shown


if sys.platform != "win32":  # uvloop is not made for it

    def test_it_runs_on_uvloop() -> None:
        import uvloop

        async def main() -> str:
            async with served() as (server, models):
                server.script(
                    Answer("Good day."), Answer("Good day.", fault="cut", after=1)
                )
                return (await ask(models, "openai:gpt"))[0] + (
                    await ask(models, "openai:gpt")
                )[0]

        assert uvloop.run(main()) == "Good day.Good "
