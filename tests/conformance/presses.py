"""Buttons on each platform: what stands under a message, and how people press it."""

from __future__ import annotations

from collections.abc import Sequence

from tests.conformance.driver import Driver, Place
from tests.conformance.drivers.discord import DiscordDriver
from tests.conformance.drivers.slack import SlackDriver
from tests.conformance.drivers.telegram import TelegramDriver


def labels(driver: Driver, place: Place, message: str) -> Sequence[str]:
    """What the buttons under a message are called."""
    return list(_data(driver, place, message))


async def press(
    driver: Driver,
    place: Place,
    message: str,
    label: str,
    *,
    user: str = "ada",
    old: str = "",
) -> None:
    """A person presses a button. `old`: its data, when it is not there any more."""
    data = old or _data(driver, place, message)[label]
    if isinstance(driver, TelegramDriver):
        driver._server.press(
            driver._chat(place), int(message), label, user=user, old=data
        )
    elif isinstance(driver, DiscordDriver):
        driver.server.press(message, data, user=user)
    elif isinstance(driver, SlackDriver):
        person = driver.server.space.person(user)
        await driver.server.press(place.chat, message, data, user=person)


def carried(driver: Driver, place: Place, message: str, label: str) -> str:
    """What this button carries."""
    return _data(driver, place, message)[label]


def heard(driver: Driver, place: Place) -> list[str]:
    """All that the agent said here, also what only the person who pressed sees."""
    shown = list(driver.screen(place))
    if isinstance(driver, TelegramDriver):
        return [*shown, *driver._server.state.toasts]

    return shown


def waiting(driver: Driver) -> int:
    """Presses that nothing has answered yet: their buttons show that they wait."""
    if isinstance(driver, TelegramDriver):
        return list(driver._server.state.presses.values()).count(None)

    return driver.unacknowledged()


def _data(driver: Driver, place: Place, message: str) -> dict[str, str]:
    if isinstance(driver, TelegramDriver):
        sent = driver._chat(place).sent[int(message)]
        keys = [key for row in sent.keyboard for key in row]
        return {key["text"]: key["callback_data"] for key in keys}

    if isinstance(driver, DiscordDriver):
        return driver.server.state.buttons(message)

    assert isinstance(driver, SlackDriver)

    return driver.server.space.buttons(message)
