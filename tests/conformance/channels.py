"""The channels that the suite runs on."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tests.conformance.driver import Driver
from tests.conformance.drivers.discord import DiscordDriver
from tests.conformance.drivers.slack import SlackDriver
from tests.conformance.drivers.telegram import TelegramDriver
from tests.conformance.drivers.terminal import TerminalDriver

DRIVERS: Mapping[str, Callable[[], Driver]] = {
    "discord": DiscordDriver,
    "telegram": TelegramDriver,
    "slack": SlackDriver,
    "terminal": TerminalDriver,
}
