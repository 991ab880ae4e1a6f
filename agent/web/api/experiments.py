"""`/experiments`: which of several values of a flag serves people better."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import Query, Response
from pydantic import BaseModel, Field

from agent.control.experiments import Stage, definition_of
from agent.control.permissions import Permission
from agent.reports.experiment import PRIMARY, MetricName, report_of
from agent.reports.experiment_document import document_of
from agent.reports.statistics import need_scipy
from agent.web.api.protocol.caller import Asking, Caller
from agent.web.api.protocol.paging import (
    Asked,
    Page,
    Paging,
    Text,
    Why,
    page_of_all,
    text,
)
from agent.web.api.protocol.problems import finding
from agent.web.api.protocol.routing import CHANGES, MISSING, TAGGED, needs, routes
from agent.web.api.protocol.versions import Expected, tag
from storage.control.experiments.admin import ExperimentAdmin, ExperimentView
from storage.reports.experiment_figures import experiment_figures
from storage.reports.source import replica_url

router = routes("experiments")


class VariantOut(BaseModel):
    """One of the values that people get."""

    name: str
    weight: float
    value: Any = Field(description="null: as if there were no experiment.")


class ExperimentOut(BaseModel):
    """An experiment, and how far it is."""

    name: str
    stage: Stage
    flag: str
    salt: str
    variants: list[VariantOut] = Field(description="The first is the control.")
    channels: list[str]
    share: float = Field(description="Of people who take part, in percent.")
    starts: datetime | None
    ends: datetime | None
    detect: float
    started_at: datetime | None
    ended_at: datetime | None
    late: bool
    busy: str | None = Field(
        description="The one that keeps this draft from starting."
    )
    version: int


class Metric(Asked):
    """What decides."""

    metric: MetricName = PRIMARY


@router.get("/experiments")
@needs(Permission.SEE)
async def list_experiments(
    caller: Asking,
    asked: Annotated[Paging, Query()],
) -> Page[ExperimentOut]:
    views = await _admin(caller).all()

    return page_of_all(
        views, asked, lambda view: (view.experiment.name,), _shown, text
    )


@router.get("/experiments/{name}", responses=MISSING | TAGGED)
@needs(Permission.SEE)
async def get_experiment(
    caller: Asking, name: Text, response: Response
) -> ExperimentOut:
    return _tagged(await _found(caller, name), response)


@router.get("/experiments/{name}/report", responses=MISSING)
@needs(Permission.SEE)
async def report(
    caller: Asking,
    name: Text,
    asked: Annotated[Metric, Query()],
) -> dict[str, Any]:
    """What each variant did for people; `error` above all: the split is wrong."""
    need_scipy()
    await _found(caller, name)
    services = caller.services
    source = await replica_url(services.settings) or services.stores.database.url

    return document_of(
        report_of(await experiment_figures(source, name), asked.metric)
    )


@router.post("/experiments/{name}/start", responses=MISSING | CHANGES | TAGGED)
@needs(Permission.CHANGE)
async def start(
    caller: Asking, name: Text, sent: Why, version: Expected, response: Response
) -> ExperimentOut:
    """Starts it, for good: it can be stopped, but not changed."""
    await _found(caller, name)
    author = caller.author(sent.reason)
    made = await _admin(caller).start(name, author, expected=version)

    return _tagged(made, response)


@router.post("/experiments/{name}/stop", responses=MISSING | CHANGES | TAGGED)
@needs(Permission.CHANGE)
async def stop(
    caller: Asking, name: Text, sent: Why, version: Expected, response: Response
) -> ExperimentOut:
    """Ends it, for good: the flag's other rules decide for everybody."""
    await _found(caller, name)
    author = caller.author(sent.reason)
    made = await _admin(caller).stop(name, author, expected=version)

    return _tagged(made, response)


def _admin(caller: Caller) -> ExperimentAdmin:
    services = caller.services
    stores = services.stores

    return ExperimentAdmin(stores.database, stores.pipe, services.flags.check)


async def _found(
    caller: Caller,
    name: str,
) -> ExperimentView:
    async with finding():
        return await _admin(caller).get(name)


def _tagged(
    view: ExperimentView,
    response: Response,
) -> ExperimentOut:
    tag(response, view.version)

    return _shown(view)


def _shown(view: ExperimentView) -> ExperimentOut:
    facts = {
        "name": view.experiment.name,
        "stage": view.stage,
        **definition_of(view.experiment),
        "started_at": view.row.started,
        "ended_at": view.row.ended,
        "late": view.late,
        "busy": view.busy,
        "version": view.version,
    }

    return ExperimentOut.model_validate(facts)
