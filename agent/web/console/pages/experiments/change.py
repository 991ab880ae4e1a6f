"""`/experiments/<name>`: the steps of an experiment, each to the version that the form shows."""

from __future__ import annotations

from collections.abc import (
    Awaitable,
    Callable,
    Mapping,
)
from urllib.parse import quote

from msgspec import Struct
from starlette.responses import Response

from agent.core.errors import (
    Conflict,
    Rejected,
)
from agent.reports.winner import (
    why_none,
    winner_of,
)
from agent.web.console.confirming import unconfirmed
from agent.web.console.errors import (
    Stopped,
    described,
    status_of,
)
from agent.web.console.page import PageContext
from agent.web.console.pages.experiments.one import (
    admin_of,
    found,
    one,
    shipping_of,
)
from agent.web.console.pages.experiments.report import metric_of
from storage.control.changes import difference
from storage.control.experiments.admin import ExperimentView
from storage.control.experiments.questions import (
    ship_question,
    start_question,
    stop_question,
)
from storage.reports.experiment_figures import experiment_report


class Step(Struct, frozen=True):
    """A step that is ready to be made."""

    question: str | None
    make: Callable[[], Awaitable[str]]
    """Says what was done."""
    yes: str
    leads_to: str


async def act(
    context: PageContext,
) -> Response:
    kind = _KINDS.get(context.form["do"])
    if kind is None:
        raise Stopped(422, "The form does not say what to do. Load the page again.")

    name = context.address["name"]
    await found(context, name)
    try:
        step = await kind(context, name)
        path = f"/experiments/{quote(name)}"
        if question := await unconfirmed(
            context,
            step.question,
            path,
            step.make,
            step.yes,
        ):
            return question
        told = await step.make()
    except (Rejected, Conflict) as error:
        return await one(
            context,
            problem=described(error),
            status=status_of(error),
        )

    return context.redirect(step.leads_to, told)


async def _start(
    context: PageContext,
    name: str,
) -> Step:
    admin = admin_of(context.services)
    question = start_question(await admin.get(name))

    return _turned(context, name, question, admin.start, "started", "Yes, start it")


async def _stop(
    context: PageContext,
    name: str,
) -> Step:
    admin = admin_of(context.services)
    question = stop_question(await admin.get(name))

    return _turned(context, name, question, admin.stop, "stopped", "Yes, stop it")


def _turned(
    context: PageContext,
    name: str,
    question: str | None,
    turn: Callable[..., Awaitable[ExperimentView]],
    done: str,
    yes: str,
) -> Step:
    async def make() -> str:
        await turn(
            name,
            context.author(),
            expected=_version(context),
        )
        return f"{name} is {done}."

    return Step(
        question,
        make,
        yes,
        f"/experiments/{quote(name)}",
    )


async def _remove(
    context: PageContext,
    name: str,
) -> Step:
    admin = admin_of(context.services)

    async def make() -> str:
        await admin.remove(
            name,
            context.author(),
            expected=_version(context),
        )
        return f"{name} is removed."

    return Step(
        None,
        make,
        "",
        "/experiments",
    )


async def _ship(
    context: PageContext,
    name: str,
) -> Step:
    """Without a variant, the one that the report calls better."""
    view = await admin_of(context.services).get(name)
    variant = context.form["variant"] or await _winner(context, name)
    shipping = shipping_of(context.services)

    async def make() -> str:
        author, version = context.author(), _version(context)
        made = await shipping.ship(
            name,
            variant,
            author,
            expected=version,
        )
        change = difference(made.before, made.after) or "so already"
        ended = "is ended" if made.stopped else "had ended"
        return f"{made.flag}: {change}. {name} {ended}."

    question = ship_question(view, variant)

    return Step(
        question,
        make,
        "Yes, ship it",
        f"/experiments/{quote(name)}",
    )


async def _winner(
    context: PageContext,
    name: str,
) -> str:
    """Raises Rejected when the report does not say so yet."""
    services = context.services
    url = services.stores.database.url
    metric = metric_of(context.form["metric"])
    report = await experiment_report(
        services.settings,
        url,
        name,
        metric,
    )
    winner = winner_of(report)
    if winner is None:
        raise Rejected(f"{why_none(report)} Choose the variant to ship.")

    return winner


def _version(
    context: PageContext,
) -> int:
    """The one that the form shows; a form without one is as old as can be."""
    return context.form.number("version") or 0


_KINDS: Mapping[str, Callable[[PageContext, str], Awaitable[Step]]] = {
    "start": _start,
    "stop": _stop,
    "remove": _remove,
    "ship": _ship,
}
