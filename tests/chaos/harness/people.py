"""People who write in chats of three platforms, and what stands there in the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count

from tests.chaos.harness.model import token_of
from tests.conformance.driver import Driver, Place
from tests.conformance.drivers.discord import DiscordDriver
from tests.conformance.drivers.slack import SlackDriver
from tests.conformance.drivers.telegram import TelegramDriver


@dataclass(frozen=True)
class Chat:
    """A direct chat, or a place among others where the agent has to be named."""

    name: str
    driver: Driver
    place: Place
    user: str

    @property
    def platform(self) -> str:
        """Which platform it is on."""
        return self.driver.name


@dataclass(frozen=True)
class Said:
    """What a person wrote, by its name and by the platform's id."""

    token: str
    chat: Chat
    message: str
    text: str


@dataclass(frozen=True)
class Standing:
    """One message of the agent as a person sees it. `open`: it looks as if it were still
    being written.
    """

    text: str
    open: bool = False


@dataclass
class People:
    """Everybody who writes, and all that they wrote."""

    chats: Sequence[Chat]
    said: list[Said] = field(default_factory=list)
    _numbers: count[int] = field(default_factory=lambda: count(1))

    async def say(self, chat: Chat, more: str = "") -> Said:
        """A new message in this chat; `more` are words for the model."""
        token = f"q{next(self._numbers)}"
        text = f"{token} {chat.name} {more}".strip()
        message = await chat.driver.say(
            chat.place, text, user=chat.user, mention=not chat.place.direct
        )
        said = Said(token, chat, message, text)
        self.said.append(said)
        return said


def chats_on(drivers: Sequence[Driver], direct: int) -> list[Chat]:
    """So many direct chats and one place among others on each platform: what is shown
    differs between them.
    """
    chats = []
    for driver in drivers:
        for number in range(1, direct + 1):
            user = f"{driver.name}{number}"
            chats.append(
                Chat(
                    f"{driver.name}-direct-{number}",
                    driver,
                    driver.direct(user),
                    user,
                )
            )
        chats.append(
            Chat(f"{driver.name}-group", driver, _among_others(driver), "ada")
        )

    return chats


def _among_others(driver: Driver) -> Place:
    """A thread on Slack, which is where it streams; a group elsewhere."""
    group = driver.group("town")
    return driver.thread(group, "plans") if isinstance(driver, SlackDriver) else group


def standing_in(chat: Chat) -> list[Standing]:
    """What the agent's messages say there, oldest first, after all edits and deletions."""
    driver = chat.driver
    if isinstance(driver, SlackDriver):
        thread = chat.place.thread or None
        said = driver.server.space.of_agent(chat.place.chat, thread)
        return [
            Standing(one.visible, open=driver.server.space.is_streaming(one))
            for one in said
        ]

    if isinstance(driver, TelegramDriver):
        # A preview is no message: it vanishes after half a minute,
        # https://core.telegram.org/bots/api#sendmessagedraft.
        return [
            Standing(sent.text) for sent in driver._chat(chat.place).sent.values()
        ]

    return [Standing(text) for text in driver.screen(chat.place)]


def is_acknowledged(said: Said) -> bool:
    """Whether the platform was told that the message arrived. Discord has no such thing:
    sent counts.
    """
    driver = said.chat.driver
    if isinstance(driver, SlackDriver):
        deliveries = [
            one for one in driver.server.deliveries if _names(one.body, said)
        ]
        return any(one.acknowledged for one in deliveries)

    if isinstance(driver, TelegramDriver):
        waiting = driver._server.state.updates
        return not any(
            token_of(one.get("message", {}).get("text", "")) == said.token
            for one in waiting
        )

    return True


def _names(body: dict[str, object], said: Said) -> bool:
    event = body.get("event")
    return isinstance(event, dict) and event.get("ts") == said.message


def connections_of(driver: Driver) -> int:
    """How often an agent has come to listen on this platform."""
    if isinstance(driver, DiscordDriver):
        return driver.server.gateway.identified + driver.server.gateway.resumed

    if isinstance(driver, SlackDriver):
        return driver.server.sockets.opened

    assert isinstance(driver, TelegramDriver)
    return driver._server.count("getUpdates")
