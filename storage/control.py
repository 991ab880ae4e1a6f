"""Flags and channel settings as they are now: truth in Postgres, read through Redis, evaluated in the process.

Each Redis hash is written whole with `_epoch` and `_count`; one that lacks a field (evicted, half written) is not
believed but rebuilt. A turn sees the epoch in the round trip it makes anyway.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from agent.models import ChannelSettings, Overlap
from storage.postgres import Database
from storage.redis import Command, RedisPipe

GLOBAL = "features:global"
SECONDS = 86_400

_SNAPSHOT = """
SELECT (SELECT epoch FROM control_epoch) AS epoch,
       (SELECT jsonb_agg(jsonb_build_array(scope, name, value)) FROM feature_flags)::text AS flags,
       (SELECT jsonb_agg(jsonb_build_array(channel_type, default_model, settings))
        FROM channel_configs)::text AS channels
"""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that operators set, at one epoch. `scopes` maps `features:…` keys to flags."""

    epoch: int = 0
    scopes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    channels: Mapping[str, ChannelSettings] = field(default_factory=dict)


class RedisControl:
    """Implements agent.ports.Control."""

    def __init__(self, database: Database, pipe: RedisPipe) -> None:
        self._line = database.line(planner={})
        self._pipe = pipe
        self._lock = asyncio.Lock()
        self.snapshot = Snapshot()

    async def start(self) -> None:
        """Reads everything once. Raises StoreUnavailable."""
        await self._reload()

    async def observe(self, epoch: int | None) -> None:
        if epoch is None or epoch == self.snapshot.epoch:
            return
        seen = self.snapshot
        async with self._lock:
            if self.snapshot is seen:  # nobody else did it while we waited
                await self._reload()

    @property
    def epoch(self) -> int:
        return self.snapshot.epoch

    def channel(self, name: str) -> ChannelSettings:
        return self.snapshot.channels.get(name, _NO_SETTINGS)

    def flag(self, name: str, channel: str | None, default: Any) -> Any:
        """The flag's value for a channel, else for all, else the default."""
        scopes = self.snapshot.scopes
        by_channel = scopes.get(f"features:channel:{channel}", {})
        return by_channel.get(name, scopes.get(GLOBAL, {}).get(name, default))

    async def _reload(self) -> None:
        row = (await self._line.fetch(_SNAPSHOT))[0]
        self.snapshot = _snapshot(row["epoch"], row["flags"], row["channels"])
        await self._pipe.send(*_writes(self.snapshot))


_NO_SETTINGS = ChannelSettings()


def _snapshot(epoch: int, flags: str | None, channels: str | None) -> Snapshot:
    scopes: dict[str, dict[str, Any]] = {GLOBAL: {}}
    for scope, name, value in msgspec.json.decode(flags or "[]"):
        scopes.setdefault(f"features:{scope}", {})[name] = value
    return Snapshot(
        epoch,
        scopes,
        {name: _settings(model, rest) for name, model, rest in msgspec.json.decode(channels or "[]")},
    )


def _settings(default_model: str | None, settings: Mapping[str, Any]) -> ChannelSettings:
    return ChannelSettings(default_model, settings.get("system_prompt"), Overlap(settings.get("overlap", "merge")))


def _writes(snapshot: Snapshot) -> list[Command]:
    """Each hash whole: a hash that was there before is replaced in the same transaction."""
    commands: list[Command] = [("MULTI",)]
    for key, flags in snapshot.scopes.items():
        fields: list[str | bytes | int] = ["_epoch", snapshot.epoch, "_count", len(flags)]
        for name, value in flags.items():
            fields += [name, msgspec.json.encode(value)]
        commands += [("DEL", key), ("HSET", key, *fields), ("EXPIRE", key, SECONDS)]
    return [*commands, ("EXEC",)]
