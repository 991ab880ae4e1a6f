"""What is asked before a step of an experiment, and how it is told how far one is: the same
for the command line and the console.
"""

from __future__ import annotations

from datetime import datetime

from agent.control.experiments import (
    Stage,
    audience_of,
)
from storage.control.experiments.admin import ExperimentView


def start_question(
    view: ExperimentView,
) -> str:
    experiment = view.experiment
    people = audience_of(experiment)

    return f"Start {experiment.name} on {experiment.flag} for {people}?"


def stop_question(
    view: ExperimentView,
) -> str:
    name = view.experiment.name

    return f"Stop {name} for everybody? It cannot be started again."


def ship_question(
    view: ExperimentView,
    variant: str,
) -> str:
    experiment = view.experiment
    where = ", ".join(sorted(experiment.channels)) or "everybody"
    flag, name = experiment.flag, experiment.name

    ends = "" if view.stage is Stage.ENDED else f", and end {name}"

    return f"Set {flag} for {where} to the value of {variant}{ends}?"


def state_of(
    view: ExperimentView,
) -> str:
    """How far it is, in one sentence without its end."""
    experiment, row = view.experiment, view.row
    if view.stage is Stage.ENDED:
        return f"ended {_when(row.ended)}, after it started {_when(row.started)}"
    if view.stage is Stage.RUNNING:
        until = f" until {_when(experiment.ends)}" if experiment.ends else ""
        return f"running since {_when(row.started)}{until}"
    if view.late:
        since = _when(experiment.starts)
        return f"drafted, late since {since}: {why_late(view)}"
    if experiment.starts:
        return f"drafted, starts {_when(experiment.starts)}"

    return "drafted"


def state_in_short(
    view: ExperimentView,
) -> str:
    if view.stage is Stage.ENDED:
        return f"ended {_when(view.row.ended)}"

    return state_of(view)


def why_late(
    view: ExperimentView,
) -> str:
    """Why a draft has not started by its plan."""
    experiment = view.experiment
    if experiment.ends and experiment.ends <= view.row.now:
        return "its planned end is past, too"
    if view.busy:
        return f"{view.busy} runs on {experiment.flag}"

    return "no instance could start it yet; the log says why"


def _when(
    at: datetime | None,
) -> str:
    return "" if at is None else at.astimezone().isoformat(" ", "seconds")
