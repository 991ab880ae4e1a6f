"""The core's commands as Discord's own, and where Discord sends their use. Registered when
they differ, not before."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

import structlog

from agent.core.commands import COMMANDS, Command
from agent.core.errors import DeliveryError
from channels.discord.rest import Rest
from channels.pacing import RateLimited

LOOK_AGAIN = (
    1.0  # seconds until the flag is looked at again, which asks Discord nothing
)
TRY_AGAIN = 30.0  # … and after Discord did not take the commands

_STRING = 3  # an option's type
_IN_SERVERS, _IN_DIRECT_CHATS = 0, 1  # contexts

log = structlog.get_logger()


def definition(commands: Iterable[Command] = COMMANDS) -> list[dict[str, Any]]:
    """What Discord is to know of the commands."""
    return [
        {
            "type": 1,
            "name": command.name,
            "description": command.summary[:100],
            "options": [_argument(command.argument)] if command.argument else [],
            "contexts": [_IN_SERVERS, _IN_DIRECT_CHATS],
        }
        for command in commands
    ]


def _argument(meaning: str) -> dict[str, Any]:
    return {
        "type": _STRING,
        "name": "argument",
        "description": meaning[:100],
        "required": False,
    }


def _essence(command: Mapping[str, Any]) -> tuple[object, ...]:
    """What two definitions must agree in; Discord adds ids, versions and defaults."""
    options = [
        (o["type"], o["name"], o["description"]) for o in command.get("options") or ()
    ]
    return (command["name"], command["description"], tuple(options))


async def sync_commands(rest: Rest, application: str, *, enabled: bool) -> bool:
    """Makes Discord's list of commands ours, or empty. True when it had to be changed."""
    path = f"/applications/{application}/commands"
    wanted = definition() if enabled else []
    if {_essence(c) for c in await rest.call("GET", path)} == {
        _essence(c) for c in wanted
    }:
        return False
    await rest.call("PUT", path, wanted)
    return True


async def set_endpoint(rest: Rest, application: Mapping[str, Any], url: str) -> bool:
    """Has Discord send interactions to this address. Discord tries it at once, so it must
    answer already.
    """
    if application.get("interactions_endpoint_url") == url:
        return False
    await rest.call("PATCH", "/applications/@me", {"interactions_endpoint_url": url})
    return True


async def keep_registered(
    rest: Rest,
    *,
    endpoint: str | None,
    enabled: Callable[[], bool],
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Until cancelled: registers the commands, again when the flag changes, and the
    endpoint if there is one."""
    done: tuple[bool, str | None] | None = None
    while True:
        wanted, pause = (enabled(), endpoint), LOOK_AGAIN
        if wanted != done:
            try:
                application = await rest.call("GET", "/applications/@me")
                await sync_commands(rest, application["id"], enabled=wanted[0])
                if endpoint:
                    await set_endpoint(rest, application, endpoint)
                done = wanted
            except (DeliveryError, RateLimited) as error:
                log.warning(
                    "discord did not take the commands or their address yet",
                    reason=str(error),
                )
                pause = TRY_AGAIN
        await sleep(pause)
