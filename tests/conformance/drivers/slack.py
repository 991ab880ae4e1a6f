"""Slack for the conformance suite."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from agent.ports import LastAccepted
from channels.pacing import Governor
from channels.slack.channel import Slack
from channels.slack.writer import LIMIT
from tests.conformance.driver import Place
from tests.support.platforms.slack import (
    AGENT,
    APP_TOKEN,
    BOT_TOKEN,
    Fault,
    SlackServer,
)

# between two states of an answer: tests do not wait a second for each
_INTERVAL_S = 0.02


class SlackDriver:
    """Slack over Socket Mode. What is not acknowledged comes again after 0.3 s instead of 3."""

    name = "slack"
    limit = LIMIT

    def __init__(self) -> None:
        self._server = SlackServer(redeliver_after=0.3)
        self._chats: dict[str, str] = {}  # message: chat
        self._threads: set[str] = set()
        self.last_accepted: LastAccepted | None = None
        self.slash_commands: Callable[[], bool] = lambda: True

    @property
    def server(self) -> SlackServer:
        """For what only Slack has."""
        return self._server

    def start(self) -> AbstractAsyncContextManager[None]:
        """Slack's server, running."""
        return self._running()

    @asynccontextmanager
    async def _running(self) -> AsyncIterator[None]:
        async with self._server.running():
            yield

    def channel(self) -> Slack:
        """A new instance of the app."""
        return Slack(
            bot_token=BOT_TOKEN,
            app_token=APP_TOKEN,
            api_url=self._server.api_url,
            governor=Governor(),
            slash_commands=self.slash_commands,
            last_accepted=self.last_accepted,
            interval=_INTERVAL_S,
            clock=self._server.clock,
        )

    def direct(self, user: str) -> Place:
        """The direct message channel with this person."""
        person = self._server.space.person(user)
        return Place(self._server.space.chat("D" + person[1:], "im", person))

    def group(self, name: str) -> Place:
        """A public channel that the agent was invited to."""
        return Place(
            self._server.space.chat("C" + name.upper().ljust(8, "0"), "channel"),
            direct=False,
        )

    def thread(self, group: Place, name: str) -> Place:
        """A thread under somebody's message to others."""
        root = self._server.space.add(
            group.chat, self._server.space.person("root"), name
        )
        self._threads.add(root.ts)
        return Place(group.chat, root.ts, direct=False)

    async def say(
        self,
        place: Place,
        text: str,
        *,
        user: str = "ada",
        mention: bool = False,
        deliver: int = 1,
    ) -> str:
        """A person writes, mentioning the agent if so."""
        person = self._server.space.person(user)
        self._server.space.members[place.chat].add(person)
        written = f"<@{AGENT}> {_escaped(text)}" if mention else _escaped(text)
        ts = await self._server.say(
            place.chat, person, written, thread=place.thread, deliver=deliver
        )
        self._chats[ts] = place.chat

        return ts

    async def redeliver(self, message: str) -> None:
        """The message's events once more."""
        await self._server.redeliver(self._chats[message], message)

    async def edit(self, message: str, text: str) -> None:
        """The person edits the message; a mention in it stays."""
        chat = self._chats[message]
        said = self._server.space.find(chat, message)
        assert said is not None
        mention = f"<@{AGENT}> " if said.text.startswith(f"<@{AGENT}>") else ""
        await self._server.edit(chat, message, mention + _escaped(text))

    async def command(
        self,
        place: Place,
        name: str,
        argument: str = "",
        *,
        user: str = "ada",
    ) -> None:
        """A slash command; `!name`, addressed to the agent, in a thread, where Slack has none."""
        if place.thread:
            await self.say(
                place, f"!{name} {argument}".rstrip(), user=user, mention=True
            )
            return

        person = self._server.space.person(user)
        self._server.space.members[place.chat].add(person)
        await self._server.command(place.chat, person, f"/{name}", argument)

    def screen(self, place: Place) -> Sequence[str]:
        """The agent's messages. In a channel it answers in threads under the messages: they
        count.
        """
        if place.thread:
            return [
                said.visible
                for said in self._server.space.of_agent(place.chat, place.thread)
            ]

        return [
            said.visible
            for said in self._server.space.of_agent(place.chat)
            if said.thread not in self._threads
        ]

    def revisions(self, place: Place) -> int:
        """Posts, edits and appends."""
        return sum(
            count
            for (chat, thread), count in self._server.space.revisions.items()
            if chat == place.chat and self._within(place, thread)
        )

    def typing(self, place: Place) -> int:
        """Statuses."""
        return sum(
            chat == place.chat and self._within(place, thread)
            for chat, thread in self._server.space.statuses
        )

    def _within(self, place: Place, thread: str) -> bool:
        return thread == place.thread if place.thread else thread not in self._threads

    def limit_chat(
        self,
        place: Place,
        *,
        retry_after: float,
        times: int,
    ) -> None:
        """429 with Retry-After."""
        fault = Fault(
            "ratelimited", chat=place.chat, times=times, retry_after=retry_after
        )
        self._server.space.faults.append(fault)

    def fail_next(self, place: Place, *, times: int = 1) -> None:
        """`internal_error`."""
        self._server.space.faults.append(
            Fault("internal_error", chat=place.chat, times=times)
        )

    def early_calls(self) -> int:
        """Calls before a Retry-After was over."""
        return self._server.early_calls

    def unacknowledged(self) -> int:
        """What Slack still tries to deliver."""
        return self._server.unacknowledged()


def _escaped(text: str) -> str:
    """As Slack hands over what people type."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
