"""`/channels`: all of them, their state on each instance, and what is set."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from msgspec import Struct
from starlette.responses import Response

from agent.core.words.model_lists import ListsModels
from agent.web.console.page import PageContext
from agent.web.console.pages.channels.places import (
    Place,
    places_of,
)
from agent.web.console.services import Services
from storage.control.channel_settings import shown_setting
from storage.control.channels import (
    ChannelAdmin,
    ChannelView,
    described,
)
from storage.reports.channels import (
    unreadable_events,
    unreadable_sentence,
)

SHORT = 60
"""Characters of a setting in the list."""


class ChannelRow(Struct, frozen=True):
    """A channel in the list."""

    view: ChannelView
    places: Sequence[Place]
    settings: Sequence[tuple[str, str]]
    unreadable: str
    """What it could not read lately; "": nothing."""


async def show(
    context: PageContext,
) -> Response:
    services = context.services
    views, places = await asyncio.gather(
        admin_of(services).list(), places_of(services)
    )
    rows = [
        await channel_row(
            services,
            view,
            places,
        )
        for view in views
    ]

    return context.render("channels/list.html", rows=rows)


async def channel_row(
    services: Services,
    view: ChannelView,
    places: Sequence[Place],
) -> ChannelRow:
    kinds = await unreadable_events(services.stores.pipe, view.name)
    here = [place for place in places if place.channel == view.name]
    settings = [
        (name, _short(shown_setting(value)))
        for name, value in described(view.form).items()
    ]

    return ChannelRow(
        view, here, settings, unreadable_sentence(kinds) if kinds else ""
    )


def _short(
    text: str,
) -> str:
    return text if len(text) <= SHORT else f"{text[: SHORT - 1]}…"


def admin_of(
    services: Services,
) -> ChannelAdmin:
    stores, models = services.stores, services.models
    lists = models if isinstance(models, ListsModels) else None

    return ChannelAdmin(
        stores.database,
        stores.pipe,
        models.check,
        lists,
    )
