"""`/experiments/<name>`: what it compares, for whom, how far it is, and what can be done."""

from __future__ import annotations

from starlette.responses import Response

from agent.control.experiments import (
    Stage,
    Variant,
    audience_of,
)
from agent.reports.experiment import METRICS
from agent.web.console.errors import (
    not_found,
)
from agent.web.console.page import PageContext
from agent.web.console.services import Services
from storage.control.audit import list_entries
from storage.control.experiments.admin import (
    ExperimentAdmin,
    ExperimentView,
    subject_of_experiment,
)
from storage.control.experiments.questions import why_late
from storage.control.experiments.shipping import Shipping

HISTORY = 20

MARKS = {
    Stage.RUNNING: "good",
    Stage.DRAFTED: "fair",
    Stage.ENDED: "over",
}
"""How a stage looks; the word stands beside it."""


async def show(
    context: PageContext,
) -> Response:
    return await one(context)


async def one(
    context: PageContext,
    *,
    problem: str = "",
    status: int = 200,
) -> Response:
    """The page; after a refusal with the reason."""
    view = await found(context, context.address["name"])
    experiment = view.experiment
    subject = subject_of_experiment(experiment.name)
    total = sum(variant.weight for variant in experiment.variants)
    history = await list_entries(
        context.services.stores.database, subject=subject, limit=HISTORY
    )

    return context.render(
        "experiments/one.html",
        status,
        view=view,
        experiment=experiment,
        mark=MARKS[view.stage],
        why_late=why_late,
        audience=audience_of(experiment),
        shares=[100 * each.weight / total for each in experiment.variants],
        can_ship=[each.name for each in experiment.variants if _has_value(each)],
        metrics=METRICS,
        history=history,
        problem=problem,
    )


def _has_value(
    variant: Variant,
) -> bool:
    return variant.value is not None


async def found(
    context: PageContext,
    name: str,
) -> ExperimentView:
    """Raises Stopped when there is none of this name."""
    with not_found():
        return await admin_of(context.services).get(name)


def admin_of(
    services: Services,
) -> ExperimentAdmin:
    stores = services.stores

    return ExperimentAdmin(
        stores.database,
        stores.pipe,
        services.flags.check,
    )


def shipping_of(
    services: Services,
) -> Shipping:
    stores = services.stores

    return Shipping(
        stores.database,
        stores.pipe,
        services.flags.check,
    )
