"""What `agent doctor` and `agent status` find out about models and their providers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import aclosing

from agent.core.channel import Finding
from agent.core.completion import Prompt
from agent.core.errors import ConfigurationError, ModelError, UnknownModel
from agent.core.words.model_lists import LIST_SECONDS
from agent.llm.catalog import check_models, with_default_model
from agent.llm.router import ModelRouter, open_models
from agent.operations.remedies import described
from agent.settings import OFFLINE, UNKNOWN_MODEL, Settings
from storage.postgres import Database
from storage.reports.models import models_named

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

        used = await models_in_use(settings, None)
        unpriced = await without_price(models, used)
        prices = price_finding(settings, unpriced)

        return [*answered, *others, *prices, *await ending_findings(models, used)]


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


async def ending_findings(
    models: ModelRouter, names: Sequence[str]
) -> Sequence[Finding]:
    """Models that their providers are going to take away."""
    return [
        Finding(
            "model",
            f"{name} is deprecated: its provider is going to take it away.",
            f"Choose another. {_PAGE}",
            urgent=False,
        )
        for name in names
        if (await models.facts(name)).is_ending
    ]


async def _gone(settings: Settings, models: ModelRouter) -> AsyncIterator[Finding]:
    named = dict.fromkeys(settings.fallback_models, "FALLBACK_MODELS")
    for model, setting in named.items():
        try:
            problem = await models.objection(model, LIST_SECONDS)
        except UnknownModel as error:
            problem = error.sentence
        if problem:
            yield Finding("model", f"{setting}: {problem}", _PAGE)


async def models_in_use(settings: Settings, database: Database | None) -> list[str]:
    """Those that settings name, and those that operators named in this database."""
    named = [settings.model, *settings.fallback_models]
    stored = await models_named(database) if database else []

    return list(dict.fromkeys((*named, *stored)))


async def without_price(models: ModelRouter, names: Iterable[str]) -> list[str]:
    """Those whose answers cost nobody knows what."""
    names = [name for name in names if name != OFFLINE]
    await models.specs.learn(names)
    specs = {name: models.specs.get(name, UNKNOWN_MODEL) for name in names}

    return [name for name, spec in specs.items() if spec.cost(1, 0, 1) is None]


def price_finding(settings: Settings, unpriced: Iterable[str]) -> Iterator[Finding]:
    """Of models that somebody is charged for: those that are asked with a key."""
    charged = [name for name in unpriced if _is_charged(settings, name)]
    if charged:
        yield Finding(
            "prices",
            f"No price is known of {', '.join(charged)}, so its cost is unknown.",
            "Name it in MODELS.",
        )


def _is_charged(settings: Settings, model: str) -> bool:
    provider = settings.provider(model.partition(":")[0])

    return provider is not None and provider.api_key is not None
