"""Messages that were written while nobody listened, from Slack's history.

Slack itself repeats events for some minutes only.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from functools import partial
from typing import Any, TypeVar

from agent.core.errors import AgentError, DeliveryError, StoreUnavailable
from channels.pacing import RateLimited
from channels.slack.api import SlackApi

_TS = re.compile(r"\d{10}\.\d{6}")
_UNKNOWN_S = 3600.0  # read where the last message was a command, which has no ts
_PAGES = 5
_PAGE = 200
_PARENTS = 50  # older messages whose threads may have new replies
_ATTEMPTS = 4
_PAUSE_S = 1.0  # the store has its own patience before it reports that it is away

_log = logging.getLogger(__name__)

Result = TypeVar("Result")
Take = Callable[[Mapping[str, Any]], Awaitable[None]]
Sleep = Callable[[float], Awaitable[None]]


async def until_stored(ask: Callable[[], Awaitable[Result]], sleep: Sleep) -> Result:
    """The result of `ask`, once the store is there."""
    while True:
        try:
            return await ask()
        except StoreUnavailable:
            await sleep(_PAUSE_S)


async def catch_up(
    api: SlackApi,
    accepted: Mapping[str, str],
    take: Take,
    *,
    clock: Callable[[], float],
    sleep: Sleep,
) -> None:
    """Hands over every message since the last accepted one of each chat, oldest first.

    Messages that were accepted before are recognised by their ids. Chats that Slack does
    not let the agent read are omitted.
    """
    for chat, last in accepted.items():
        since = last if _TS.fullmatch(last) else f"{clock() - _UNKNOWN_S:.6f}"
        for _ in range(_ATTEMPTS):
            try:
                async for message in _missed(api, chat, since):
                    event = {"channel": chat, "type": "message", **message}
                    await until_stored(partial(take, event), sleep)

                break
            except RateLimited as limit:
                await sleep(limit.retry_after)
            except DeliveryError as error:
                _log.warning(
                    "messages of a Slack chat could not be fetched: %s",
                    error.sentence,
                )
                break


async def _missed(
    api: SlackApi, chat: str, since: str
) -> AsyncIterator[Mapping[str, Any]]:
    later = await _later(api, chat, since)
    earlier = await api.call(
        "conversations.history",
        channel=chat,
        latest=since,
        inclusive=True,
        limit=_PARENTS,
    )
    missed = list(later)
    for parent in (*later, *(earlier.get("messages") or ())):
        if str(parent.get("latest_reply") or "") > since:
            missed += await _replies(api, chat, str(parent["ts"]), since)

    for message in sorted(missed, key=lambda message: str(message["ts"])):
        yield message


async def _later(api: SlackApi, chat: str, since: str) -> list[Mapping[str, Any]]:
    messages: list[Mapping[str, Any]] = []
    cursor: str | None = None

    for _ in range(_PAGES):
        page = await api.call(
            "conversations.history",
            channel=chat,
            oldest=since,
            limit=_PAGE,
            cursor=cursor,
        )
        messages += page.get("messages") or ()
        cursor = (page.get("response_metadata") or {}).get("next_cursor") or None
        if cursor is None:
            break

    return messages


async def _replies(
    api: SlackApi, chat: str, thread: str, since: str
) -> list[Mapping[str, Any]]:
    page = await api.call(
        "conversations.replies", channel=chat, ts=thread, oldest=since, limit=_PAGE
    )
    return [
        message
        for message in page.get("messages") or ()
        if str(message["ts"]) != thread
    ]


class CatchUp:
    """Catches up in the background, once at a time."""

    def __init__(self, work: Callable[[], Awaitable[None]]) -> None:
        self._work = work
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Starts, unless it is running."""
        if self._task is None or self._task.done():
            self._task = asyncio.ensure_future(self._run())

    async def _run(self) -> None:
        try:
            await self._work()
        except AgentError as error:
            _log.warning("catching up on Slack ended early: %s", error.sentence)

    async def stop(self) -> None:
        """Cancels it."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
