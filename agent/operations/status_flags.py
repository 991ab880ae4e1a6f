"""What `agent status` says of flags: in force where, or STALE, and what would be taken then."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from agent.core.errors import AgentError
from agent.settings import Settings
from storage.control import disk_copy, redis_copy
from storage.control.state import ControlSnapshot
from storage.embedded.servers import embedded
from storage.postgres import Database
from storage.redis import open_redis
from storage.reports.status import control_in_force

Told = tuple[Literal["ok", "not well"], str, Mapping[str, object]]


async def flags_in_force(database: Database) -> Told:
    """What is set, which experiments run, and on how many instances the newest change is
    applied.
    """
    found = await control_in_force(database)
    facts: dict[str, object] = {
        "epoch": found.epoch,
        "rules": found.rules,
        "applied": found.applied,
        "instances": found.instances,
        "experiments": list(found.experiments),
    }
    where = (
        f"applied on {found.applied} of {found.instances} instances"
        if found.instances
        else "no instance runs"
    )
    running = (
        f", experiments running: {', '.join(found.experiments)}"
        if found.experiments
        else ""
    )
    return "ok", f"{found.rules} set, epoch {found.epoch}, {where}{running}", facts


async def flags_without_postgres(settings: Settings) -> Told:
    """Running instances go on with the last values they know; this is what one that starts
    would take.
    """
    kept, source = await _in_redis(settings), "Redis"
    if kept is None:
        kept, source = (
            disk_copy.load(settings.agent_home / disk_copy.FILE),
            "AGENT_HOME",
        )
    has = f"has epoch {kept.epoch} from {source}" if kept else "has the defaults"
    facts = {
        "stale": True,
        "epoch": kept.epoch if kept else None,
        "source": source if kept else "defaults",
    }
    return (
        "not well",
        f"STALE: no change arrives; an instance keeps what it knows, one that starts {has}",
        facts,
    )


async def _in_redis(settings: Settings) -> ControlSnapshot | None:
    try:
        if settings.redis_url:
            return await _read(settings.redis_url.get_secret_value())
        async with embedded(settings.agent_home, postgres=False) as own:
            return await _read(own.redis_url)
    except AgentError:
        return None


async def _read(url: str) -> ControlSnapshot | None:
    async with open_redis(url) as pipe:
        return await redis_copy.read(pipe, at_least=0, lineage=None)
