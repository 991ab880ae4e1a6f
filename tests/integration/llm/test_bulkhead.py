"""What hangs or is dead at one model server touches no call to another, nor the fallback of
its own calls.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from agent import metrics
from agent.llm.router import ModelRouter, open_models
from agent.settings import Settings
from tests.support.faulty_models import FALLBACK, ask, asked_models, served
from tests.support.model_server import (
    Answer,
    ModelServer,
    model_server,
    refusal,
    silence,
)

GPT, CLAUDE = "openai:gpt", "anthropic:claude"
SAID = ("hush, a secret", None)
CROWDED = (
    "The model server is busy with {} other answers of mine. Try again in a moment."
)


@asynccontextmanager
async def two_servers(
    **values: Any,
) -> AsyncIterator[tuple[ModelServer, ModelServer, ModelRouter]]:
    """OpenAI's, Anthropic's, and the models of both."""
    async with model_server() as ours, model_server() as theirs:
        urls = {
            "openai_base_url": ours.url,
            "anthropic_base_url": theirs.anthropic_url,
        }
        settings = Settings(
            _env_file=None, **{**urls, "anthropic_api_key": "sk-ant", **values}
        )
        async with open_models(settings) as models:
            yield ours, theirs, models


@asynccontextmanager
async def asking(
    models: ModelRouter, model: str, times: int
) -> AsyncIterator[list[asyncio.Task[Any]]]:
    """So many calls at once; those that are not done at the end are cancelled."""
    calls = [asyncio.create_task(ask(models, model)) for _ in range(times)]
    try:
        yield calls
    finally:
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)


def shown(name: str) -> tuple[float, float]:
    """Calls that are running and that wait, as /metrics has them."""
    return metrics.model_calls.values[name, "running"], metrics.model_calls.values[
        name, "waiting"
    ]


async def test_300_hung_calls_to_one_server_leave_every_call_to_another_as_it_is() -> (
    None
):
    async with two_servers(model_first_byte_timeout=60) as (ours, theirs, models):
        ours.script(*[silence()] * 300)
        async with asking(models, GPT, 300):
            await ours.until(lambda: len(ours.requests) == 256)
            answers = await asyncio.gather(*[ask(models, CLAUDE) for _ in range(200)])
            assert (answers, len(theirs.requests)) == ([SAID] * 200, 200)
            assert (len(ours.requests), shown("openai"), shown("anthropic")) == (
                256,
                (256, 44),
                (0, 0),
            )
        await ours.until(lambda: ours.open == 0)
        assert shown("openai") == (0, 0)


async def test_a_hung_server_does_not_block_the_fallback_of_its_own_calls(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Those that have a place are given up in time, those that have none go on at once,
    later ones do not even ask.
    """
    monkeypatch.setattr("agent.llm.bulkhead.CALLS", 20)
    monkeypatch.setattr(
        "agent.llm.bulkhead.FIRST_PAUSE", 600.0
    )  # nobody tries again while this runs
    async with two_servers(model_first_byte_timeout=3, **FALLBACK) as (
        ours,
        _,
        models,
    ):
        ours.script(*[silence()] * 100)
        async with asking(models, GPT, 30) as calls:
            assert await asyncio.gather(*calls) == [SAID] * 30
            assert len(ours.requests) == 20
            assert (
                await asyncio.gather(*[ask(models, GPT) for _ in range(20)])
                == [SAID] * 20
            )
            assert len(ours.requests) == 20


async def test_the_queue_has_an_end_and_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("agent.llm.bulkhead.CALLS", 3)
    monkeypatch.setattr("agent.llm.bulkhead.QUEUE", 2)
    async with two_servers(model_first_byte_timeout=60) as (ours, _, models):
        ours.script(*[silence()] * 3)
        async with asking(models, GPT, 5) as calls:
            await ours.until(lambda: len(ours.requests) == 3)
            assert shown("openai") == (3, 2)
            assert await ask(models, GPT) == ("", CROWDED.format(3))
            calls[0].cancel()
            assert (
                await asyncio.wait(calls[3:], return_when=asyncio.FIRST_COMPLETED)
            )[0].pop().result() == SAID


async def test_waiting_for_a_place_ends_with_the_first_byte_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("agent.llm.bulkhead.CALLS", 1)
    async with two_servers(model_first_byte_timeout=0.2) as (ours, _, models):
        ours.script(silence())
        async with asking(models, GPT, 1):
            await ours.until(lambda: len(ours.requests) == 1)
            assert await ask(models, GPT) == ("", CROWDED.format(1))
            assert len(ours.requests) == 1


async def test_a_model_that_keeps_failing_is_left_alone_and_its_fallback_answers_at_once() -> (
    None
):
    async with served(default_model=GPT, **FALLBACK) as (server, models):
        server.script(
            *[refusal(500)] * 3,
            Answer("One."),
            *[refusal(500)] * 2,
            Answer("Two."),
            Answer("Three."),
        )
        assert [await ask(models, GPT) for _ in range(3)] == [
            ("One.", None),
            ("Two.", None),
            ("Three.", None),
        ]
        assert asked_models(server) == [
            *["gpt"] * 3,
            "claude",
            *["gpt"] * 2,
            "claude",
            "claude",
        ]
        assert [
            metrics.models_left_alone.values[(model,)] for model in (GPT, CLAUDE)
        ] == [1, 0]


async def test_a_model_without_a_fallback_is_left_alone_too_and_people_hear_why() -> (
    None
):
    async with served() as (server, models):
        server.script(*[refusal(500)] * 5)
        await ask(models, GPT)
        text, failure = await ask(models, GPT)
        assert (text, len(server.requests)) == ("", 5)
        assert failure == (
            "openai:gpt failed 5 times in a row, so it is asked again only in 5 s. "
            "The last failure: openai:gpt is failing at the moment (500, "
            "api_error). Try again in a moment."
        )


async def test_a_model_that_is_well_again_is_found_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The pause is over before any attempt that follows, however short the wait between them."""
    monkeypatch.setattr("agent.llm.bulkhead.FIRST_PAUSE", 1e-6)
    async with served() as (server, _), open_models_of(server) as models:
        server.script(*[refusal(500)] * 5)
        await ask(models, GPT)
        assert await ask(models, GPT) == SAID
        assert len(server.requests) == 6


@asynccontextmanager
async def open_models_of(server: ModelServer) -> AsyncIterator[ModelRouter]:
    """Models that really sleep between attempts."""
    async with open_models(
        Settings(_env_file=None, openai_base_url=server.url)
    ) as models:
        yield models
