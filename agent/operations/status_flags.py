"""What `agent status` says of flags: in force where, or STALE, and what would be taken then."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from sqlalchemy import text

from agent.core.errors import AgentError
from agent.settings import Settings
from storage.control import disk_copy, redis_copy
from storage.control.state import ControlSnapshot
from storage.embedded.servers import embedded
from storage.postgres import LEASE_SECONDS, Database
from storage.redis import open_redis

Told = tuple[Literal["ok", "not well"], str, Mapping[str, object]]

_IN_FORCE = text("""
SELECT epoch, (SELECT count(*) FROM feature_flags WHERE scope <> 'definition') AS rules,
       (SELECT array_agg(name ORDER BY name) FROM experiments
        WHERE started_at IS NOT NULL AND ended_at IS NULL) AS running,
       (SELECT count(*) FROM instances WHERE seen_at > now() - make_interval(secs => :lease)) AS instances,
       (SELECT count(*) FROM instances i
        WHERE seen_at > now() - make_interval(secs => :lease) AND i.epoch >= control_epoch.epoch) AS applied
FROM control_epoch
""")


async def flags_in_force(database: Database) -> Told:
    """What is set, which experiments run, and on how many instances the newest change is
    applied.
    """
    async with database.engine.connect() as connection:
        row = (await connection.execute(_IN_FORCE, {"lease": LEASE_SECONDS})).one()
    facts = {
        "epoch": row.epoch,
        "rules": row.rules,
        "applied": row.applied,
        "instances": row.instances,
    }
    facts |= {"experiments": row.running or []}
    where = (
        f"applied on {row.applied} of {row.instances} instances"
        if row.instances
        else "no instance runs"
    )
    running = f", experiments running: {', '.join(row.running)}" if row.running else ""
    return "ok", f"{row.rules} set, epoch {row.epoch}, {where}{running}", facts


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
