"""What `agent status` shows: every part by itself, so that one that is down hides no other."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Literal

import asyncpg
from msgspec import Struct, field
from msgspec.structs import asdict
from redis.exceptions import AuthenticationError, RedisError

from agent.app import (
    CHANNELS,
    build_channels,
    configured_channels,
)
from agent.core.errors import AgentError, ConfigurationError
from agent.core.words.retention import shown_days
from agent.llm.catalog import check_models, with_default_model
from agent.llm.router import open_models
from agent.operations.connect import Postgres, reach_postgres, reach_redis
from agent.operations.credentials import with_stored_credentials
from agent.operations.remedies import described
from agent.operations.status_flags import flags_in_force, flags_without_postgres
from agent.settings import OFFLINE, Settings
from channels.services import WITHOUT_STORES
from storage import migrate
from storage.backup.kept import newest_scheduled, overdue, own_folders
from storage.connecting.postgres_errors import sentence_of
from storage.lifecycle.retention import kept
from storage.limits.budget_alerts import alerted_budgets
from storage.people.active_people import ACTIVE_SECONDS, active_people
from storage.postgres import GONE, Database, open_database
from storage.redis import open_redis, trouble_of, try_redis
from storage.reports.load import postgres_load, redis_load
from storage.reports.load.warnings import (
    Warned,
    disk_warnings,
    postgres_warnings,
    redis_warnings,
)
from storage.reports.status import (
    live_instances,
    open_turns,
    server_version,
    stray_in_words,
    stray_messages,
)

State = Literal["ok", "slower", "not well"]
_CHANNELS = (*CHANNELS, "terminal")
OLD_TURN = 600.0
"""Seconds: longer than an answer and its delivery take, so an open turn this old is a trouble."""

MAX_ALERTS = 5
"""Budgets that are named on the screen."""


class Check(Struct, frozen=True):
    """How one part is: for people, and as facts for programs."""

    part: str
    state: State
    text: str
    facts: Mapping[str, object] = field(default_factory=dict)


async def check_health(settings: Settings) -> list[Check]:
    """Looks at every part; changes nothing."""
    postgres = await _postgres(settings)
    stored = all(
        check.state == "ok"
        for check in postgres
        if check.part in ("postgres", "schema")
    )
    return [
        await _model(settings),
        *postgres,
        *await _redis(settings),
        *await _redis_warned(settings),
        await _channels(settings, stored=stored),
    ]


async def _model(settings: Settings) -> Check:
    facts: dict[str, object] = {
        "model": settings.model,
        "fallback": settings.fallback_models,
    }
    async with open_models(settings) as models:
        try:
            settings = await with_default_model(settings, models)
            check_models(settings, models)
        except ConfigurationError as error:
            return Check("model", "not well", described(error), facts)
    facts["model"] = settings.model
    offline = (
        ", which only repeats: set OPENAI_API_KEY or ANTHROPIC_API_KEY for a real one"
    )
    return Check(
        "model",
        "ok",
        settings.model + (offline if settings.model == OFFLINE else ""),
        facts,
    )


async def _postgres(settings: Settings) -> list[Check]:
    try:
        async with reach_postgres(settings) as postgres:
            revision = await migrate.current_revision(postgres.url)
            if revision != migrate.HEAD:
                return [
                    await _server(postgres, revision),
                    await _schema(postgres, revision),
                ]
            async with open_database(postgres.url) as database:
                return [
                    await _server(postgres, revision),
                    await _schema(postgres, revision),
                    await _partitions(database),
                    await _turns(database),
                    await _retention(database, settings),
                    await _instances(database),
                    Check("flags", *await flags_in_force(database)),
                    *await check_budgets(database),
                    *_backups(settings),
                    *_warned(postgres_warnings(await postgres_load(postgres.url))),
                    *_warned(disk_warnings(own_folders(settings))),
                ]
    except AgentError as error:
        stale = Check("flags", *await flags_without_postgres(settings))
        return [Check("postgres", "not well", described(error)), stale]
    except (*GONE, asyncpg.PostgresError) as error:
        stale = Check("flags", *await flags_without_postgres(settings))
        return [
            Check("postgres", "not well", failure_sentence("Postgres", error)),
            stale,
        ]


async def _server(postgres: Postgres, revision: str | None) -> Check:
    version = await server_version(postgres.url)
    facts = {
        "embedded": bool(postgres.embedded),
        "version": version,
        "revision": revision,
    }
    return Check(
        "postgres", "ok", postgres.embedded or f"Postgres {version}, a server", facts
    )


async def _schema(postgres: Postgres, revision: str | None) -> Check:
    facts = {"revision": revision, "needed": migrate.HEAD}
    if revision is None and postgres.embedded:
        return Check("schema", "ok", "empty; the first agent chat makes it", facts)
    try:
        await migrate.check_schema(postgres.url)
    except ConfigurationError as error:
        return Check("schema", "not well", described(error), facts)
    return Check("schema", "ok", f"{revision}, the newest", facts)


async def _partitions(database: Database) -> Check:
    stray = await stray_messages(database)
    if stray:
        many = stray_in_words(stray)
        said = f"{many} are in messages_default, for want of their month's partition."
        return Check("partitions", "not well", said, {"stray": stray})
    return Check("partitions", "ok", "every month has its own", {"stray": 0})


async def _retention(database: Database, settings: Settings) -> Check:
    found = await kept(database, settings.retention_days)
    own = ", ".join(
        f"{shown_days(days)} on {name}"
        for name, days in sorted(found.policy.channels.items())
    )
    text = f"{shown_days(found.policy.default)}{own and f'; {own}'}"
    if found.next_drop is not None:
        text += f"; the oldest month goes on {found.next_drop:%Y-%m-%d}"
    facts = {
        "days": found.policy.default or None,
        "channels": dict(found.policy.channels),
        "next_drop": found.next_drop and found.next_drop.isoformat(),
    }

    return Check("retention", "ok", f"messages are kept {text}", facts)


async def _turns(database: Database) -> Check:
    found = await open_turns(database)
    facts = {"open": found.count, "oldest_seconds": found.oldest_seconds}
    if found.oldest_seconds is None:
        return Check("turns", "ok", "none is open", facts)

    state: State = "not well" if found.oldest_seconds > OLD_TURN else "ok"
    message = f"{found.count} open, the oldest for {found.oldest_seconds:.0f} s"

    return Check("turns", state, message, facts)


async def _instances(database: Database) -> Check:
    found = await live_instances(database)
    facts = {"alive": [asdict(instance) for instance in found]}
    names = ", ".join(
        f"{one.host} ({one.pid}): {' '.join(one.channels)}" for one in found
    )
    return Check("instances", "ok", names or "none is running", facts)


async def check_budgets(database: Database) -> list[Check]:
    """Only where half of a budget is used."""
    alerts = await alerted_budgets(database)
    if not alerts:
        return []

    text = ", ".join(map(str, alerts[:MAX_ALERTS]))
    if len(alerts) > MAX_ALERTS:
        text += f", and {len(alerts) - MAX_ALERTS} more: agent budgets list"
    state: State = "slower" if alerts[0].step == 100 else "ok"
    facts = {"alerts": [asdict(alert) for alert in alerts]}

    return [Check("budgets", state, text, facts)]


async def _redis(settings: Settings) -> list[Check]:
    """Redis itself, and what only it knows."""
    redis = await check_redis(settings)
    if redis.state != "ok":
        unknown = "unknown how many are active: only Redis knows"
        return [redis, Check("people", "ok", unknown, {"active": None})]

    async with reach_redis(settings) as (url, _), open_redis(url) as pipe:
        return [redis, people(await active_people(pipe, _CHANNELS, time.time()))]


def people(active: Mapping[str, int] | None) -> Check:
    """How many were answered lately, by channel."""
    facts = {"active": active, "seconds": ACTIVE_SECONDS}
    named = ", ".join(
        f"{count} on {name}" for name, count in (active or {}).items() if count
    )
    minutes = f"active in {ACTIVE_SECONDS // 60} min, as far as Redis remembers"
    text = f"{named or 'nobody'} {minutes}"

    return Check("people", "ok", text, facts)


def _backups(settings: Settings) -> list[Check]:
    """Only where they are made by the clock, or were."""
    newest = newest_scheduled(settings)
    facts = {"newest": newest and newest.taken_at.isoformat()}
    if late := overdue(settings):
        return [Check("backups", "not well", late, facts)]
    if newest is None:
        return []

    taken = f"the newest was taken at {newest.taken_at:%Y-%m-%d %H:%M} UTC"
    return [Check("backups", "ok", taken, facts)]


def _warned(warnings: Iterable[Warned]) -> list[Check]:
    return [Check(one.part, "slower", one.sentence) for one in warnings]


async def _redis_warned(settings: Settings) -> list[Check]:
    """Nothing where Redis is away: that is said already."""
    try:
        async with reach_redis(settings) as (url, _), open_redis(url) as pipe:
            load = None if pipe.trouble else await redis_load(pipe)
    except AgentError:
        return []

    return _warned(redis_warnings(load)) if load else []


async def check_redis(settings: Settings, *, thoroughly: bool = False) -> Check:
    """Not being there is slower, not down. `thoroughly` also tries what turns do."""
    try:
        async with (
            reach_redis(settings) as (url, description),
            open_redis(url) as pipe,
        ):
            if pipe.trouble:
                return Check("redis", "slower", pipe.trouble)

            version = str((await pipe.client.info("server")).get("redis_version", ""))
            if thoroughly:
                await try_redis(pipe)
            facts = {"embedded": bool(description), "version": version}
            return Check(
                "redis", "ok", description or f"Redis {version}, a server", facts
            )
    except AuthenticationError:
        return Check(
            "redis", "not well", "Redis refused the password. Correct REDIS_URL."
        )
    except AgentError as error:
        return Check("redis", "not well", described(error))
    except (RedisError, OSError) as error:
        return Check(
            "redis", "slower", f"{trouble_of(error)} The agent works without it."
        )


async def _channels(settings: Settings, *, stored: bool) -> Check:
    """Those that have a token: in the environment, or `stored` in a database that can be read."""
    try:
        settings = await with_stored_credentials(settings) if stored else settings
        channels = build_channels(
            settings, configured_channels(settings), WITHOUT_STORES
        )
    except ConfigurationError as error:
        return Check("channels", "not well", described(error))

    names = ["terminal", *(channel.name for channel in channels)]
    return Check("channels", "ok", ", ".join(names), {"configured": names})


def failure_sentence(part: str, error: Exception) -> str:
    """A sentence for an error of a driver, which may hold what must not be shown."""
    return (
        sentence_of(error)
        or f"{part} failed with {type(error).__name__}. Look into its log."
    )
