"""`/experiments`: all of them, and a form to draft another."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from starlette.responses import Response

from agent.control.experiments import (
    MAX_VARIANTS,
    Experiment,
    Stage,
    Variant,
    audience_of,
    typed_variant,
)
from agent.control.flags import Flag
from agent.core.errors import (
    Conflict,
    Rejected,
)
from agent.web.console.errors import (
    described,
    status_of,
)
from agent.web.console.page import (
    Fields,
    PageContext,
)
from agent.web.console.pages.experiments.one import (
    MARKS,
    admin_of,
    found,
)
from agent.web.console.rendering import as_json
from storage.control.experiments.admin import ExperimentView
from storage.control.experiments.questions import why_late
from storage.control.targets import moment

ROWS = 3
"""Variants that the empty form has room for."""

ORDER = (Stage.RUNNING, Stage.DRAFTED, Stage.ENDED)


async def show(
    context: PageContext,
) -> Response:
    """With `copy`, the form holds what that experiment is: one that began cannot change."""
    name = context.query["copy"]
    typed = Fields({})
    if name:
        view = await found(context, name)
        typed = Fields({key: [value] for key, value in _copied(view.experiment)})

    return await _page(context, typed)


async def act(
    context: PageContext,
) -> Response:
    """Drafts it. Nobody takes part until it is started."""
    if context.form["do"] == "more":
        return await _page(
            context,
            context.form,
            more=1,
        )

    try:
        experiment = await _typed(context)
        admin = admin_of(context.services)
        await admin.create(experiment, context.author())
    except (Rejected, Conflict) as error:
        problem, status = described(error), status_of(error)
        return await _page(
            context,
            context.form,
            problem=problem,
            status=status,
        )

    path = f"/experiments/{quote(experiment.name)}"

    return context.redirect(path, f"{experiment.name} is drafted.")


async def _page(
    context: PageContext,
    typed: Fields,
    *,
    more: int = 0,
    problem: str = "",
    status: int = 200,
) -> Response:
    views = await admin_of(context.services).all()
    flags = await context.services.flags.all()
    wanted = context.query["q"].lower()
    shown = [view for view in views if wanted in _words(view)]

    return context.render(
        "experiments/list.html",
        status,
        views=sorted(shown, key=lambda view: ORDER.index(view.stage)),
        marks=MARKS,
        why_late=why_late,
        audience_of=audience_of,
        flags=[view.flag for view in flags],
        typed=typed,
        rows=min(max(ROWS, _filled(typed) + more), MAX_VARIANTS),
        max_rows=MAX_VARIANTS,
        is_begun=bool(typed.items()),
        problem=problem,
        q=context.query["q"],
    )


def _words(
    view: ExperimentView,
) -> str:
    experiment = view.experiment
    names = " ".join(variant.name for variant in experiment.variants)

    return f"{experiment.name} {experiment.flag} {names} {view.stage}".lower()


def _filled(
    typed: Fields,
) -> int:
    """Rows that the form had."""
    return sum(1 for name, _ in typed.items() if name.startswith("variant."))


async def _typed(
    context: PageContext,
) -> Experiment:
    """The experiment that the form says. Raises Rejected."""
    form = context.form
    view = await context.services.flags.get(form["flag"])
    starts, ends = form["starts"], form["ends"]

    return Experiment(
        form["name"],
        form["flag"],
        form["salt"] or form["name"],
        tuple(_variants(form, view.flag)),
        frozenset(form["channels"].replace(",", " ").split()),
        _percent(form["share"] or "100", "share of people"),
        moment(starts) if starts else None,
        moment(ends) if ends else None,
        _percent(form["detect"] or "10", "smallest difference") / 100,
    )


def _variants(
    form: Fields,
    flag: Flag[Any],
) -> Iterator[Variant]:
    """Rows without a name are left out; one without a value is as if there were no experiment."""
    for row in range(MAX_VARIANTS):
        name = form[f"variant.{row}"]
        value = form.raw(f"value.{row}")
        if name:
            weight = form[f"weight.{row}"]
            yield typed_variant(
                flag,
                name,
                weight,
                value or None,
            )
        elif value:
            raise Rejected("A variant has a value and no name. Name it.")


def _percent(
    typed: str,
    what: str,
) -> float:
    try:
        return float(typed.removesuffix("%"))
    except ValueError:
        raise Rejected(f"The {what} is a number of percent, such as 12.5.") from None


def _copied(
    experiment: Experiment,
) -> Iterator[tuple[str, str]]:
    """The fields of the form, without its name and its plan."""
    yield "flag", experiment.flag
    yield "channels", " ".join(sorted(experiment.channels))
    yield "share", f"{experiment.share:g}"
    yield "detect", f"{100 * experiment.detect:g}"

    for row, variant in enumerate(experiment.variants):
        yield f"variant.{row}", variant.name
        yield f"weight.{row}", f"{variant.weight:g}"
        yield f"value.{row}", shown_value(variant)


def shown_value(
    variant: Variant,
) -> str:
    """As it is typed; "": as if there were no experiment."""
    match variant.value:
        case None:
            return ""
        case str() as text:
            return text
        case value:
            return as_json(value)
