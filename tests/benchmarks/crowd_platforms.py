"""The platforms' side of a crowd: people who write, wait for the answer, and write again."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from agent.settings import Settings
from tests.conformance.driver import Driver, Place
from tests.conformance.drivers.discord import DiscordDriver
from tests.conformance.drivers.slack import SlackDriver
from tests.conformance.drivers.telegram import TelegramDriver
from tests.support.platforms.slack import APP_TOKEN, BOT_TOKEN, SlackServer

LOOK = 0.02  # seconds between two looks at all screens
PATIENCE = 600.0


@dataclass
class Person:
    """Somebody who writes when it is time and the last answer is there. `due` are seconds
    from the beginning.
    """

    name: str
    driver: Driver
    place: Place
    due: Sequence[float]
    said: int = 0

    def writes(self, now: float) -> bool:
        """Whether this is the moment for the next message."""
        return (
            self.said < len(self.due) and now >= self.due[self.said] and self.answered
        )

    @property
    def done(self) -> bool:
        """All is said and answered."""
        return self.said == len(self.due) and self.answered

    def text(self, number: int) -> str:
        """Tells its messages from all others."""
        return f"{self.name} says {number}"

    @property
    def answered(self) -> bool:
        """Whether the last message was."""
        return len(self.driver.screen(self.place)) >= self.said

    @property
    def content(self) -> bool:
        """Whether every message was answered, in order, once."""
        return list(self.driver.screen(self.place)) == [
            f"re: {self.text(number)}" for number in range(self.said)
        ]


@dataclass(frozen=True)
class Report:
    """What the platforms saw. Moments are of `time.perf_counter`, by a message's text."""

    people: int
    wrong: tuple[str, ...]
    seconds: float
    said: Mapping[str, float]
    acknowledged: Mapping[str, float]  # where the platform has acknowledgements


@dataclass
class Crowd:
    """People dealt out to the channels, each writing at random moments; all at the same one
    if `seconds` is 0.
    """

    drivers: Sequence[Driver]
    people: int
    messages: int  # of each person
    seconds: float = 0.0
    seed: int = 1
    said: dict[str, float] = field(default_factory=dict)
    acknowledged: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed)
        self.everybody = [self._person(number) for number in range(self.people)]
        for driver in self.drivers:
            if isinstance(driver, TelegramDriver):
                self._watch_telegram(driver)
            elif isinstance(driver, SlackDriver):
                self._watch_slack(driver)

    def _person(self, number: int) -> Person:
        driver, name = self.drivers[number % len(self.drivers)], f"p{number:07}"
        part = self.seconds / self.messages
        due = [
            part * (number + self._chance.random()) for number in range(self.messages)
        ]
        return Person(name, driver, driver.direct(name), due)

    async def agent_there(self) -> None:
        """Returns when the agent is connected everywhere."""
        while not all(_connected(driver) for driver in self.drivers):
            await asyncio.sleep(LOOK)

    async def talk(self) -> Report:
        """Until everybody has said all and seen all."""
        started = time.perf_counter()
        waiting = self.everybody
        while waiting and (now := time.perf_counter() - started) < PATIENCE:
            for who in waiting:
                if who.writes(now):
                    await self._say_next(who)
            await asyncio.sleep(LOOK)
            waiting = [who for who in waiting if not who.done]
        seconds = time.perf_counter() - started
        wrong = tuple(who.name for who in self.everybody if not who.content)
        return Report(self.people, wrong, seconds, self.said, self.acknowledged)

    async def _say_next(self, who: Person) -> None:
        text = who.text(who.said)
        who.said += 1
        self.said[text] = time.perf_counter()
        await who.driver.say(who.place, text, user=who.name)

    def _acknowledge(self, text: str) -> None:
        self.acknowledged.setdefault(text, time.perf_counter())

    def _watch_telegram(self, driver: TelegramDriver) -> None:
        """What the offset of the next fetch confirms."""
        delivery, state = driver._server.delivery, driver._server.state
        confirm = delivery._confirm_before

        def noting(offset: int) -> None:
            for update in state.updates:
                if update["update_id"] < offset:
                    self._acknowledge(update["message"]["text"])
            confirm(offset)

        delivery._confirm_before = noting  # type: ignore[method-assign]

    def _watch_slack(self, driver: SlackDriver) -> None:
        """The envelope that is sent back."""
        sockets = driver.server.sockets
        answered = sockets._answered

        def noting(delivery: Any, answer: dict[str, Any]) -> None:
            self._acknowledge(delivery.body["event"]["text"])
            answered(delivery, answer)

        sockets._answered = noting


def patient() -> list[Driver]:
    """The three platforms; Slack waits three seconds for an acknowledgement, as it does
    outside of tests.
    """
    slack = SlackDriver()
    slack._server = SlackServer(redeliver_after=3.0)
    return [DiscordDriver(), TelegramDriver(), slack]


def _connected(driver: Driver) -> bool:
    if isinstance(driver, DiscordDriver):
        return bool(driver.server.gateway.connected)
    if isinstance(driver, SlackDriver):
        return driver.server.sockets.connections > 0
    assert isinstance(driver, TelegramDriver)
    return driver._server.count("getUpdates") > 0


def addresses(drivers: Sequence[Driver]) -> dict[str, str]:
    """Where each platform listens."""
    found = {}
    for driver in drivers:
        if isinstance(driver, DiscordDriver):
            found[driver.name] = driver.server.api_url
        elif isinstance(driver, SlackDriver):
            found[driver.name] = driver.server.root
        elif isinstance(driver, TelegramDriver):
            found[driver.name] = driver._server.url
    return found


def come_to(drivers: Sequence[Driver], where: Mapping[str, str]) -> None:
    """Channels of these drivers talk to the platforms of another process."""
    for driver in drivers:
        if isinstance(driver, DiscordDriver):
            driver.server.api_url = where[driver.name]
        elif isinstance(driver, SlackDriver):
            driver.server.root = where[driver.name]
        elif isinstance(driver, TelegramDriver):
            driver._server.url = where[driver.name]


def settings_for(drivers: Sequence[Driver]) -> Settings:
    """The settings of an agent that finds its platforms there."""
    where = addresses(drivers)
    given: dict[str, Any] = {
        "discord_api_url": where["discord"],
        "telegram_api_url": where["telegram"],
        "slack_app_token": APP_TOKEN,
        "slack_bot_token": BOT_TOKEN,
    }
    for driver in drivers:
        if isinstance(driver, DiscordDriver):
            given["discord_token"] = driver.server.token
        elif isinstance(driver, TelegramDriver):
            given["telegram_token"] = driver._server.token
        elif isinstance(driver, SlackDriver):
            given["slack_api_url"] = driver.server.api_url
    return Settings(_env_file=None, **given)
