"""`/flags` and `/flags/<name>`: looking."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct
from starlette.responses import Response

from agent.control.flags import Kind
from agent.control.named_rules import NAMED, PREFIX
from agent.control.rules import GLOBAL, NO_RULE, Outcome, Step
from agent.core.errors import AgentError
from agent.web.console.errors import Stopped, described
from agent.web.console.page import PageContext
from storage.control.audit import Entry
from storage.control.changes import difference, shown_rule
from storage.control.flags import Explanation, FlagView
from storage.control.flags.uses import STALE_DAYS, Stale
from storage.control.targets import RuleTarget, moment

HISTORY = 30

ON_OFF = (("true", "on"), ("false", "off"))

NARROW = (
    *("people", "channels", "chat", "percentage", "salt", "rule"),
    *("starts", "ends", "for", "kill", "by_default", "force"),
)
"""Fields that make a rule one for some, or for a time."""


class Rule(Struct, frozen=True):
    """A rule of a flag, for people."""

    scope: str
    value: str


class FlagRow(Struct, frozen=True):
    """A flag in the list."""

    view: FlagView
    default: str
    rules: Sequence[Rule]
    in_force: str
    stale: str


class HistoryRow(Struct, frozen=True):
    """A change, in one line."""

    entry: Entry
    changed: str


class WhyRow(Struct, frozen=True):
    """A rule, and why it decides or does not."""

    rule: str
    why: str
    decides: bool


class Why(Struct, frozen=True):
    """What somebody gets, and why."""

    value: str
    rule: str
    at: datetime | None
    rows: Sequence[WhyRow]


async def show_all(context: PageContext) -> Response:
    flags = context.services.flags
    stale = {one.name: one for one in await flags.stale(STALE_DAYS)}
    wanted = context.query["q"].lower()
    rows = [
        _row(view, stale.get(view.flag.name))
        for view in await flags.all()
        if wanted
        in f"{view.flag.name} {view.flag.meaning} {view.owner or ''}".lower()
    ]

    return context.render("flags/list.html", rows=rows, q=context.query["q"])


async def show_one(context: PageContext) -> Response:
    """With an answer to "what would X get", if somebody asks."""
    return await one(context)


async def one(
    context: PageContext, *, problem: str = "", status: int = 200
) -> Response:
    """The page of one flag; after a refusal with what was typed, so that it can be mended."""
    flags, name = context.services.flags, context.address["name"]
    try:
        view = await flags.get(name)
    except AgentError as error:
        raise Stopped(404, described(error)) from None
    past = await flags.history(name, HISTORY) if view.version else []
    why, trouble = await _asked(context, name)

    return context.render(
        "flags/one.html",
        status,
        row=_row(view, None),
        history=[
            HistoryRow(each, difference(each.before, each.after)) for each in past
        ],
        choices=ON_OFF if view.flag.kind is Kind.BOOL else (),
        toggle=_toggle(view),
        why=why,
        asked=context.query,
        typed=context.form,
        narrowed=any(context.form[field] for field in NARROW),
        problem=problem,
        trouble=trouble,
    )


def _toggle(view: FlagView) -> str:
    """The other value for everybody; empty: it is not one of two."""
    if view.flag.kind is not Kind.BOOL:
        return ""

    return "off" if view.rules.get(GLOBAL, view.flag.default) else "on"


async def _asked(
    context: PageContext,
    name: str,
) -> tuple[Why | None, str]:
    """The answer, or why there is none."""
    query = context.query
    if query["ask"] != "yes":
        return None, ""

    person, channel, chat, at = (
        query[field] or None for field in ("person", "channel", "chat", "at")
    )
    try:
        when = None if at is None else moment(at)
        target = RuleTarget(person, channel, chat)
        found = await context.services.flags.explain(name, target, when)
    except AgentError as error:
        return None, described(error)

    return _why(found), ""


def _row(
    view: FlagView,
    stale: Stale | None,
) -> FlagRow:
    default = view.flag.default
    scopes = [scope for scope in sorted(view.rules) if scope not in NO_RULE]
    rules = [Rule(scope, shown_rule(view.rules, scope)) for scope in scopes]
    if view.experiment:
        variants = ", ".join(each.name for each in view.experiment.variants)
        rules.append(Rule(f"experiment {view.experiment.name}", variants))

    return FlagRow(
        view,
        "(setting)" if default is None else shown_rule({"": default}, ""),
        rules,
        _in_force(view),
        stale.why if stale else "",
    )


def _in_force(view: FlagView) -> str:
    if not view.instances:
        return "no instance runs"

    return f"in force on {view.applied} of {view.instances}"


def _why(found: Explanation) -> Why:
    decided = found.decided
    rows = [
        WhyRow(_rule(step), _reason(step, decided), step is decided)
        for step in found.steps
    ]

    return Why(_value(decided), _rule(decided), found.at, rows)


def _rule(step: Step) -> str:
    return step.scope.removeprefix(PREFIX) if step.rule == NAMED else step.rule


def _reason(
    step: Step,
    decided: Step,
) -> str:
    if step is not decided and step.outcome is Outcome.MATCHED:
        return (
            f"{step.sentence} with {_value(step)}, but {_rule(decided)} comes first"
        )

    return step.sentence


def _value(step: Step) -> str:
    if step.value is None:
        return "what the channel or the environment says"

    return shown_rule({"": step.value}, "")
