"""How experiments look on a terminal and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agent.cli.control.flags_view import brief
from agent.cli.output import show_json, show_table, tell
from agent.control.experiments import Variant, audience_of, definition_of
from storage.control.experiments.admin import ExperimentView
from storage.control.experiments.questions import state_in_short, state_of


def show_list(views: Sequence[ExperimentView], *, as_json: bool) -> None:
    if as_json:
        show_json([_facts(view) for view in views])
        return

    rows = [
        (
            view.experiment.name,
            state_in_short(view),
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
        f"{experiment.name} on {experiment.flag}: {state_of(view)}; version {view.version}"
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


def _names(view: ExperimentView) -> str:
    variants = view.experiment.variants

    return ", ".join(f"{variant.name} {variant.weight:g}" for variant in variants)


def _value(variant: Variant) -> str:
    if variant.value is None:
        return "(as without the experiment)"

    return brief(variant.value)


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
