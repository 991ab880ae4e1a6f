"""On which instances a channel runs, and whether it listens there."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence

from msgspec import Struct

from agent.web.console.services import Services
from storage.reports.channels import (
    States,
    told_states,
)
from storage.reports.status import (
    LiveInstance,
    live_instances,
)

UNTOLD = "It runs there; whether it listens was not told lately."


class Place(Struct, frozen=True):
    """A channel on one instance."""

    channel: str
    instance: str
    state: str
    """listens, silent or unknown."""
    text: str
    """Of a silent one, why."""
    is_here: bool
    """On the instance that answers."""


async def places_of(
    services: Services,
) -> Sequence[Place]:
    """All channels on all live instances."""
    stores = services.stores
    instances = await live_instances(stores.database)
    told = await told_states(stores.pipe, instances)

    return [
        _place(
            instance,
            channel,
            states,
            services,
        )
        for instance, states in zip(
            instances,
            told,
            strict=True,
        )
        for channel in sorted({*instance.channels, *(states or {})})
    ]


def _place(
    instance: LiveInstance,
    channel: str,
    states: States | None,
    services: Services,
) -> Place:
    """What this instance knows of its own is newer than what it told."""
    is_here = (instance.host, instance.pid) == (socket.gethostname(), os.getpid())
    own = {one.name: one.problem or "" for one in services.state.services}
    known = own if is_here and channel in own else states or {}
    problem = known.get(channel)
    name = f"{instance.host} ({instance.pid})"

    if problem is None:
        return Place(
            channel,
            name,
            "unknown",
            UNTOLD,
            is_here,
        )

    state = "silent" if problem else "listens"

    return Place(
        channel,
        name,
        state,
        problem,
        is_here and channel in own,
    )
