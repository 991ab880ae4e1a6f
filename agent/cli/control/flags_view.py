"""How flags and the audit log look on a terminal and as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from agent.cli.output import shortened, show_json, show_log, show_table, tell
from agent.control.named_rules import NAMED, PREFIX
from agent.control.rules import NO_RULE, Outcome, Step
from storage.control.audit import Entry
from storage.control.changes import difference, shown_rule
from storage.control.flags import Changed, Explanation, FlagView


def brief(value: object) -> str:
    """A value as JSON, shortened in an overview on a terminal."""
    return shortened(json.dumps(value, ensure_ascii=False))


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
    where = f"applied on {_applied(view)}" if view.instances else _applied(view)
    tell(f"{flag.name}: {flag.meaning}")
    tell(
        f"takes {flag.allowed}; default {_default(view)}; version {view.version}; {where}"
    )

    if view.owner or view.tags:
        tell(f"owner {view.owner or 'nobody'}; tags {', '.join(view.tags) or 'none'}")

    rows = [(scope, shown_rule(view.rules, scope)) for scope in _scopes(view)]
    if view.experiment:
        variants = ", ".join(variant.name for variant in view.experiment.variants)
        more = "`agent experiments list` says more"
        rows.append(
            (f"experiment {view.experiment.name}", f"variants {variants}; {more}")
        )
    if rows:
        show_table(("RULE FOR", "VALUE"), rows)


def show_changed(changed: Changed, *, as_json: bool) -> None:
    if as_json:
        show_json(
            {
                "flag": changed.name,
                "before": changed.before,
                "after": changed.after,
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
    show_log(
        ("NO", "WHEN", "WHO", "DID; BELOW: WHAT CHANGED, WHY AND FROM WHERE"),
        rows,
        [_details(entry) for entry in entries],
    )


def show_explanation(found: Explanation, *, as_json: bool) -> None:
    decided = found.decided
    if as_json:
        show_json(
            {
                "flag": found.flag.name,
                "value": decided.value,
                "rule": decided.rule,
                "at": found.at,
                "steps": [_step(step) for step in found.steps],
            }
        )
        return

    when = f" at {_when(found.at)}" if found.at else ""
    tell(
        f"{found.flag.name}{when}: {_value(decided)}, because of the rule {_rule(decided)}"
    )

    rows = [
        (">" if step is decided else "", _rule(step), _reason(step, decided))
        for step in found.steps
    ]
    show_table(("", "RULE", "WHY"), rows)


def _rule(step: Step) -> str:
    return step.scope.removeprefix(PREFIX) if step.rule == NAMED else step.rule


def _reason(step: Step, decided: Step) -> str:
    if step is decided:
        return f"{step.sentence}; its value is {_value(step)}"
    if step.outcome is Outcome.MATCHED:
        return (
            f"{step.sentence} with {_value(step)}, but {_rule(decided)} comes first"
        )

    return step.sentence


def _value(step: Step) -> str:
    if step.value is None:
        return "what the channel or the environment says"

    return json.dumps(step.value, ensure_ascii=False)


def _step(step: Step) -> dict[str, Any]:
    outcome = step.outcome.name.lower()

    return {**step._asdict(), "outcome": outcome, "why": step.sentence}


def _view(view: FlagView) -> dict[str, Any]:
    flag = view.flag

    return {
        "name": flag.name,
        "type": flag.kind.value,
        "default": flag.default,
        "meaning": flag.meaning,
        "takes": flag.allowed,
        "declared": view.declared,
        "rules": {
            scope: value
            for scope, value in view.rules.items()
            if scope not in NO_RULE
        },
        "owner": view.owner,
        "tags": view.tags,
        "version": view.version,
        "applied": view.applied,
        "instances": view.instances,
        "experiment": view.experiment.name if view.experiment else None,
    }


def _entry(entry: Entry) -> dict[str, Any]:
    return {
        "id": entry.id,
        "at": entry.at,
        "actor": entry.actor,
        "action": entry.action,
        "subject": entry.subject,
        "before": entry.before,
        "after": entry.after,
        "reason": entry.reason,
        "origin": entry.origin,
        "epoch": entry.epoch,
        "hash": entry.hash.hex(),
    }


def _default(view: FlagView) -> str:
    return "(setting)" if view.flag.default is None else brief(view.flag.default)


def _rules(view: FlagView) -> str:
    rules = [f"{scope} {shown_rule(view.rules, scope)}" for scope in _scopes(view)]
    if view.experiment:
        rules.append(f"experiment {view.experiment.name}")

    return ", ".join(rules) or "-"


def _scopes(view: FlagView) -> list[str]:
    """Those with a rule, in the order they are shown."""
    return [scope for scope in sorted(view.rules) if scope not in NO_RULE]


def _applied(view: FlagView) -> str:
    if not view.instances:
        return "no instance runs"

    return f"{view.applied} of {view.instances}"


def _details(entry: Entry) -> str:
    """What changed, why and from where."""
    change = difference(entry.before, entry.after)
    why = "; ".join(part for part in (entry.reason, entry.origin) if part)

    return f"{change} ({why})" if change and why else change or why


def _when(at: datetime) -> str:
    return at.astimezone().isoformat(" ", "seconds")
