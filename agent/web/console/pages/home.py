"""`/`: is it well?"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from msgspec import Struct
from starlette.responses import Response

from agent.control.permissions import Permission
from agent.reports.usage import Line, Scope
from agent.web.console.page import Page, PageContext
from agent.web.console.services import Services
from agent.web.health import HealthPart, Probe
from storage.control.audit import Entry, list_entries
from storage.control.changes import difference
from storage.reports.status import (
    ControlInForce,
    LiveInstance,
    OpenTurns,
    control_in_force,
    live_instances,
    open_turns,
)
from storage.reports.usage import total_if_known

CHANGES = 10
LOOKS = (
    "search",
    "conversation.read",
    "person.export",
    "playground.ask",
    "playground.answer",
    "operator.sign-in",
)
"""Actions in the audit log that change nothing."""
OLD_TURN = 600.0
"""Seconds: longer than an answer and its delivery take, so an open turn this old is a trouble."""


class Part(Struct, frozen=True):
    """How one part is: `ok`, `degraded`, `down` or `not well`."""

    name: str
    state: str
    text: str


class Change(Struct, frozen=True):
    """A row of the audit log, in one line."""

    at: datetime
    actor: str
    action: str
    subject: str
    changed: str


async def show(context: PageContext) -> Response:
    services = context.services
    parts, today, entries = await asyncio.gather(
        _parts(services),
        _today(services, context.viewer.now),
        list_entries(services.stores.database, limit=CHANGES, without=LOOKS),
    )

    return context.render(
        "home.html", parts=parts, today=today, changes=[*map(_change, entries)]
    )


PAGES = (Page("/", "Home", Permission.SEE, show, in_menu=True),)


async def _parts(services: Services) -> Sequence[Part]:
    database = services.stores.database
    stores, instances, turns, control = await asyncio.gather(
        Probe(time.monotonic)(services.stores),
        live_instances(database),
        open_turns(database),
        control_in_force(database),
    )

    return [
        *_stores(stores),
        _instances(instances),
        *_channels(services, instances),
        _turns(turns),
        _flags(control),
    ]


def _stores(found: Mapping[str, HealthPart]) -> list[Part]:
    return [
        Part(name, part["state"], part.get("problem", "answers"))
        for name, part in found.items()
    ]


def _instances(found: Sequence[LiveInstance]) -> Part:
    names = ", ".join(f"{one.host} ({one.pid})" for one in found)

    return Part("instances", "ok", names or "none is running")


def _channels(
    services: Services,
    instances: Sequence[LiveInstance],
) -> list[Part]:
    """What this instance knows of its own, and the names of what runs elsewhere."""
    own = [
        Part(one.name, "down" if one.problem else "ok", one.problem or "listens")
        for one in services.state.services
    ]
    known = {part.name for part in own}
    others = sorted({name for one in instances for name in one.channels} - known)

    return own + [Part(name, "ok", "runs on another instance") for name in others]


def _turns(found: OpenTurns) -> Part:
    if found.oldest_seconds is None:
        return Part("turns", "ok", "none is open")

    state = "not well" if found.oldest_seconds > OLD_TURN else "ok"
    text = f"{found.count} open, the oldest for {found.oldest_seconds:.0f} s"

    return Part("turns", state, text)


def _flags(found: ControlInForce) -> Part:
    spread = f"in force on {found.applied} of {found.instances}"
    state = "ok" if found.applied == found.instances else "slower"
    where = spread if found.instances else "no instance runs"

    return Part("flags", state, f"rules: {found.rules}; epoch {found.epoch}, {where}")


async def _today(
    services: Services,
    now: datetime,
) -> Line | None:
    """None: nobody can say at this moment."""
    begin = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    scope = Scope(begin, begin + timedelta(days=1))

    return await total_if_known(services.stores.database_url, scope)


def _change(entry: Entry) -> Change:
    changed = difference(entry.before, entry.after)

    return Change(entry.at, entry.actor, entry.action, entry.subject, changed)
