"""Files that the agent hands to people, on each platform."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence

from tests.conformance.driver import Driver, Place
from tests.conformance.drivers.discord import DiscordDriver
from tests.conformance.drivers.slack import SlackDriver
from tests.conformance.drivers.telegram import TelegramDriver
from tests.support.platforms.slack import Fault


def unpacked(content: bytes) -> dict[str, str]:
    """The files in a file, by name."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name).decode() for name in archive.namelist()}


def files_in(driver: Driver, place: Place) -> Sequence[bytes]:
    """What was put there, oldest first."""
    if isinstance(driver, DiscordDriver):
        return [file for chat, _, file in driver.server.files if chat == place.chat]
    if isinstance(driver, TelegramDriver):
        return driver._chat(place).files

    assert isinstance(driver, SlackDriver)
    found = driver.server.space.files

    return [file for chat, _, file in found if chat == place.chat]


def refuse_files(driver: Driver) -> None:
    """The platform takes no file there, ever."""
    if isinstance(driver, DiscordDriver):
        driver.server.refuses_files = True
    elif isinstance(driver, TelegramDriver):
        driver._server.refuse("sendDocument", 413, "Request Entity Too Large")
    elif isinstance(driver, SlackDriver):
        driver.server.space.scopes.remove("files:write")


def fail_file(driver: Driver, place: Place) -> None:
    """The next call that brings a file fails for now."""
    if isinstance(driver, SlackDriver):
        fault = Fault("internal_error", method="files.completeUploadExternal")
        driver.server.space.faults.append(fault)
    else:
        driver.fail_next(place)
