"""`agent experiments ship`: the variant that served people better becomes what the flag is."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated

import typer
from msgspec.structs import asdict

from agent.cli.change import ChangeOptions, Proposal, run_change
from agent.cli.control.experiments_report import Name, Primary
from agent.cli.options import As, Expect, Json, Reason, Yes, operating
from agent.cli.output import show_json, tell
from agent.core.errors import Rejected
from agent.core.remedies import Run
from agent.reports.experiment import PRIMARY, MetricName
from agent.reports.winner import why_none, winner_of

if TYPE_CHECKING:
    from agent.settings import Settings
    from storage.control.audit import Author
    from storage.control.experiments.admin import ExperimentAdmin
    from storage.control.experiments.shipping import Shipped, Shipping

    Shop = tuple[ExperimentAdmin, Shipping, Settings]

Chosen = Annotated[
    str | None,
    typer.Argument(
        help="The variant; without it, the one that the report calls better."
    ),
]


def ship(
    name: Name,
    variant: Chosen = None,
    metric: Primary = PRIMARY,
    as_: As = None,
    reason: Reason = None,
    yes: Yes = False,
    expect: Expect = None,
    as_json: Json = False,
) -> None:
    """Set the flag to a variant's value for all whom the experiment was for, and end it."""

    async def propose(shop: Shop, by: Author) -> Proposal[Shipped]:
        return await _proposal(shop, by, name, variant, metric)

    options = ChangeOptions(as_, reason, as_json, yes, expect)
    run_change(_open_shop, propose, _show, options)


async def _proposal(
    shop: Shop, by: Author, name: str, variant: str | None, metric: MetricName
) -> Proposal[Shipped]:
    from storage.control.experiments.questions import ship_question

    admin, shipping, settings = shop
    view = await admin.get(name)
    chosen = variant or await _winner(settings, name, metric)

    return Proposal(
        lambda version: shipping.ship(name, chosen, by, expected=version),
        ship_question(view, chosen),
        view.version,
    )


async def _winner(settings: Settings, name: str, metric: MetricName) -> str:
    """Raises Rejected when the report does not say so yet."""
    from storage.reports.experiment_figures import experiment_report

    async with operating(settings) as (stores, _):
        url = stores.database.url
        report = await experiment_report(settings, url, name, metric, deadline=None)
    winner = winner_of(report)
    if winner is None:
        raise Rejected(
            f"{why_none(report)} Name the variant to ship.",
            Run("experiments report", "compares them", target=name),
        )

    return winner


def _show(shipped: Shipped, /, *, as_json: bool) -> None:
    from storage.control.changes import difference

    if as_json:
        show_json(asdict(shipped))
        return

    change = difference(shipped.before, shipped.after) or "so already"
    tell(f"{shipped.flag}: {change}")
    tell(f"{shipped.experiment} {'is ended' if shipped.stopped else 'had ended'}.")


@asynccontextmanager
async def _open_shop(settings: Settings) -> AsyncIterator[Shop]:
    from storage.control.experiments.admin import ExperimentAdmin
    from storage.control.experiments.shipping import Shipping
    from storage.control.flag_rules import ValueCheck

    async with operating(settings) as (stores, models):
        check = ValueCheck(models, settings.window_messages)
        yield (
            ExperimentAdmin(stores.database, stores.pipe, check),
            Shipping(stores.database, stores.pipe, check),
            settings,
        )
