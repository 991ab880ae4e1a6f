"""`/system`: the schema, what is kept for how long, backups, instances, and how the stores are."""

from __future__ import annotations

import asyncio
import platform
import re
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

from msgspec import Struct
from starlette.responses import Response

from agent.control.permissions import Permission
from agent.core.errors import ConfigurationError, StoreUnavailable
from agent.core.words.retention import shown_days
from agent.web.console.errors import described, read_part
from agent.web.console.page import Page, PageContext
from agent.web.console.services import Services
from storage import migrate
from storage.backup.kept import (
    backup_folder,
    kept_backups,
    overdue,
    own_folders,
)
from storage.lifecycle.retention import Kept, kept
from storage.migrate.history import history
from storage.reports.load import (
    TableLoad,
    postgres_load,
    redis_load,
)
from storage.reports.load.warnings import (
    disk_warnings,
    indexes_to_show,
    postgres_warnings,
    redis_warnings,
)
from storage.reports.status import (
    control_in_force,
    live_instances,
    server_version,
    stray_in_words,
    stray_messages,
)

AGENT = "simple-ai-agent"
REDIS_AWAY = "Redis does not answer. The agent works without it, and slower."
_MONTH = re.compile(r"messages_(\d{4})_(\d{2})")


class Month(Struct, frozen=True):
    """A month's own table of messages."""

    name: str
    table: TableLoad


async def show(context: PageContext) -> Response:
    """Each part is read by the function of its command."""
    services = context.services
    readings = {
        "schema": _schema(services),
        "retention": _retention(services),
        "postgres": _postgres(services),
        "redis": _redis(services),
        "backups": asyncio.to_thread(_backups, services),
        "instances": live_instances(services.stores.database),
        "control": control_in_force(services.stores.database),
        "disks": asyncio.to_thread(_disks, services),
    }
    parts = await asyncio.gather(
        *(read_part(name, reading) for name, reading in readings.items())
    )

    shown: dict[str, Any] = dict(zip(readings, parts, strict=True))

    return context.render(
        "system/system.html",
        agent_version=version(AGENT),
        python_version=platform.python_version(),
        **shown,
    )


PAGES = (Page("/system", "System", Permission.SEE, show, in_menu=True),)


async def _schema(services: Services) -> Mapping[str, Any]:
    """As `agent db status`."""
    url = services.stores.database_url
    current = await migrate.current_revision(url)
    found = await history(url, current)

    return {
        "schema": current,
        "needed": migrate.HEAD,
        "migrations": [*reversed(found)],
        "pending": sum(not one.is_applied for one in found),
    }


async def _retention(services: Services) -> Mapping[str, Any]:
    """As `agent status`."""
    database = services.stores.database
    found, stray = await asyncio.gather(
        kept(database, services.settings.retention_days),
        stray_messages(database),
    )

    return {
        "kept": _periods(found),
        "next_drop": found.next_drop,
        "stray": stray and stray_in_words(stray),
    }


def _periods(found: Kept) -> Sequence[tuple[str, str]]:
    """For whom, and for how long."""
    own = sorted(found.policy.channels.items())
    others = "every other channel" if own else "every channel"

    return [
        (name, str(shown_days(days)))
        for name, days in [(others, found.policy.default), *own]
    ]


async def _postgres(services: Services) -> Mapping[str, Any]:
    """As `agent db stats`."""
    url = services.stores.database_url
    load, server = await asyncio.gather(postgres_load(url), server_version(url))
    indexes, rest = indexes_to_show(load)

    return {
        "load": load,
        "version": server,
        "months": _months(load.tables),
        "tables": [one for one in load.tables if not _MONTH.fullmatch(one.name)],
        "indexes": indexes,
        "rest": rest,
        "warnings": [*postgres_warnings(load)],
    }


async def _redis(services: Services) -> Mapping[str, Any]:
    """The same of Redis. Raises StoreUnavailable."""
    load = await redis_load(services.stores.pipe)
    if load is None:
        raise StoreUnavailable(REDIS_AWAY)

    return {"load": load, "warnings": [*redis_warnings(load)]}


def _months(tables: Sequence[TableLoad]) -> Sequence[Month]:
    """The newest first."""
    found = [(_MONTH.fullmatch(table.name), table) for table in tables]
    months = [
        Month(f"{named[1]}-{named[2]}", table) for named, table in found if named
    ]

    return sorted(months, key=lambda month: month.name, reverse=True)


def _disks(services: Services) -> Mapping[str, Any]:
    return {"warnings": [*disk_warnings(own_folders(services.settings))]}


def _backups(services: Services) -> Mapping[str, Any]:
    """As `agent backup list`: those that this machine sees."""
    settings = services.settings
    values = {
        "folder": backup_folder(settings),
        "every": settings.backup_every,
        "backups": (),
        "late": "",
    }
    try:
        found = kept_backups(settings)
        return values | {"backups": found, "late": overdue(settings) or ""}
    except ConfigurationError as error:
        return values | {"late": described(error)}
