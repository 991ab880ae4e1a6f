"""The core's commands as Discord's own, and where Discord sends their use.

They are registered only when Discord's list differs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

import structlog

from agent.core.commands import COMMANDS, Command
from agent.core.errors import DeliveryError
from channels.discord.rest import UNREADABLE, Rest
from channels.pacing import RateLimited
from channels.unreadable import READING

LOOK_AGAIN = 1.0
"""Seconds until the flag is read again, which costs no call."""

TRY_AGAIN = 30.0
"""Seconds until the next attempt after Discord did not take the commands."""

_STRING = 3  # an option's type
_IN_SERVERS, _IN_DIRECT_CHATS = 0, 1  # contexts

log = structlog.get_logger()


def definition(commands: Iterable[Command] = COMMANDS) -> list[dict[str, Any]]:
    """The commands in the form that Discord registers."""
    return [
        {
            "type": 1,
            "name": command.name,
            "description": command.summary[:100],
            "options": [_argument(command)] if command.argument else [],
            "contexts": [_IN_SERVERS, _IN_DIRECT_CHATS],
        }
        for command in commands
    ]


def _argument(command: Command) -> dict[str, Any]:
    option = {
        "type": _STRING,
        "name": "argument",
        "description": (command.argument or "")[:100],
        "required": False,
    }

    return option | ({"autocomplete": True} if command.names_model else {})


def _essence(command: Mapping[str, Any]) -> tuple[object, ...]:
    """The parts in which two definitions must agree. Discord adds ids, versions and defaults."""
    options = tuple(
        (
            option["type"],
            option["name"],
            option["description"],
            option.get("autocomplete", False),
        )
        for option in command.get("options") or ()
    )
    return command["name"], command["description"], options


async def sync_commands(rest: Rest, application: str, *, enabled: bool) -> bool:
    """Makes Discord's list of commands ours, or empty. True when it had to be changed."""
    path = f"/applications/{application}/commands"
    wanted = definition() if enabled else []
    registered = await rest.call("GET", path)

    if set(map(_essence, registered)) == set(map(_essence, wanted)):
        return False

    await rest.call("PUT", path, wanted)

    return True


async def set_endpoint(rest: Rest, application: Mapping[str, Any], url: str) -> bool:
    """Makes Discord send interactions to this address. It must answer already: Discord
    tries it at once.
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
    """Registers the endpoint, if there is one, and the commands, until cancelled.

    The commands are registered again when the flag changes.
    """
    registered: bool | None = None

    while True:
        wanted, pause = enabled(), LOOK_AGAIN
        if wanted != registered:
            try:
                application = await rest.call("GET", "/applications/@me")
                await sync_commands(rest, application["id"], enabled=wanted)
                if endpoint:
                    await set_endpoint(rest, application, endpoint)
                registered = wanted
            # READING: an answer of another form, from somebody in between
            except (DeliveryError, RateLimited, *READING) as error:
                read = isinstance(error, DeliveryError | RateLimited)
                log.warning(
                    "discord did not take the commands or their address yet",
                    reason=str(error) if read else UNREADABLE,
                )
                pause = TRY_AGAIN

        await sleep(pause)
