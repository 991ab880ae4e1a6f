"""What `agent doctor` and `agent status` find out about models and their providers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing

from agent.app import check_models
from agent.core.channel import Finding
from agent.core.completion import Prompt
from agent.core.errors import ConfigurationError, ModelError, UnknownModel
from agent.llm.catalog import with_default_model
from agent.llm.router import ModelRouter, open_models
from agent.operations.remedies import described
from agent.settings import OFFLINE, Settings

LIST_SECONDS = 5.0
"""For the list of each provider; all are asked at once."""

_PAGE = "See docs/configuration.md."


async def model_findings(settings: Settings) -> Sequence[Finding]:
    """The shortest request there is, to the default model; of each other provider, whether
    it says what it has.
    """
    async with open_models(settings) as models:
        try:
            settings = await with_default_model(settings, models)
            check_models(settings, models)
        except ConfigurationError as error:
            return [Finding("model", described(error), _PAGE)]

        answered, others = await asyncio.gather(
            _asked(settings, models), _providers(settings, models)
        )

        return [*answered, *others]


async def _asked(settings: Settings, models: ModelRouter) -> Sequence[Finding]:
    if settings.model == OFFLINE:
        return []

    prompt = Prompt("", (("user", "Say ok."),))
    try:
        async with aclosing(models.stream(settings.model, prompt)) as answer:
            await anext(piece async for piece in answer if isinstance(piece, str))
    except ModelError as error:
        return [Finding("model", described(error), _PAGE)]

    return []


async def _providers(settings: Settings, models: ModelRouter) -> Sequence[Finding]:
    """A line for each provider that cannot be reached, and for each model that is gone."""
    asked = settings.model.partition(":")[0]
    lists = await models.listed(LIST_SECONDS)
    silent = [
        Finding(f"provider {name}", found.problem, _PAGE)
        for name, found in lists.items()
        if found.problem and not found.answered and name != asked
    ]

    return [*silent, *[gone async for gone in _gone(settings, models)]]


async def _gone(settings: Settings, models: ModelRouter) -> AsyncIterator[Finding]:
    named = dict.fromkeys(settings.fallback_models, "FALLBACK_MODELS")
    for model, setting in named.items():
        try:
            problem = await models.objection(model, LIST_SECONDS)
        except UnknownModel as error:
            problem = error.sentence
        if problem:
            yield Finding("model", f"{setting}: {problem}", _PAGE)
