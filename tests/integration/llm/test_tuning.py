"""Temperature, effort, longest answer and further fields of a model: by MODELS, and by flags."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from msgspec.structs import replace
from pydantic import ValidationError

from agent.core.completion import Prompt, Tuning
from agent.llm.prices.bound import worst_case
from agent.llm.router import ModelRouter
from agent.settings import ModelSpec
from tests.support.model_server import ModelServer, refusal
from tests.support.providers import ASKED, BOTH, ask, served

SPEC = ModelSpec(temperature=0.2, effort="low", answer=500, fields={"top_p": 0.9})
BY_FLAG = Tuning(1.0, "high", 700, {"top_k": 5, "model": "other", "stream": False})
REFUSED = "Unsupported value: 'temperature' does not support 0.2 with this model."


def specs(spec: ModelSpec = SPEC) -> dict[str, ModelSpec]:
    return {"openai:gpt": spec, "anthropic:claude": spec}


def tuned(server: ModelServer, index: int = 0) -> dict[str, Any]:
    """What was asked for, in the words of this test."""
    body = server.requests[index].body
    effort = body.get("reasoning_effort") or body.get("output_config", {}).get(
        "effort"
    )

    return {
        "temperature": body.get("temperature"),
        "effort": effort,
        "longest": body.get("max_tokens"),
        "top_p": body.get("top_p"),
        "top_k": body.get("top_k"),
    }


async def asked(models: ModelRouter, model: str, prompt: Prompt = ASKED) -> None:
    _, _, error = await ask(models, model, prompt)
    assert error is None


@BOTH
async def test_what_models_says_goes_with_each_request(model: str) -> None:
    async with served(models=specs()) as (server, models):
        await asked(models, model)

        assert {
            "temperature": 0.2,
            "effort": "low",
            "longest": 500,
            "top_p": 0.9,
            "top_k": None,
        } == tuned(server)


@BOTH
async def test_a_flag_wins_and_the_agents_own_fields_stay(model: str) -> None:
    async with served(models=specs()) as (server, models):
        await asked(models, model, replace(ASKED, tuning=BY_FLAG))

        assert {
            "temperature": 1.0,
            "effort": "high",
            "longest": 700,
            "top_p": 0.9,
            "top_k": 5,
        } == tuned(server)
        body = server.requests[0].body
        assert (model.partition(":")[2], True) == (body["model"], body["stream"])


async def test_a_model_that_refuses_a_temperature_is_asked_without_from_then_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with served(models=specs()) as (server, models):
        server.script(refusal(400, "unsupported_value", REFUSED))
        await asked(models, "openai:gpt")
        await asked(models, "openai:gpt")

        assert [0.2, None, None] == [
            request.body.get("temperature") for request in server.requests
        ]
        assert "stream_options" in server.requests[1].body
    assert 1 == caplog.text.count("openai:gpt refuses what MODELS or a flag says")


async def test_a_longer_answer_by_flag_is_set_aside() -> None:
    models = {"a:b": ModelSpec(input=Decimal(0), output=Decimal(1), answer=100)}
    worst = worst_case("a:b", replace(ASKED, tuning=BY_FLAG), models=models)

    assert (700, Decimal("0.0007")) == (worst.completion_tokens, worst.cost_usd)


@pytest.mark.parametrize(
    "wrong",
    [
        {"temperature": 3},
        {"temperature": -1},
        {"effort": "very much"},
        {"fields": {"messages": []}},
        {"fields": [1]},
    ],
)
def test_what_cannot_be_asked_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ModelSpec.model_validate_json(json.dumps(wrong))
