"""`/playground`: a prompt tried out, sent nowhere and stored nowhere; two variants side by side."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from msgspec import Struct
from starlette.responses import Response

from agent.app import options_of
from agent.control import flags
from agent.control.evaluation import RuleFlags
from agent.control.flags import DECLARED
from agent.control.permissions import Permission
from agent.control.rules import Audience
from agent.conversation.trial import SECONDS, Built, Trial, Tried, build, try_out
from agent.core.errors import AgentError, Rejected, UnknownModel
from agent.core.text import did_you_mean, unstorable
from agent.web.console.errors import described, read_part, status_of
from agent.web.console.page import Fields, Page, PageContext
from storage.control.channel_settings import CHANNELS
from storage.control.state import StillControl, read_control
from storage.control.targets import RuleTarget, audience_of
from storage.conversation.operating.trials import admit_trial, note_cost, note_trial
from storage.people.listing import accounts_of
from storage.reports.models import models_named
from storage.transaction import transaction

SIDES = ("a", "b")

PER_OPERATOR = 2
PER_PROCESS = 6
"""Calls to models at once: each costs money, and holds a connection."""

YOURS = (
    f"You have {PER_OPERATOR} calls to models under way, in this or another tab. Wait for "
    "their answers, and ask again."
)
BUSY = (
    f"{PER_PROCESS} calls to models are under way here, of several operators. Ask again in "
    "a moment."
)


class Side(Struct, frozen=True):
    """A variant as it was asked for, and what came of it."""

    name: str
    trial: Trial | None = None
    built: Built | None = None
    tried: Tried | None = None
    problem: str = ""


class Calls:
    """Calls to models that are under way in this process."""

    def __init__(self) -> None:
        self._of: Counter[str] = Counter()

    @contextmanager
    def taken(
        self,
        operator: str,
        count: int,
    ) -> Iterator[str]:
        """While they last. Yields why they may not begin; empty: they may."""
        if self._of[operator] + count > PER_OPERATOR:
            yield YOURS
            return
        if self._of.total() + count > PER_PROCESS:
            yield BUSY
            return

        self._of[operator] += count
        try:
            yield ""
        finally:
            self._of[operator] -= count


CALLS = Calls()


async def show(context: PageContext) -> Response:
    return await _page(context, [])


async def act(context: PageContext) -> Response:
    """Answers with what came of it: a redirect would have to keep it somewhere."""
    try:
        await admit_trial(context.services.stores.database, context.author())
        control = await read_control(context.services.stores.database)
    except AgentError as error:
        return await _page(context, [], described(error), status_of(error))

    names = SIDES if context.form["two"] else SIDES[:1]
    sides = [await _built(context, control, name) for name in names]
    if context.form["do"] != "ask" or any(side.problem for side in sides):
        return await _page(context, sides)

    with CALLS.taken(context.viewer.operator, len(sides)) as problem:
        if problem:
            return await _page(context, sides, problem, 429)
        # before it costs anything: the process may end meanwhile
        for side in sides:
            await _note(context, side)
        asked = await asyncio.gather(
            *(_tried(context, control, side) for side in sides)
        )

    return await _page(context, asked)


PAGES = (
    Page(
        "/playground",
        "Playground",
        Permission.SPEND,
        show,
        act,
        Permission.SPEND,
        in_menu=True,
    ),
)


async def _page(
    context: PageContext,
    sides: Sequence[Side],
    problem: str = "",
    status: int = 200,
) -> Response:
    wrong = any(side.problem for side in sides)
    models = await read_part("models", models_named(context.services.stores.database))

    return context.render(
        "playground/playground.html",
        422 if wrong else status,
        typed=context.form,
        names=SIDES,
        sides=sides,
        problem=problem,
        channels=CHANNELS,
        models=models.value or [],
        flags=DECLARED,
        seconds=SECONDS,
    )


async def _built(
    context: PageContext,
    control: StillControl,
    name: str,
) -> Side:
    """With the sentence, where it cannot be built as it was asked for."""
    services = context.services
    try:
        trial = await _trial(context, name)
        built = build(
            trial,
            RuleFlags(control),
            control,
            options_of(services.settings),
            services.models,
        )
    except (Rejected, UnknownModel) as error:
        return Side(name, problem=described(error))

    return Side(name, trial, built)


async def _trial(
    context: PageContext,
    name: str,
) -> Trial:
    """Raises Rejected and UnknownModel."""
    form, services = context.form, context.services
    prompt = form.raw("text")
    if refused := unstorable(prompt, services.settings.max_message_chars):
        raise Rejected(refused)

    values = _values(form, name)
    model = form[f"model.{name}"]
    if model:
        services.models.check(model)

    target = RuleTarget(
        person=form[f"person.{name}"] or None,
        channel=form[f"channel.{name}"] or None,
        chat=form[f"chat.{name}"] or None,
    )
    async with transaction(services.stores.database) as connection:
        audience = await audience_of(connection, target)

    return Trial(
        audience,
        prompt,
        model or await _chosen(context, audience),
        values,
    )


async def _chosen(
    context: PageContext,
    audience: Audience,
) -> str | None:
    """The model that this person chose for themselves."""
    if audience.person is None:
        return None

    accounts = await accounts_of(context.services.stores.database, audience.person)
    models = [
        one.model
        for one in accounts
        if one.model and audience.channel in (None, one.channel)
    ]

    return next(iter(models), None)


def _values(
    form: Fields,
    name: str,
) -> Mapping[str, Any]:
    """A flag in each line, as `name = value`. Raises Rejected."""
    values: dict[str, Any] = {}
    for line in form.raw(f"flags.{name}").splitlines():
        if line.strip():
            flag, _, value = (part.strip() for part in line.partition("="))
            values[flag] = _flag_value(flag, value)

    if system := form.raw(f"system.{name}").strip():
        values[flags.SYSTEM_PROMPT.name] = flags.SYSTEM_PROMPT.checked(system)

    return values


def _flag_value(
    name: str,
    value: str,
) -> Any:
    if name not in DECLARED:
        hint = did_you_mean(name, DECLARED)
        raise Rejected(f"There is no flag {name!r} that an answer obeys.{hint}")

    return DECLARED[name].parsed(value)


async def _note(
    context: PageContext,
    side: Side,
) -> None:
    """Which models may be asked for this side."""
    assert side.built is not None
    policy = side.built.policy
    models = filter(None, dict.fromkeys([policy.model, policy.fallback_model]))
    if side.built.prompt is not None:
        await note_trial(
            context.services.stores.database,
            context.author(),
            [*models],
        )


async def _tried(
    context: PageContext,
    control: StillControl,
    side: Side,
) -> Side:
    assert side.trial is not None
    assert side.built is not None
    services = context.services
    tried = await try_out(side.built, side.trial.audience, control, services.models)
    answered = [one.model for one in tried.used if one] or [side.built.policy.model]
    if side.built.prompt is not None:
        await note_cost(
            services.stores.database,
            context.author(),
            answered,
            tried.cost,
        )

    return Side(side.name, side.trial, side.built, tried)
