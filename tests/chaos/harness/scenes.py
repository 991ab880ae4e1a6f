"""Precise moments: people have asked, the model has begun, and the first draft has just
been shown.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from tests.chaos.harness.people import Chat
from tests.chaos.harness.world import World

GLANCE_SECONDS = 0.002
FIRST_DRAFTS_SECONDS = 0.06
"""All chats begin at once; what has not been shown by then is shown to nobody. Records are
80 ms late.
"""


@asynccontextmanager
async def held(world: World) -> AsyncIterator[None]:
    """Inside, the model says the first word of each answer and no more."""
    hold = world.model.hold = asyncio.Event()
    try:
        yield
    finally:
        world.model.hold = None
        hold.set()


async def all_ask(world: World, chats: Sequence[Chat]) -> None:
    """A message in each of these chats; returns when the model was asked about all of them."""
    before = len(world.model.asked)
    for chat in chats:
        await world.people.say(chat)
    await world.until(lambda: len(world.model.asked) >= before + len(chats), 20.0)


async def first_drafts(
    world: World, chats: Sequence[Chat], twice: Sequence[Chat] = ()
) -> None:
    """A message in each of these chats; returns as soon as drafts stand that nobody can
    have recorded yet.

    Where somebody writes `twice`, the second message waits, and is merged by whoever
    answers the first again.
    """
    before = {chat: chat.driver.revisions(chat.place) for chat in chats}
    for chat in (*chats, *twice):
        await world.people.say(chat)
    async with asyncio.timeout(20.0):
        while not any(
            chat.driver.revisions(chat.place) > before[chat] for chat in chats
        ):
            await asyncio.sleep(GLANCE_SECONDS)
    end = asyncio.get_running_loop().time() + FIRST_DRAFTS_SECONDS
    while asyncio.get_running_loop().time() < end:
        if all(chat.driver.revisions(chat.place) > before[chat] for chat in chats):
            return
        await asyncio.sleep(GLANCE_SECONDS)


def on_each(world: World) -> list[list[Chat]]:
    """The chats, platform by platform."""
    platforms = dict.fromkeys(chat.platform for chat in world.chats)
    return [
        [chat for chat in world.chats if chat.platform == platform]
        for platform in platforms
    ]
