"""Messages that were written while nobody listened, from Slack's history.

Slack itself repeats events for some minutes only.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

from agent.core.background import end
from agent.core.errors import AgentError, DeliveryError, StoreUnavailable
from channels.fields import Json, items, mapping, text
from channels.pacing import RateLimited
from channels.slack.api import SlackApi
from channels.unreadable import UnreadableEvents

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
    unreadable: UnreadableEvents,
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
                for message in await _missed(api, chat, since, unreadable):
                    event = {**message, "channel": chat, "type": "message"}
                    with _one_by_one():
                        await until_stored(partial(take, event), sleep)

                break
            except RateLimited as limit:
                await sleep(limit.retry_after)
            except DeliveryError as error:
                _could_not_fetch(error)
                break


@contextmanager
def _one_by_one() -> Iterator[None]:
    """What Slack refuses to tell of one message or thread costs no other."""
    try:
        yield
    except DeliveryError as error:
        _could_not_fetch(error)


def _could_not_fetch(error: DeliveryError) -> None:
    _log.warning(
        "messages of a Slack chat could not be fetched: %s",
        error.sentence,
    )


async def _missed(
    api: SlackApi,
    chat: str,
    since: str,
    unreadable: UnreadableEvents,
) -> list[Json]:
    later = await _later(api, chat, since)
    earlier = await api.call(
        "conversations.history",
        channel=chat,
        latest=since,
        inclusive=True,
        limit=_PARENTS,
    )
    missed = list(later)
    for parent in (*later, *items(earlier, "messages")):
        ts = text(parent, "ts")
        if ts and text(parent, "latest_reply") > since:
            with _one_by_one():
                missed += await _replies(api, chat, ts, since)

    for message in missed:
        if not text(message, "ts"):
            unreadable.passed_over("history", "a message without its ts")

    return sorted(
        (message for message in missed if text(message, "ts")),
        key=lambda message: text(message, "ts"),
    )


async def _later(api: SlackApi, chat: str, since: str) -> list[Json]:
    messages: list[Json] = []
    cursor: str | None = None

    for _ in range(_PAGES):
        page = await api.call(
            "conversations.history",
            channel=chat,
            oldest=since,
            limit=_PAGE,
            cursor=cursor,
        )
        messages += items(page, "messages")
        cursor = text(mapping(page, "response_metadata"), "next_cursor") or None
        if cursor is None:
            break

    return messages


async def _replies(
    api: SlackApi,
    chat: str,
    thread: str,
    since: str,
) -> list[Json]:
    page = await api.call(
        "conversations.replies", channel=chat, ts=thread, oldest=since, limit=_PAGE
    )
    return [
        message
        for message in items(page, "messages")
        if text(message, "ts") != thread
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
            await end({self._task})
