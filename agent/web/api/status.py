"""`/status` and `/health`: how the agent is."""

from __future__ import annotations

import asyncio
import time

from pydantic import BaseModel, Field

from agent.control.permissions import Permission
from agent.web.api.protocol.caller import Asking
from agent.web.api.protocol.routing import needs, routes
from agent.web.health import Probe, readiness
from storage.reports.status import control_in_force, live_instances, open_turns

router = routes("status")


class InstanceOut(BaseModel):
    """A process whose heartbeat is fresh."""

    host: str
    pid: int
    channels: list[str]


class StatusOut(BaseModel):
    """All instances together."""

    instances: list[InstanceOut]
    open_turns: int = Field(description="Messages whose answer is not delivered yet.")
    oldest_turn_seconds: float | None
    epoch: int = Field(description="Of all that operators set.")
    applied: int = Field(description="Instances that obey it.")
    rules: int
    experiments: list[str] = Field(description="Those that run.")


class PartOut(BaseModel):
    """ok, degraded (the agent works without it) or down."""

    state: str
    problem: str | None = None


class HealthOut(BaseModel):
    """Of the instance that answers: ready, starting, stopping or not ready."""

    status: str
    parts: dict[str, PartOut]


@router.get("/status")
@needs(Permission.SEE)
async def status(caller: Asking) -> StatusOut:
    database = caller.services.stores.database
    instances, turns, control = await asyncio.gather(
        live_instances(database), open_turns(database), control_in_force(database)
    )

    return StatusOut(
        instances=[
            InstanceOut(host=one.host, pid=one.pid, channels=[*one.channels])
            for one in instances
        ],
        open_turns=turns.count,
        oldest_turn_seconds=turns.oldest_seconds,
        epoch=control.epoch,
        applied=control.applied,
        rules=control.rules,
        experiments=[*control.experiments],
    )


@router.get("/health")
@needs(Permission.SEE)
async def health(caller: Asking) -> HealthOut:
    """The same as `/health/ready`, always with the status 200. `agent console` runs no
    instance: there it is about the stores alone.
    """
    services, probe = caller.services, Probe(time.monotonic)
    if services.state.app is not None:
        return HealthOut.model_validate(await readiness(services.state, probe))

    parts = await probe(services.stores)
    down = any(part["state"] == "down" for part in parts.values())

    return HealthOut.model_validate(
        {"status": "not ready" if down else "ready", "parts": parts}
    )
