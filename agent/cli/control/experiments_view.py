"""How experiments look on a terminal and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from agent.cli.control.flags_view import brief
from agent.cli.output import show_json, show_table, tell
from agent.control.experiments import Experiment, Stage, Variant, definition_of
from storage.control.experiments.admin import ExperimentView


def show_list(views: Sequence[ExperimentView], *, as_json: bool) -> None:
    if as_json:
        show_json([_facts(view) for view in views])
        return

    rows = [
        (
            view.experiment.name,
            _state_in_short(view),
            view.experiment.flag,
            _names(view),
            audience_of(view.experiment),
        )
        for view in views
    ]
    show_table(("EXPERIMENT", "STATE", "FLAG", "VARIANTS", "WHO TAKES PART"), rows)


def show_one(view: ExperimentView, *, as_json: bool) -> None:
    if as_json:
        show_json(_facts(view))
        return

    experiment = view.experiment
    detect = f"{experiment.detect * 100:g} %"
    tell(
        f"{experiment.name} on {experiment.flag}: {_state(view)}; version {view.version}"
    )
    tell(
        f"for {audience_of(experiment)}; salt {experiment.salt}; "
        f"to see a difference of {detect}"
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
    share = experiment.share
    people = "everybody" if share == 100 else f"{share:g} % of all people"
    if not experiment.channels:
        return people

    return f"{people} on {', '.join(sorted(experiment.channels))}"


def _names(view: ExperimentView) -> str:
    variants = view.experiment.variants

    return ", ".join(f"{variant.name} {variant.weight:g}" for variant in variants)


def _value(variant: Variant) -> str:
    if variant.value is None:
        return "(as without the experiment)"

    return brief(variant.value)


def _state(view: ExperimentView) -> str:
    experiment, row = view.experiment, view.row
    if view.stage is Stage.ENDED:
        return f"ended {_when(row.ended)}, after it started {_when(row.started)}"
    if view.stage is Stage.RUNNING:
        until = f" until {_when(experiment.ends)}" if experiment.ends else ""
        return f"running since {_when(row.started)}{until}"
    if view.late:
        return f"drafted, late since {_when(experiment.starts)}: {_why_late(view)}"
    if experiment.starts:
        return f"drafted, starts {_when(experiment.starts)}"

    return "drafted"


def _state_in_short(view: ExperimentView) -> str:
    if view.stage is Stage.ENDED:
        return f"ended {_when(view.row.ended)}"

    return _state(view)


def _why_late(view: ExperimentView) -> str:
    experiment = view.experiment
    if experiment.ends and experiment.ends <= view.row.now:
        return "its planned end is past, too"
    if view.busy:
        return f"{view.busy} runs on {experiment.flag}"

    return "no instance could start it yet; the log says why"


def _when(at: datetime | None) -> str:
    return "" if at is None else at.astimezone().isoformat(" ", "seconds")


def _facts(view: ExperimentView) -> dict[str, Any]:
    return {
        "name": view.experiment.name,
        "stage": view.stage,
        **definition_of(view.experiment),
        "started_at": view.row.started,
        "ended_at": view.row.ended,
        "version": view.version,
        "late": view.late,
        "busy": view.busy,
    }
