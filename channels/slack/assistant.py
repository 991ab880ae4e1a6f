"""The window for conversations with an agent: suggested prompts, and titles of threads."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any

from cachetools import TTLCache

from agent.core.background import end
from agent.core.messages import Edited, Inbound, Said
from channels.pacing import RateLimited
from channels.slack.api import ApiError, SlackApi
from channels.slack.setup import PROMPTS

_THREADS = 10_000
_UNTITLED_S = 3600.0
_TITLE = 60  # characters

_log = logging.getLogger(__name__)


class AssistantWindow:
    """Fills the window in the background: Slack waits for the acknowledgement of an event."""

    def __init__(self, api: SlackApi, clock: Callable[[], float]) -> None:
        self._api = api
        self._untitled: TTLCache[tuple[str, str], bool] = TTLCache(
            _THREADS, _UNTITLED_S, clock
        )
        self._tasks: set[asyncio.Task[None]] = set()

    def opened(self, event: Mapping[str, Any]) -> None:
        """A person opened the window: suggests how to begin."""
        thread = event.get("assistant_thread")
        if thread:
            chat, ts = thread["channel_id"], thread["thread_ts"]
            self._untitled[chat, ts] = True
            self._suggest(channel_id=chat, thread_ts=ts)
        elif event.get("tab") == "messages":
            self._suggest(channel_id=event["channel"])

    def accepted(self, inbound: Inbound) -> None:
        """The first message of a new thread becomes its title."""
        if not isinstance(inbound, Said | Edited) or not inbound.text.strip():
            return

        chat, thread = inbound.address.chat, inbound.address.thread
        if self._untitled.pop((chat, thread), False):
            title = inbound.text.strip().splitlines()[0][:_TITLE]
            self._call(
                "assistant.threads.setTitle",
                channel_id=chat,
                thread_ts=thread,
                title=title,
            )

    async def close(self) -> None:
        """Cancels what is under way."""
        await end(self._tasks)

    def _suggest(self, **where: str) -> None:
        self._call(
            "assistant.threads.setSuggestedPrompts", **where, prompts=list(PROMPTS)
        )

    def _call(self, method: str, **arguments: Any) -> None:
        task = asyncio.create_task(self._try(method, **arguments))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _try(self, method: str, **arguments: Any) -> None:
        try:
            await self._api.call(method, **arguments)
        except (ApiError, RateLimited) as error:
            _log.info(
                "%s was refused (%s); that is only less comfort",
                method,
                type(error).__name__,
            )
