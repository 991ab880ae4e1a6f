"""Prices as people read them: in US dollars for a million tokens, with their source."""

from __future__ import annotations

from collections.abc import (
    Iterable,
    Mapping,
)
from decimal import Decimal

from msgspec import Struct

from agent.llm.prices.known import Specs
from agent.llm.router import ModelRouter
from agent.ports import LanguageModels
from agent.settings import (
    OFFLINE,
    UNKNOWN_MODEL,
    ModelSpec,
    Settings,
)
from agent.settings.model_spec import MILLION


class Price(Struct, frozen=True):
    """Of a short prompt, now. None: unknown."""

    input: Decimal | None
    cached_input: Decimal | None
    output: Decimal | None
    most_output: Decimal | None
    """The dearest of a day, for output."""
    source: str
    """Who says so, with a date if there is one; "": nobody."""
    context: int | None
    """Tokens."""

    @property
    def is_known(
        self,
    ) -> bool:
        return self.input is not None and self.output is not None

    @property
    def changes_in_a_day(
        self,
    ) -> bool:
        return self.most_output != self.output


FREE = Price(
    Decimal(0),
    Decimal(0),
    Decimal(0),
    Decimal(0),
    "it only repeats",
    None,
)
"""Of the offline model."""


async def prices_of(
    specs: Specs,
    names: Iterable[str],
) -> Mapping[str, Price]:
    """By model. Looks up what is not known yet; never raises."""
    wanted = list(names)
    await specs.learn(wanted)

    return {name: _price(name, specs) for name in wanted}


def specs_of(
    models: LanguageModels,
    settings: Settings,
) -> Specs:
    """What is known of these models."""
    return models.specs if isinstance(models, ModelRouter) else Specs(settings)


async def without_price(
    specs: Specs,
    names: Iterable[str],
) -> list[str]:
    """Those whose answers cost nobody knows what."""
    prices = await prices_of(specs, names)

    return [name for name, price in prices.items() if not price.is_known]


def _price(
    name: str,
    specs: Specs,
) -> Price:
    if name == OFFLINE:
        return FREE

    spec = specs.get(name, UNKNOWN_MODEL)

    return Price(
        _of_a_million(
            spec,
            1,
            0,
            0,
        ),
        _of_a_million(
            spec,
            1,
            1,
            0,
        ),
        _of_a_million(
            spec,
            0,
            0,
            1,
        ),
        _of_a_million(
            spec,
            0,
            0,
            1,
            at_most=True,
        ),
        spec.source,
        spec.context,
    )


def _of_a_million(
    spec: ModelSpec,
    *tokens: int,
    at_most: bool = False,
) -> Decimal | None:
    """From what one token costs, since a long prompt may have another price."""
    prompt, cached, completion = tokens
    cost = spec.cost(
        prompt,
        cached,
        completion,
        at_most=at_most,
    )

    return None if cost is None else cost * MILLION
