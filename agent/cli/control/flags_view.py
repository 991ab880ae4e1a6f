"""How flags look on a terminal and as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from agent.cli.options import show_json, show_table, tell
from agent.control.rules import DEFINITION, Outcome, Step
from storage.control.audit import Entry
from storage.control.changes import difference, shown_rule
from storage.control.flags import Changed, Explanation, FlagView

LONGEST = 60


def brief(value: object) -> str:
    """A value as JSON, cut where it would fill the screen."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def show_list(views: Sequence[FlagView], *, as_json: bool) -> None:
    if as_json:
        show_json([_view(view) for view in views])
        return
    rows = [
        (
            view.flag.name,
            view.flag.kind.value,
            _default(view),
            _rules(view),
            _applied(view),
        )
        for view in views
    ]
    show_table(("FLAG", "TYPE", "DEFAULT", "SET", "APPLIED ON"), rows)


def show_one(view: FlagView, *, as_json: bool) -> None:
    if as_json:
        show_json(_view(view))
        return
    flag = view.flag
    tell(f"{flag.name}: {flag.meaning}")
    where = f"applied on {_applied(view)}" if view.instances else _applied(view)
    tell(
        f"takes {flag.allowed}; default {_default(view)}; version {view.version}; {where}"
    )
    rows = [
        (scope, shown_rule(view.rules, scope))
        for scope in sorted(view.rules)
        if scope != DEFINITION
    ]
    if view.experiment:
        variants = ", ".join(variant.name for variant in view.experiment.variants)
        rows.append(
            (
                f"experiment {view.experiment.name}",
                f"variants {variants}; `agent experiments list` says more",
            )
        )
    if rows:
        show_table(("RULE FOR", "VALUE"), rows)


def show_changed(changed: Changed, *, as_json: bool) -> None:
    if as_json:
        facts = {"flag": changed.name, "before": changed.before, "after": changed.after}
        show_json(
            {
                **facts,
                "changed": changed.epoch is not None,
                "epoch": changed.epoch,
                "version": changed.version,
            }
        )
    elif changed.epoch is None:
        tell(f"{changed.name} is so already.")
    else:
        tell(f"{changed.name}: {difference(changed.before, changed.after)}")


def show_entries(entries: Sequence[Entry], *, as_json: bool) -> None:
    if as_json:
        show_json([_entry(entry) for entry in entries])
        return
    rows = [
        (entry.id, _when(entry.at), entry.actor, f"{entry.action} {entry.subject}")
        for entry in entries
    ]
    show_table(
        ("NO", "WHEN", "WHO", "DID; BELOW: WHAT CHANGED, WHY AND FROM WHERE"),
        rows,
        list(map(_told, entries)),
    )


def show_explanation(found: Explanation, *, as_json: bool) -> None:
    decided = found.decided
    if as_json:
        steps = [
            {
                **step._asdict(),
                "outcome": step.outcome.name.lower(),
                "why": step.sentence,
            }
            for step in found.steps
        ]
        facts = {
            "flag": found.flag.name,
            "value": decided.value,
            "rule": decided.rule,
            "at": found.at,
        }
        show_json({**facts, "steps": steps})
        return
    when = f" at {_when(found.at)}" if found.at else ""
    tell(
        f"{found.flag.name}{when}: {_value(decided)}, because of the rule {decided.rule}"
    )
    rows = [
        (">" if step is decided else "", step.rule, _reason(step, decided))
        for step in found.steps
    ]
    show_table(("", "RULE", "WHY"), rows)


def _reason(step: Step, decided: Step) -> str:
    if step.outcome is not Outcome.MATCHED or step is decided:
        return step.sentence + (
            f"; its value is {_value(step)}" if step is decided else ""
        )
    return f"{step.sentence} with {_value(step)}, but {decided.rule} comes first"


def _value(step: Step) -> str:
    return (
        "what the channel or the environment says"
        if step.value is None
        else brief(step.value)
    )


def _view(view: FlagView) -> dict[str, Any]:
    flag = view.flag
    facts = {
        "name": flag.name,
        "type": flag.kind.value,
        "default": flag.default,
        "meaning": flag.meaning,
    }
    rules = {scope: value for scope, value in view.rules.items() if scope != DEFINITION}
    facts |= {
        "takes": flag.allowed,
        "declared": view.declared,
        "rules": rules,
        "version": view.version,
    }
    running = view.experiment.name if view.experiment else None
    return facts | {
        "applied": view.applied,
        "instances": view.instances,
        "experiment": running,
    }


def _entry(entry: Entry) -> dict[str, Any]:
    names = (
        "id",
        "at",
        "actor",
        "action",
        "subject",
        "before",
        "after",
        "reason",
        "origin",
        "epoch",
    )
    return {name: getattr(entry, name) for name in names} | {"hash": entry.hash.hex()}


def _default(view: FlagView) -> str:
    return "(setting)" if view.flag.default is None else brief(view.flag.default)


def _rules(view: FlagView) -> str:
    rules = [
        f"{scope} {shown_rule(view.rules, scope)}"
        for scope in sorted(view.rules)
        if scope != DEFINITION
    ]
    return (
        ", ".join(
            [
                *rules,
                *([f"experiment {view.experiment.name}"] if view.experiment else []),
            ]
        )
        or "-"
    )


def _applied(view: FlagView) -> str:
    return (
        f"{view.applied} of {view.instances}" if view.instances else "no instance runs"
    )


def _told(entry: Entry) -> str:
    """What changed, why and from where."""
    change = difference(entry.before, entry.after)
    why = "; ".join(part for part in (entry.reason, entry.origin) if part)
    return f"{change} ({why})" if change and why else change or why


def _when(at: datetime) -> str:
    return at.astimezone().isoformat(" ", "seconds")
