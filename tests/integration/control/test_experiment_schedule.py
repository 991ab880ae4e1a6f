"""Experiments begin and end by plan, once, on whichever instance looks first."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from pydantic import SecretStr
from structlog.testing import capture_logs

from agent.app import open_app
from agent.control.experiments import Experiment, Stage, Variant, definition_of
from agent.core.errors import Rejected
from agent.settings import Settings
from storage.control import audit
from storage.control.audit import Author
from storage.control.experiments.admin import ExperimentAdmin
from storage.control.experiments.schedule import ExperimentSchedule
from storage.postgres import connect, open_database
from tests.support.clock import let_pass
from tests.support.operators import (
    ADA,
    experimenter,
)

HOUR = 3600.0
LOOK = Experiment(
    "look",
    "system_prompt",
    "look",
    (Variant("control", 1), Variant("brief", 1, "Be brief.")),
)


@pytest.fixture
async def instances(
    database_url: str,
    redis_url: str,
) -> AsyncIterator[list[ExperimentSchedule]]:
    """What four instances do about plans, each with connections of its own."""
    async with AsyncExitStack() as stack:
        databases = [
            await stack.enter_async_context(open_database(database_url))
            for _ in range(4)
        ]
        admins = [
            await stack.enter_async_context(experimenter(database_url, redis_url))
            for _ in range(4)
        ]
        yield [
            ExperimentSchedule(database, experiments)
            for database, experiments in zip(databases, admins, strict=True)
        ]


def hence(hours: float) -> datetime:
    return datetime.now(UTC) + timedelta(hours=hours)


async def logged(
    database_url: str,
    name: str = "look",
) -> list[tuple[str, str, str | None, int | None]]:
    """Who did what with an experiment, why, and the epoch it made; oldest first."""
    async with open_database(database_url) as database:
        entries = await audit.list_entries(database, subject=f"experiment:{name}")
    return [
        (entry.actor, entry.action, entry.reason, entry.epoch)
        for entry in reversed(entries)
    ]


async def test_a_planned_experiment_begins_and_ends_by_itself(
    experiments: ExperimentAdmin,
    instances: list[ExperimentSchedule],
    database_url: str,
) -> None:
    """Not before its time; and when four instances look at once, each step is made and told
    once.
    """
    await experiments.create(replace(LOOK, starts=hence(1), ends=hence(3)), ADA)
    stages = []

    for _ in range(4):
        await asyncio.gather(*(plans.keep() for plans in instances))
        stages.append((await experiments.get("look")).stage)
        await let_pass(database_url, HOUR)

    assert [Stage.DRAFTED, Stage.RUNNING, Stage.RUNNING, Stage.ENDED] == stages
    assert [
        ("ada", "experiment.create", "because", 2),
        ("agent", "experiment.start", "planned", 3),
        ("agent", "experiment.stop", "planned", 4),
    ] == await logged(database_url)


async def test_plans_are_kept_where_operators_are_registered_and_nobody_can_pretend_to_be_the_agent(
    experiments: ExperimentAdmin,
    instances: list[ExperimentSchedule],
    database_url: str,
) -> None:
    await experiments.create(replace(LOOK, starts=hence(1)), ADA)
    connection = await connect(database_url)
    await connection.execute("INSERT INTO operators (name) VALUES ('ada')")
    await connection.close()

    with pytest.raises(Rejected, match="agent is not a registered operator"):
        await experiments.start("look", Author("agent", "command line"))

    await let_pass(database_url, HOUR)
    await instances[0].keep()

    assert Stage.RUNNING is (await experiments.get("look")).stage


async def test_a_running_instance_keeps_plans(
    experiments: ExperimentAdmin,
    database_url: str,
    redis_url: str,
    tmp_path: Path,
) -> None:
    """Nobody but the agent itself is there when the experiment is due."""
    await experiments.create(replace(LOOK, starts=hence(1)), ADA)
    await let_pass(database_url, HOUR)
    settings = Settings(
        _env_file=None,
        database_url=SecretStr(database_url),
        redis_url=SecretStr(redis_url),
        agent_home=tmp_path,
    )

    async with open_app(settings, {}), asyncio.timeout(20):
        while (await experiments.get("look")).stage is not Stage.RUNNING:
            await asyncio.sleep(0.01)


async def test_a_planned_start_on_a_busy_flag_waits_in_sight(
    experiments: ExperimentAdmin,
    instances: list[ExperimentSchedule],
    database_url: str,
) -> None:
    """It is late and says why, the log tells so once, and it begins in the moment in which
    the other ends.
    """
    await experiments.create(replace(LOOK, name="first", ends=hence(2)), ADA)
    await experiments.create(replace(LOOK, starts=hence(1)), ADA)
    await experiments.start("first", ADA)
    await let_pass(database_url, HOUR)

    with capture_logs() as logs:
        for _ in range(3):
            await instances[0].keep()

    view = await experiments.get("look")

    assert (Stage.DRAFTED, True, "first") == (view.stage, view.late, view.busy)
    assert [
        "first runs on system_prompt, and a flag has one experiment at a time. Stop it first."
    ] == [entry["reason"] for entry in logs if entry["log_level"] == "warning"]

    await let_pass(database_url, HOUR)
    await instances[1].keep()

    assert [Stage.ENDED, Stage.RUNNING] == [
        (await experiments.get(name)).stage for name in ("first", "look")
    ]


@pytest.mark.parametrize(
    "odd",
    [
        {**definition_of(LOOK), "starts": "soon"},
        {"starts": "2026-01-01T00:00Z"},
        ["soon"],
    ],
)
async def test_a_plan_that_cannot_be_read_stops_no_other(
    experiments: ExperimentAdmin,
    instances: list[ExperimentSchedule],
    database_url: str,
    odd: Any,
) -> None:
    """Written by hand or by another version: the log says so once, and what is due begins."""
    await experiments.create(replace(LOOK, starts=hence(1)), ADA)
    await let_pass(database_url, HOUR)
    connection = await connect(database_url)
    await connection.execute(
        "INSERT INTO experiments (name, definition) VALUES ('an_odd', $1)",
        json.dumps(odd),
    )
    await connection.close()

    with capture_logs() as logs:
        for _ in range(3):
            await instances[0].keep()

    assert Stage.RUNNING is (await experiments.get("look")).stage
    assert [
        "The experiment an_odd is of another version, or was written by hand."
    ] == [entry["reason"] for entry in logs if entry.get("experiment") == "an_odd"]


async def test_a_plan_that_nobody_was_there_for_is_not_made_up_for(
    experiments: ExperimentAdmin,
    instances: list[ExperimentSchedule],
    database_url: str,
) -> None:
    """All instances were down from before its start until after its end: it stays a draft, late."""
    await experiments.create(replace(LOOK, starts=hence(1), ends=hence(2)), ADA)
    await let_pass(database_url, 3 * HOUR)
    await instances[0].keep()
    view = await experiments.get("look")

    assert (Stage.DRAFTED, True) == (view.stage, view.late)


async def test_an_operator_may_be_earlier_than_the_plan(
    experiments: ExperimentAdmin,
    instances: list[ExperimentSchedule],
    database_url: str,
) -> None:
    """Started and stopped by hand: the plan has nothing left to do."""
    await experiments.create(replace(LOOK, starts=hence(1), ends=hence(2)), ADA)
    await experiments.start("look", ADA)
    await experiments.stop("look", ADA)
    await let_pass(database_url, 3 * HOUR)
    await instances[0].keep()

    assert ["ada", "ada", "ada"] == [
        actor for actor, *_ in await logged(database_url)
    ]
