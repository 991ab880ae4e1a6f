"""`/usage`: what people used, what it cost, and what this month will have cost at its end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, get_args
from urllib.parse import urlencode

from msgspec import Struct
from msgspec.structs import replace
from starlette.responses import Response

from agent.control.permissions import Permission
from agent.core.errors import AgentError, Rejected
from agent.reports import forecast, table
from agent.reports.export import Record
from agent.reports.table import Report, View, cell_of, picture_of
from agent.reports.usage import Subject, Unit
from agent.web.console.errors import described, status_of
from agent.web.console.page import Fields, Page, PageContext
from agent.web.console.rendering import Picture
from storage.control.targets import RuleTarget, audience_of
from storage.reports.models import started_experiments
from storage.reports.source import (
    Asked,
    Source,
    month_forecast,
    newest_of,
    open_source,
    variants_of,
)
from storage.transaction import transaction

UNITS: Sequence[Unit] = get_args(Unit)
SUBJECTS: Mapping[str, tuple[Report, Subject | None]] = {
    "": (table.USAGE, None),
    "channel": (table.CHANNELS, "channel"),
    "model": (table.MODELS, "model"),
    "person": (table.PEOPLE, "person"),
    "variant": (table.VARIANTS, None),
}
PLOTTED = ("cost_usd", "messages", "answers", "tokens", "people")
TITLES = {
    "period": "From",
    "prompt_tokens": "Tokens read",
    "cached_tokens": "Of them cached",
    "tokens": "Tokens written",
    "cost_usd": "Cost",
    "thumbs_up": "Thumbs up",
    "thumbs_down": "Thumbs down",
    "failures": "No answer",
    "name": "Person",
}
WORDS = frozenset({"period", "channel", "model", "name", "variant"})
"""Columns that hold no number."""

MAX_ROWS = 500
"""Lines on a page: the newest. Of one time, those with an unknown cost stand first, and then the
dearest. A command shows all.
"""


class Cell(Struct, frozen=True):
    """What stands in one column of a row."""

    title: str
    text: str
    is_number: bool
    path: str = ""
    """Where it leads."""


async def show(context: PageContext) -> Response:
    """A refusal comes back with the form as it was filled in."""
    values = await _known(context)
    try:
        shown = await _read(context)
    except AgentError as error:
        shown = {"problem": described(error)}
        return _page(context, values | shown, status_of(error))

    return _page(context, values | shown)


PAGES = (Page("/usage", "Usage and cost", Permission.SEE, show, in_menu=True),)


def _page(
    context: PageContext,
    values: Mapping[str, Any],
    status: int = 200,
) -> Response:
    empty = {
        "problem": "",
        "titles": (),
        "rows": (),
        "total": (),
        "picture": "",
        "notes": (),
        "scope": None,
        "left_out": 0,
    }

    return context.render(
        "usage/usage.html",
        status,
        **(empty | dict(values)),
    )


async def _known(context: PageContext) -> dict[str, Any]:
    """What the form offers, and what was chosen."""
    database = context.services.stores.database

    return {
        "asked": context.query,
        "unit": _unit(context.query),
        "units": UNITS,
        "subjects": SUBJECTS,
        "plotted": PLOTTED,
        "column_titles": TITLES,
        "experiments": await started_experiments(database),
    }


async def _read(context: PageContext) -> dict[str, Any]:
    """Raises Rejected, StoreUnavailable and ConfigurationError."""
    query, services = context.query, context.services
    database = services.stores.database
    asked = await _asked(context)

    async with open_source(services.settings, database, asked) as source:
        view = await _view(source, query)
        expected = await month_forecast(source)

    notes = [forecast.described(expected), source.notice]

    return _shown(_plotted(view, query)) | {
        "notes": [*filter(None, notes)],
        "left_out": view.left_out,
    }


async def _asked(context: PageContext) -> Asked:
    query = context.query
    if query["of"] not in SUBJECTS:
        raise Rejected(f"A line is for one of {', '.join(filter(None, SUBJECTS))}.")

    target = RuleTarget(
        person=query["person"] or None,
        channel=query["channel"] or None,
    )
    async with transaction(context.services.stores.database) as connection:
        audience = await audience_of(connection, target)

    return Asked(
        _unit(query),
        SUBJECTS[query["of"]][1],
        audience.channel,
        query["model"] or None,
        audience.person,
        query["since"] or None,
        query["until"] or None,
    )


def _unit(query: Fields) -> Unit | None:
    """By day where nothing is said of lines at all."""
    chosen = query["by"] or ("" if query["of"] else "day")

    return next((unit for unit in UNITS if unit == chosen), None)


async def _view(
    source: Source,
    query: Fields,
) -> View:
    report = SUBJECTS[query["of"]][0]
    if report is not table.VARIANTS:
        return await newest_of(source, report, MAX_ROWS)
    if not query["experiment"]:
        raise Rejected("Choose the experiment whose variants are compared.")

    return await variants_of(source, report, query["experiment"], MAX_ROWS)


def _plotted(
    view: View,
    query: Fields,
) -> View:
    wanted = query["plot"] or "cost_usd"

    return replace(view, plotted=wanted if wanted in view.names else "cost_usd")


def _picture(view: View) -> Picture:
    """Time goes to the right, though the table begins with the newest."""
    records = view.records[::-1] if view.scope.unit else view.records

    return Picture(picture_of(replace(view, records=records)))


def _shown(view: View) -> dict[str, Any]:
    names = [name for name in view.names if name not in table.HIDDEN]
    rows = [[_cell(view, name, one) for name in names] for one in view.records]
    is_summed = len(rows) > 1 or view.left_out
    total = view.total if is_summed else None

    return {
        "scope": view.scope,
        "titles": [(_title(name), name not in WORDS) for name in names],
        "rows": rows,
        "total": [_sum(view, name, total) for name in names] if total else (),
        "picture": _picture(view) if rows else "",
    }


def _title(name: str) -> str:
    return TITLES.get(name, name.capitalize())


def _cell(
    view: View,
    name: str,
    record: Record,
) -> Cell:
    text = cell_of(name, record, view.scope.unit)

    return Cell(_title(name), text, name not in WORDS, _path(name, record))


def _sum(
    view: View,
    name: str,
    total: Record,
) -> Cell:
    """A sum belongs to no time and nobody."""
    cell = _cell(view, name, total)

    return replace(cell, text="", path="") if name in WORDS else cell


def _path(
    name: str,
    record: Record,
) -> str:
    """A person's page; what was used of a model or on a channel, by day."""
    value = record[name]
    if name == "name":
        return f"/people/{record['person']}" if record["person"] else ""
    if name in ("model", "channel") and value:
        return f"/usage?{urlencode({name: value})}"

    return ""
