"""What stands above the first mention of the agent in a thread: people call it "this"."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from cachetools import LRUCache
from msgspec.structs import replace

from agent.core.background import end
from agent.core.commands import parse_command
from agent.core.errors import AgentError
from agent.core.messages import Deleted, Edited, Inbound, Said
from channels.fields import Json, in_reply, items, text
from channels.pacing import RateLimited
from channels.slack.api import SlackApi
from channels.slack.directory import Directory, concerns
from channels.slack.incoming import content
from channels.slack.sign_in import Identity
from channels.slack.text import mentioned, readable
from channels.unreadable import READING

_WAIT_S = 0.9  # a little less than the core waits for the rest of a message
_BARE_WAIT_S = 1.0  # a bare mention waits for it: without it, there is no question
_PAGE = 100
_LATEST = 2  # messages right above, besides the one that began the thread
_REMEMBERED = 1_000

Store = Callable[[Inbound], Awaitable[None]]


class MessagesAbove:
    """Adds what stands above a message that is stored, as its edit: Slack's acknowledgement
    does not wait for it. Where Slack does not tell it, the message stands for itself.
    """

    def __init__(self, api: SlackApi, me: Identity, people: Directory) -> None:
        self._api = api
        self._me = me
        self._people = people
        self._quoted: LRUCache[str, str] = LRUCache(_REMEMBERED)  # by message
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def take(self, inbound: Inbound, store: Store) -> None:
        """Stores it, and begins to add what stands above."""
        if not isinstance(inbound, Said):
            if isinstance(inbound, Deleted):
                self._stop(inbound.message_id)
            await store(inbound)
            return

        said = await self._beside_bare_mention(inbound)
        await store(said)
        message = said.message_id
        is_known = message in self._tasks or message in self._quoted
        if said.more_follows and not parse_command(said.text) and not is_known:
            task = asyncio.create_task(self._add(said, store))
            self._tasks[message] = task
            task.add_done_callback(lambda _: self._tasks.pop(message, None))

    async def kept(self, edited: Edited) -> Edited:
        """The edit of a message with what stood above it. Slack is asked where the message
        itself came to another instance.
        """
        self._stop(edited.message_id)  # it would put the text from before back
        quoted = self._quoted.get(edited.message_id)
        if quoted is None and edited.address.thread not in ("", edited.message_id):
            quoted = await self._ask(edited, _WAIT_S)

        return replace(edited, text=_joined(quoted or "", edited.text))

    async def close(self) -> None:
        """Cancels what is under way."""
        await end(self._tasks.values())

    def _stop(self, message: str) -> None:
        if task := self._tasks.get(message):
            task.cancel()

    async def _beside_bare_mention(self, said: Said) -> Said:
        """The message with what it is about, if a mention is all it says."""
        if said.text or not said.more_follows:
            return said

        self._quoted[said.message_id] = quoted = await self._ask(said, _BARE_WAIT_S)
        return replace(said, text=quoted, more_follows=False)

    async def _add(self, said: Said, store: Store) -> None:
        quoted = await self._ask(said, _WAIT_S)
        self._quoted[said.message_id] = quoted
        if not quoted:
            return

        try:
            # the person's own edit or deletion, which another instance may have got, counts
            edit = said.edited(_joined(quoted, said.text))
            await store(replace(edit, replaces=said.text))
        except AgentError:
            return  # the store is away: the message itself is there

    async def _ask(self, said: Said | Edited, seconds: float) -> str:
        try:
            async with asyncio.timeout(seconds):
                return await self._above(said)
        except (AgentError, RateLimited, TimeoutError, *READING):
            return ""

    async def _above(self, said: Said | Edited) -> str:
        thread, ts = said.address.thread, said.message_id
        answer = await self._api.call(
            "conversations.replies",
            channel=said.address.chat,
            ts=thread,
            latest=ts,
            limit=_PAGE,
        )
        earlier = [one for one in items(answer, "messages") if text(one, "ts") < ts]
        shown = self._of_direct(earlier) if said.direct else self._of_channel(earlier)

        quoted = await asyncio.gather(*map(self._quotation, shown))

        return "\n\n".join(one for one in quoted if one)

    def _of_channel(self, earlier: Sequence[Json]) -> Sequence[Json]:
        if any(concerns(self._me, one) for one in earlier):
            return ()  # the agent was here before a restart

        return [*earlier[:1], *earlier[1:][-_LATEST:]]

    def _of_direct(self, earlier: Sequence[Json]) -> Sequence[Json]:
        """What began the thread: all below it was said to the agent. A thread of the agent's
        window begins with nothing that anybody said.
        """
        root, below = earlier[:1], earlier[1:]
        began_empty = any(
            "assistant_app_thread" in (*one, text(one, "subtype")) for one in root
        )
        if began_empty or any(concerns(self._me, one) for one in below):
            return ()

        return root

    async def _quotation(self, message: Json) -> str:
        words = content.shown(message)
        if not words:
            return ""

        author = text(message, "user")
        people: Sequence[str] = [*mentioned(words), *([author] if author else ())]
        names = await self._people.names(people)
        own = author == self._me.user
        name = names.get(author) or text(message, "username")

        return in_reply(name or "", readable(words, names), own=own)


def _joined(quoted: str, words: str) -> str:
    return "\n\n".join(part for part in (quoted, words) if part)
