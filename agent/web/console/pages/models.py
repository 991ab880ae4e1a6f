"""`/models`: providers, the models in use, what they cost, and how they answered lately."""

from __future__ import annotations

import asyncio
from collections.abc import (
    Mapping,
    Sequence,
)
from datetime import (
    UTC,
    datetime,
    timedelta,
)

from msgspec import Struct
from starlette.responses import Response

from agent.control.permissions import Permission
from agent.core.errors import UnknownModel
from agent.core.words.model_lists import (
    ListsModels,
    ModelList,
)
from agent.llm.prices.shown import (
    Price,
    prices_of,
    specs_of,
)
from agent.reports.usage import (
    Latency,
    Line,
    Scope,
)
from agent.settings import (
    Provider,
    Settings,
)
from agent.settings.tidy import host_of
from agent.web.console.page import (
    Page,
    PageContext,
)
from agent.web.console.services import Services
from storage.reports.models import models_in_use
from storage.reports.reading.replica import place_of
from storage.reports.usage import read_usage

WAIT_SECONDS = 0.15
"""For lists of providers: a list that is late goes on being fetched, and comes with the next
look.
"""

DAYS = (1, 7, 30)
SHOWN = 12
"""Models of one provider."""


class ProviderRow(Struct, frozen=True):
    """A server of models, without its key."""

    name: str
    protocol: str
    host: str
    key: str
    """set, not set or needs none."""
    names: Sequence[str]
    problem: str
    at: datetime | None
    """When it said what it has, or failed to."""


class ModelRow(Struct, frozen=True):
    """A model, as it is used."""

    name: str
    uses: str
    price: Price
    usage: Line
    latency: Latency | None
    objection: str
    """Why it cannot be asked; "": nothing is known against it."""

    @property
    def share_of_errors(
        self,
    ) -> float | None:
        """In percent of replies; None: there were none."""
        replies = self.usage.answers + self.usage.failures

        return 100 * self.usage.failures / replies if replies else None


async def show(
    context: PageContext,
) -> Response:
    services = context.services
    days = context.query.number("days")
    days = days if days in DAYS else DAYS[1]
    lists, rows = await asyncio.gather(
        _lists(services),
        _models(
            services,
            context.viewer.now,
            days,
        ),
    )

    return context.render(
        "models/list.html",
        providers=[*_providers(services.settings, lists)],
        rows=rows,
        days=days,
        choices=DAYS,
        shown=SHOWN,
        is_late=any(not one.answered for one in lists.values()),
    )


PAGES = (
    Page(
        "/models",
        "Models",
        Permission.SEE,
        show,
        in_menu=True,
    ),
)


async def _lists(
    services: Services,
) -> Mapping[str, ModelList]:
    """By provider; empty where the models cannot tell."""
    models = services.models
    if not isinstance(models, ListsModels):
        return {}

    return await models.listed(WAIT_SECONDS)


def _providers(
    settings: Settings,
    lists: Mapping[str, ModelList],
) -> list[ProviderRow]:
    return [
        ProviderRow(
            one.name,
            one.protocol,
            host_of(one.base_url),
            _key(one),
            found.names,
            found.problem,
            found.at,
        )
        for one in settings.configured
        for found in [lists.get(one.name, ModelList())]
    ]


def _key(
    provider: Provider,
) -> str:
    if provider.api_key is not None:
        return "set"

    return "not set" if provider.needs_key else "needs none"


async def _models(
    services: Services,
    now: datetime,
    days: int,
) -> list[ModelRow]:
    """Those in use first, then others that answered lately."""
    settings = services.settings
    used = await models_in_use(settings, services.stores.database)
    lines, latencies = await _reports(
        services,
        now,
        days,
    )
    names = [*dict.fromkeys([*used, *filter(None, lines)])]
    prices = await prices_of(specs_of(services.models, settings), names)
    # together: a provider that hangs is waited for once
    found = await asyncio.gather(*(_objection(services, name) for name in used))
    objections = dict(zip(used, found, strict=True))

    return [
        ModelRow(
            name,
            _uses(
                name,
                settings,
                used,
            ),
            prices[name],
            lines.get(name, Line(subject=name)),
            latencies.get(name),
            objections.get(name, ""),
        )
        for name in names
    ]


async def _reports(
    services: Services,
    now: datetime,
    days: int,
) -> tuple[Mapping[str, Line], Mapping[str, Latency]]:
    """By model, of full hours, as reports count."""
    hour = now.astimezone(UTC).replace(
        minute=0,
        second=0,
        microsecond=0,
    )
    until = hour + timedelta(hours=1)
    scope = Scope(
        until - timedelta(days=days),
        until,
        by="model",
    )
    place = await place_of(services.settings, services.stores.database_url)

    async with read_usage(place.url) as reader:
        lines = await reader.lines(scope)
        latencies = await reader.latencies(scope)

    return (
        {one.subject: one for one in lines},
        {one.subject: one for one in latencies},
    )


def _uses(
    name: str,
    settings: Settings,
    used: Sequence[str],
) -> str:
    """Where it is named."""
    named = [
        word
        for word, is_named in (
            ("default", name == settings.model),
            ("fallback", name in settings.fallback_models),
        )
        if is_named
    ]
    if not named and name in used:
        named = ["set by operators"]

    return ", ".join(named) or "answered lately"


async def _objection(
    services: Services,
    name: str,
) -> str:
    models = services.models
    try:
        if isinstance(models, ListsModels):
            return await models.objection(name, WAIT_SECONDS)
        models.check(name)
    except UnknownModel as error:
        return error.sentence

    return ""
