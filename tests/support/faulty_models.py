"""Models over servers that fail as a test says, and a sleep that only remembers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from agent.core.completion import Prompt
from agent.core.errors import ModelError
from agent.llm.router import ModelRouter, open_models
from agent.settings import Settings
from tests.support.model_server import ModelServer, model_server

ASKED = Prompt("", (("user", "hush, a secret"),))
BOTH = pytest.mark.parametrize("model", ["openai:gpt", "anthropic:claude"])
FALLBACK: dict[str, Any] = {"fallback_models": ["anthropic:claude"]}
AGAIN = "/retry asks again."
LATE = (
    "{} did not begin to answer within {} s. "
    "Try again in a moment; if it needs longer to load, raise MODEL_FIRST_BYTE_TIMEOUT."
)
BROKE_OFF = f"The connection to {{}} broke before its answer was complete. {AGAIN}"


class Sleeper:
    """Remembers how long it was asked to sleep and does not."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.slept.append(seconds)


@asynccontextmanager
async def served(
    sleep: Sleeper | None = None, **values: Any
) -> AsyncIterator[tuple[ModelServer, ModelRouter]]:
    async with model_server() as server:
        settings = Settings(
            _env_file=None,
            **{
                "openai_base_url": server.url,
                "anthropic_base_url": server.anthropic_url,
                "openai_api_key": "sk-open",
                "anthropic_api_key": "sk-ant",
                **values,
            },
        )
        async with open_models(settings, sleep or Sleeper()) as models:
            yield server, models


async def ask(models: ModelRouter, model: str) -> tuple[str, str | None]:
    """The text and the sentence of the failure."""
    text = ""
    try:
        async for piece in models.stream(model, ASKED):
            text += piece if isinstance(piece, str) else ""
    except ModelError as error:
        return text, error.sentence
    return text, None


def asked_models(server: ModelServer) -> list[str]:
    return [request.body["model"] for request in server.requests]
