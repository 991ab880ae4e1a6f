"""Where one model fails before its first word, another answers."""

from __future__ import annotations

import logging

import pytest

from agent.core.completion import Spent, Usage
from tests.support.faulty_models import (
    ASKED,
    BROKE_OFF,
    FALLBACK,
    ask,
    asked_models,
    served,
)
from tests.support.model_server import Answer, refusal


@pytest.mark.parametrize(
    ("failures", "asked"),
    [
        ([refusal(401)], ["gpt", "claude"]),
        ([refusal(404)], ["gpt", "claude"]),
        ([refusal(500)] * 3, ["gpt", "gpt", "gpt", "claude"]),
        ([refusal(429, retry_after=60)], ["gpt", "claude"]),
        ([Answer("")], ["gpt", "claude"]),
    ],
    ids=["wrong key", "no such model", "failing", "must wait too long", "empty"],
)
async def test_another_model_answers_when_one_fails(
    failures: list[Answer], asked: list[str]
) -> None:
    async with served(**FALLBACK) as (server, models):
        server.script(*failures, Answer("Here."))
        pieces = [
            piece
            async for piece in models.stream("openai:gpt", ASKED)
            if not isinstance(piece, Spent)
        ]
        assert pieces == ["Here.", Usage("anthropic:claude", 3, 1)]
        assert asked_models(server) == asked


async def test_a_fallback_is_logged_without_a_secret(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with served(**FALLBACK) as (server, models):
        server.script(
            refusal(401, "invalid_api_key", "Incorrect API key: sk-open, hush")
        )
        with caplog.at_level(logging.WARNING):
            await ask(models, "openai:gpt")
        assert caplog.messages == [
            "A model failed before its first word: "
            "The model server refused OPENAI_API_KEY (401, invalid_api_key). Set a valid key."
        ]


async def test_after_the_first_text_no_other_model_is_asked() -> None:
    async with served(**FALLBACK) as (server, models):
        server.script(Answer("one two", fault="cut", after=1))
        assert await ask(models, "openai:gpt") == (
            "one ",
            BROKE_OFF.format("openai:gpt"),
        )
        assert asked_models(server) == ["gpt"]


async def test_when_all_models_fail_the_asked_one_is_spoken_of() -> None:
    async with served(**FALLBACK) as (server, models):
        server.script(refusal(404, "model_not_found"), refusal(401))
        sentence = (
            "openai:gpt does not exist on this server. Choose another "
            "with /model NAME or DEFAULT_MODEL."
        )
        assert await ask(models, "openai:gpt") == ("", sentence)


async def test_a_model_is_not_its_own_fallback() -> None:
    async with served(fallback_models=["openai:gpt"]) as (server, models):
        server.script(refusal(401))
        await ask(models, "openai:gpt")
        assert len(server.requests) == 1
