"""Telegram for the conformance suite: the real channel and client library against the
loopback server.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from channels.pacing import Governor, Rate
from channels.telegram.channel import Telegram
from channels.telegram.text import LIMIT
from tests.conformance.driver import Place
from tests.support.platforms.telegram import Chat, TelegramServer
from tests.support.platforms.telegram.state import BOT_NAME, Json


class TelegramDriver:
    """See `tests.conformance.driver.Driver`. Polls, as an agent without PUBLIC_URL does."""

    name = "telegram"
    limit = LIMIT

    def __init__(self) -> None:
        self._server = TelegramServer()
        self._said: dict[str, Json] = {}
        self.slash_commands: Callable[[], bool] = lambda: True

    @asynccontextmanager
    async def start(self) -> AsyncIterator[None]:
        """The Bot API server, running."""
        async with self._server:
            yield

    def channel(self) -> Telegram:
        """One instance's channel, quicker than the real Telegram lets a bot be."""
        return Telegram(
            token=self._server.token,
            api_url=self._server.url,
            governor=Governor(chat=Rate(100, 1)),
            slash_commands=self.slash_commands,
            interval=0.01,
            group_interval=0.01,
            retry=0.05,
        )

    def direct(self, user: str) -> Place:
        """The person's chat with the bot."""
        return Place(str(self._server.private(user).id))

    def group(self, name: str) -> Place:
        """A supergroup."""
        return Place(str(self._server.group(name).id), direct=False)

    def thread(self, group: Place, name: str) -> Place:
        """A forum topic; the same name is the same topic."""
        chat = self._chat(group)
        thread = next(
            (topic for topic, title in chat.topics.items() if title == name), None
        )
        if thread is None:
            thread = str(next(chat.ids))
            chat.topics[thread] = name

        return Place(group.chat, thread, direct=False)

    async def say(
        self,
        place: Place,
        text: str,
        *,
        user: str = "ada",
        mention: bool = False,
        deliver: int = 1,
    ) -> str:
        """A person writes."""
        chat = self._chat(place)
        message = self._server.say(
            chat,
            text,
            user=user,
            thread=place.thread,
            mention=mention,
            deliver=deliver,
        )
        key = f"{chat.id}:{message['message_id']}"
        self._said[key] = message

        return key

    async def redeliver(self, message: str) -> None:
        """The bot gets an earlier message once more."""
        self._server.redeliver(self._said[message])

    async def edit(self, message: str, text: str) -> None:
        """The person edits a message; a mention in front of it stays there."""
        old = self._said[message]
        name = f"@{BOT_NAME} "
        mentioned = old["text"].startswith(name)
        self._server.edit(old, name + text if mentioned else text)

    async def command(
        self,
        place: Place,
        name: str,
        argument: str = "",
        *,
        user: str = "ada",
    ) -> None:
        """`/name`, in groups `/name@bot` as the menu sends it."""
        bot = "" if place.direct else f"@{BOT_NAME}"
        await self.say(place, f"/{name}{bot} {argument}".rstrip(), user=user)

    def screen(self, place: Place) -> Sequence[str]:
        """The bot's messages and, while it lives, its draft."""
        return self._chat(place).screen(place.thread)

    def revisions(self, place: Place) -> int:
        """Messages, edits and drafts."""
        return self._chat(place).revisions[place.thread]

    def typing(self, place: Place) -> int:
        """Chat actions."""
        return self._chat(place).typing[place.thread]

    def limit_chat(
        self,
        place: Place,
        *,
        retry_after: float,
        times: int,
    ) -> None:
        """429 for the next calls."""
        self._server.limit(self._chat(place), retry_after=retry_after, times=times)

    def fail_next(self, place: Place, *, times: int = 1) -> None:
        """500 for the next calls."""
        self._server.fail(self._chat(place), times=times)

    def early_calls(self) -> int:
        """Calls before a Retry-After was over."""
        return self._server.early

    def unacknowledged(self) -> int:
        """Updates that no offset confirms yet."""
        return len(self._server.state.updates)

    def _chat(self, place: Place) -> Chat:
        return self._server.state.chats[int(place.chat)]
