"""How experiments look on a terminal and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from agent.cli.control.flags_view import brief
from agent.cli.options import show_json, show_table, tell
from agent.control.experiments import Experiment, Stage, Variant, definition_of
from storage.control.experiments.admin import ExperimentView


def show_list(views: Sequence[ExperimentView], *, as_json: bool) -> None:
    if as_json:
        show_json([_facts(view) for view in views])
        return
    rows = [
        (
            v.experiment.name,
            _state_in_short(v),
            v.experiment.flag,
            _names(v),
            audience_of(v.experiment),
        )
        for v in views
    ]
    show_table(("EXPERIMENT", "STATE", "FLAG", "VARIANTS", "WHO TAKES PART"), rows)


def show_one(view: ExperimentView, *, as_json: bool) -> None:
    if as_json:
        show_json(_facts(view))
        return
    experiment = view.experiment
    tell(
        f"{experiment.name} on {experiment.flag}: {_state(view)}; version {view.version}"
    )
    tell(
        f"for {audience_of(experiment)}; salt {experiment.salt}; to see a "
        f"difference of {experiment.detect * 100:g} %"
    )
    rows = [
        (variant.name, f"{variant.weight:g}", _value(variant))
        for variant in experiment.variants
    ]
    show_table(("VARIANT", "WEIGHT", "VALUE"), rows)


def show_removed(name: str, *, as_json: bool) -> None:
    if as_json:
        show_json({"experiment": name, "removed": True})
    else:
        tell(f"{name} is removed.")


def audience_of(experiment: Experiment) -> str:
    """Who takes part, for people."""
    share = (
        "everybody"
        if experiment.share == 100
        else f"{experiment.share:g} % of all people"
    )
    return (
        f"{share} on {', '.join(sorted(experiment.channels))}"
        if experiment.channels
        else share
    )


def _names(view: ExperimentView) -> str:
    return ", ".join(
        f"{variant.name} {variant.weight:g}" for variant in view.experiment.variants
    )


def _value(variant: Variant) -> str:
    return (
        "(as without the experiment)" if variant.value is None else brief(variant.value)
    )


def _state(view: ExperimentView) -> str:
    experiment, row = view.experiment, view.row
    if view.stage is Stage.ENDED:
        return f"ended {_when(row.ended)}, after it started {_when(row.started)}"
    if view.stage is Stage.RUNNING:
        return f"running since {_when(row.started)}" + (
            f" until {_when(experiment.ends)}" if experiment.ends else ""
        )
    if view.late:
        return f"drafted, late since {_when(experiment.starts)}: {_why_late(view)}"
    return "drafted" + (
        f", starts {_when(experiment.starts)}" if experiment.starts else ""
    )


def _state_in_short(view: ExperimentView) -> str:
    return (
        f"ended {_when(view.row.ended)}" if view.stage is Stage.ENDED else _state(view)
    )


def _why_late(view: ExperimentView) -> str:
    experiment = view.experiment
    if experiment.ends and experiment.ends <= view.row.now:
        return "its planned end is past, too"
    return (
        f"{view.busy} runs on {experiment.flag}"
        if view.busy
        else "no instance could start it yet; the log says why"
    )


def _when(at: datetime | None) -> str:
    return "" if at is None else at.astimezone().isoformat(" ", "seconds")


def _facts(view: ExperimentView) -> dict[str, Any]:
    row = view.row
    facts = {
        "name": view.experiment.name,
        "stage": view.stage,
        **definition_of(view.experiment),
    }
    facts |= {"started_at": row.started, "ended_at": row.ended, "version": view.version}
    return facts | {"late": view.late, "busy": view.busy}
