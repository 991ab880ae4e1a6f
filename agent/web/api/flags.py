"""`/flags`: what is set, for whom, why and since when; and changing it."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query, Response

from agent.control.permissions import Permission
from agent.control.rules import NO_RULE, Step
from agent.core.errors import Rejected
from agent.web.api.audit import EntryOut, entry_out
from agent.web.api.flag_models import (
    ChangedOut,
    Consent,
    FlagOut,
    RuleIn,
    StepOut,
    UndoIn,
    Whom,
    WhyOut,
)
from agent.web.api.protocol.caller import Asking
from agent.web.api.protocol.paging import (
    Page,
    Paging,
    Text,
    number,
    page,
    page_of_all,
    text,
)
from agent.web.api.protocol.problems import Problem, finding
from agent.web.api.protocol.routing import CHANGES, MISSING, TAGGED, needs, routes
from agent.web.api.protocol.versions import Expected, tag
from storage.control.audit import list_entries
from storage.control.changes import as_json
from storage.control.flag_rules import subject_of
from storage.control.flags import Changed, Explanation, FlagView
from storage.control.flags.named_targets import NamedTarget
from storage.control.flags.questions import (
    checked,
    set_question,
    times,
    undo_question,
    unset_question,
)
from storage.control.targets import RuleTarget, moment, target_of

router = routes("flags")


@router.get("/flags")
@needs(Permission.SEE)
async def list_flags(
    caller: Asking,
    asked: Annotated[Paging, Query()],
) -> Page[FlagOut]:
    views = await caller.services.flags.all()

    return page_of_all(views, asked, lambda view: (view.flag.name,), _flag, text)


@router.get("/flags/{name}", responses=MISSING | TAGGED)
@needs(Permission.SEE)
async def get_flag(caller: Asking, name: Text, response: Response) -> FlagOut:
    view = await _found(caller, name)
    tag(response, view.version)

    return _flag(view)


@router.post("/flags/{name}/rules", responses=MISSING | CHANGES | TAGGED)
@needs(Permission.CHANGE)
async def set_rule(
    caller: Asking, name: Text, sent: RuleIn, version: Expected, response: Response
) -> ChangedOut:
    """Sets a rule; one for the same people and places is replaced."""
    flags, flag = caller.services.flags, (await _found(caller, name)).flag
    target = checked(_target(sent))
    if sent.value is None and not target.kill:
        raise Rejected("Only a kill switch can say null: the default.")
    if sent.value is not None and not sent.force:
        await flags.check.find_model(flag, sent.value)
    shown = None if sent.value is None else as_json(sent.value)
    _agree(set_question(name, shown, target), agreed=sent.everybody)

    author = caller.author(sent.reason)
    made = await flags.set(name, target, sent.value, author, expected=version)

    return _changed(made, response)


@router.delete(
    "/flags/{name}/rules/{scope:path}", responses=MISSING | CHANGES | TAGGED
)
@needs(Permission.CHANGE)
async def remove_rule(
    caller: Asking,
    name: Text,
    scope: Text,
    sent: Annotated[Consent, Query()],
    version: Expected,
    response: Response,
) -> ChangedOut:
    """Removes a rule, named as `rules` of the flag names it; the next one decides."""
    view = await _found(caller, name)
    async with finding():
        target = target_of(scope)
    if scope not in view.rules:
        raise Problem(404, f"{view.flag.name} has no such rule.")
    _agree(unset_question(name, target), agreed=sent.everybody)

    author = caller.author(sent.reason)
    made = await caller.services.flags.unset(name, target, author, expected=version)

    return _changed(made, response)


@router.get("/flags/{name}/explain", responses=MISSING)
@needs(Permission.SEE)
async def explain(
    caller: Asking,
    name: Text,
    asked: Annotated[Whom, Query()],
) -> WhyOut:
    """What somebody gets, or got at a past moment, and which rule decides."""
    target = RuleTarget(asked.person, asked.channel, asked.chat)
    at = None if asked.at is None else moment(asked.at)
    if at is None:
        await _found(caller, name)

    return _why(await caller.services.flags.explain(name, target, at))


@router.get("/flags/{name}/history", responses=MISSING)
@needs(Permission.SEE)
async def history(
    caller: Asking,
    name: Text,
    asked: Annotated[Paging, Query()],
) -> Page[EntryOut]:
    """Its changes, the newest first, also of a flag that was removed."""
    async with finding():
        await caller.services.flags.history(name, 1)
    after = asked.after(number)
    rows = await list_entries(
        caller.services.stores.database,
        subject=subject_of(name),
        before=after[0] if after else None,
        limit=asked.limit + 1,
    )

    return page(rows, asked, lambda row: (row.id,), entry_out)


@router.post("/flags/{name}/undo", responses=MISSING | CHANGES | TAGGED)
@needs(Permission.CHANGE)
async def undo(
    caller: Asking, name: Text, sent: UndoIn, version: Expected, response: Response
) -> ChangedOut:
    """Takes back the last change, or that of this number."""
    flags = caller.services.flags
    async with finding():
        past = await flags.history(name, None)
    wanted = (each for each in past if sent.change in (None, each.id))
    undone = next(wanted, None)
    if undone is None:
        raise Rejected(f"There is no such change of {name}.")
    _agree(undo_question(undone), agreed=sent.everybody)

    author = caller.author(sent.reason)
    made = await flags.undo(name, author, entry=undone.id, expected=version)

    return _changed(made, response)


async def _found(
    caller: Asking,
    name: str,
) -> FlagView:
    async with finding():
        return await caller.services.flags.get(name)


def _agree(
    question: str | None,
    *,
    agreed: bool,
) -> None:
    """Raises Problem where more people than one are concerned and nobody said so."""
    if question is not None and not agreed:
        raise Problem(
            422,
            f'{question} Say so with "everybody": true. Nothing was changed.',
            question=question,
        )


def _target(sent: RuleIn) -> NamedTarget:
    return NamedTarget(
        sent.rule,
        tuple(sent.people),
        tuple(sent.channels),
        sent.chat,
        sent.percentage,
        sent.salt,
        sent.kill,
        *times(sent.starts, sent.ends, sent.lasting),
    )


def _flag(view: FlagView) -> FlagOut:
    flag = view.flag
    rules = {
        scope: rule for scope, rule in view.rules.items() if scope not in NO_RULE
    }

    return FlagOut(
        name=flag.name,
        kind=flag.kind.value,
        meaning=flag.meaning,
        default=flag.default,
        allowed=flag.allowed,
        rules=rules,
        owner=view.owner,
        tags=list(view.tags),
        declared=view.declared,
        experiment=view.experiment.name if view.experiment else None,
        version=view.version,
        applied=view.applied,
        instances=view.instances,
    )


def _changed(
    made: Changed,
    response: Response,
) -> ChangedOut:
    tag(response, made.version)

    return ChangedOut(
        name=made.name,
        changed=made.epoch is not None,
        before=dict(made.before),
        after=dict(made.after),
        epoch=made.epoch,
        version=made.version,
    )


def _why(found: Explanation) -> WhyOut:
    decided = found.decided

    return WhyOut(
        flag=found.flag.name,
        value=decided.value,
        rule=decided.rule,
        at=found.at,
        steps=[_step(step, decides=step is decided) for step in found.steps],
    )


def _step(
    step: Step,
    *,
    decides: bool,
) -> StepOut:
    return StepOut(
        rule=step.rule,
        scope=step.scope,
        why=step.sentence,
        value=step.value,
        decides=decides,
    )
