"""The thumbs on answers, as the rows say."""

from __future__ import annotations

import asyncio
import json

from tests.conformance.channel_harness import DEADLINE, LOOK, ChannelHarness

VOTES = """
SELECT coalesce(jsonb_object_agg(m.content, v.thumb), '{}')
FROM votes v JOIN messages m ON m.id = v.message_id AND m.conversation_id = v.conversation_id
"""


async def votes(harness: ChannelHarness) -> dict[str, int]:
    """The thumb on each answer, in scenarios in which one person votes."""
    found: dict[str, int] = json.loads(await harness.value(VOTES))
    return found


async def becomes(harness: ChannelHarness, **expected: int) -> None:
    """Returns once these are the votes."""
    async with asyncio.timeout(DEADLINE):
        while await votes(harness) != expected:
            await asyncio.sleep(LOOK)
