"""What people wrote while nobody listened: Slack repeats for some minutes only, so its
history is read.
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
# how far to look back in a chat whose last message was a command, which has no ts
_UNKNOWN_S = 3600.0
_PAGES = 5
_PAGE = 200
_PARENTS = 50  # older messages whose threads may have gone on
_ATTEMPTS = 4
_PAUSE_S = 1.0  # the store, too, is patient before it says that it is away

_log = logging.getLogger(__name__)

Result = TypeVar("Result")
Take = Callable[[Mapping[str, Any]], Awaitable[None]]
Sleep = Callable[[float], Awaitable[None]]


async def until_stored(ask: Callable[[], Awaitable[Result]], sleep: Sleep) -> Result:
    """What this returns once the store is there."""
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

    What was accepted before comes again and is known by its id. What Slack lets nobody read
    is left out.
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
                    "messages of a Slack chat could not be fetched: %s", error.sentence
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
    threads = [
        m
        for m in (*later, *(earlier.get("messages") or ()))
        if str(m.get("latest_reply") or "") > since
    ]
    replies = [
        await _replies(api, chat, str(parent["ts"]), since) for parent in threads
    ]

    for message in sorted(
        (*later, *(m for some in replies for m in some)), key=lambda m: str(m["ts"])
    ):
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
    """One catching up at a time, in the background."""

    def __init__(self, work: Callable[[], Awaitable[None]]) -> None:
        self._work = work
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begins, unless it is under way."""
        if self._task is None or self._task.done():
            self._task = asyncio.ensure_future(self._run())

    async def _run(self) -> None:
        try:
            await self._work()
        except AgentError as error:
            _log.warning("catching up on Slack ended early: %s", error.sentence)

    async def stop(self) -> None:
        """Ends it."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
