"""Both providers' models over a server on loopback, without pauses between tries."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import pytest
from msgspec.structs import replace

from agent.core.completion import Prompt, Usage
from agent.core.errors import ModelError
from agent.llm.router import ModelRouter, open_models
from agent.settings import ModelSpec, Settings
from tests.support.model_server import ModelServer, model_server

ASKED = Prompt(
    "Be kind.",
    (("user", "my name is Ada"), ("assistant", "Hello Ada."), ("user", "who am I?")),
)
PRICES = {
    name: ModelSpec(input=Decimal(1), output=Decimal(10))
    for name in ("openai:gpt", "anthropic:claude")
}
BOTH = pytest.mark.parametrize("model", ["openai:gpt", "anthropic:claude"])


async def no_sleep(seconds: float) -> None:
    """Retries at once."""


def settings(server: ModelServer, **values: Any) -> Settings:
    servers = {
        "openai_base_url": server.url,
        "anthropic_base_url": server.anthropic_url,
    }
    keys = {"openai_api_key": "sk-open", "anthropic_api_key": "sk-ant"}
    return Settings(_env_file=None, **{**servers, **keys, "models": PRICES, **values})


@asynccontextmanager
async def served(**values: Any) -> AsyncIterator[tuple[ModelServer, ModelRouter]]:
    async with (
        model_server() as server,
        open_models(settings(server, **values), no_sleep) as models,
    ):
        yield server, models


async def ask(
    models: ModelRouter, model: str, prompt: Prompt = ASKED
) -> tuple[str, Usage | None, str | None]:
    """The text, the usage (whoever says its price) and the sentence of the failure."""
    text, usage = "", None
    try:
        async for piece in models.stream(model, prompt):
            if isinstance(piece, Usage):
                usage = replace(piece, price_source="")
            elif isinstance(piece, str):
                text += piece
    except ModelError as error:
        return text, usage, error.sentence
    return text, usage, None
