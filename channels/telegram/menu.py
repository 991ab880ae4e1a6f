"""Telegram's menu of commands, kept as the flag of this channel says."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from telegram import BotCommand

from agent.core.commands import COMMANDS
from channels.connection import patiently
from channels.telegram.api import BotApi

LOOK_SECONDS = 1.0
"""Between two looks at the flag."""

_MENU = tuple(BotCommand(command.name, command.summary) for command in COMMANDS)

log = logging.getLogger(__name__)


class Menu:
    """The menu as Telegram shows it. `retry_seconds` is the first pause after a failure."""

    def __init__(
        self, api: BotApi, offered: Callable[[], bool], retry_seconds: float
    ) -> None:
        self._api = api
        self._offered = offered
        self._retry_seconds = retry_seconds
        # Telegram's, as far as known.
        self._shown: tuple[BotCommand, ...] | None = None

    async def keep(self) -> None:
        """Follows the flag. Telegram is called only when the menu differs."""
        while True:
            await patiently(self._sync, self._retry_seconds, _waits)
            await asyncio.sleep(LOOK_SECONDS)

    async def _sync(self) -> None:
        """Sets the menu where it differs. With the flag off, another program's menu stays."""
        wanted = _MENU if self._offered() else ()
        if self._shown is None:
            self._shown = await self._api.commands()

        if self._shown != wanted and (wanted or self._shown == _MENU):
            await self._api.set_commands(wanted)
            self._shown = wanted


def _waits(reason: str) -> None:
    log.warning("telegram: The menu waits. %s It is tried again.", reason)
