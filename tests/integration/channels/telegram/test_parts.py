"""Albums, and texts that a client cut in two, are one turn."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.conformance.channel_harness import ChannelHarness
from tests.conformance.drivers.telegram import TelegramDriver


@pytest.fixture
async def harness(database_url: str, redis_url: str) -> AsyncIterator[ChannelHarness]:
    driver = TelegramDriver()
    async with driver.start():
        yield ChannelHarness(database_url, redis_url, [driver])


PHOTO = [{"file_id": "x", "file_unique_id": "x", "width": 1, "height": 1}]


async def test_an_album_is_one_turn(harness: ChannelHarness) -> None:
    """Four pictures with one caption get one answer, whose prompt names all four. Each part
    is durable before it is acknowledged.
    """
    driver = harness.driver
    assert isinstance(driver, TelegramDriver)
    ada = driver.direct("ada")
    chat, server = driver._chat(ada), driver._server

    async with harness.agent() as agent:
        for number in range(4):
            caption: Any = {"caption": "which is best?"} if not number else {}
            server.say(chat, "", photo=PHOTO, media_group_id="7", **caption)
            await asyncio.sleep(0.05)

        await harness.until(lambda: agent.accepted == 4)
        await harness.settled()

    assert len(harness.screen(ada)) == len(harness.model.prompts) == 1
    assert "\n".join(harness.asked()).count("[image photo.jpg]") == 4
    assert "which is best?" in harness.asked()[0]


async def test_a_text_that_the_client_cut_in_two_is_one_turn(
    harness: ChannelHarness,
) -> None:
    """Both halves are answered together."""
    ada = harness.driver.direct("ada")
    async with harness.agent() as agent:
        await harness.driver.say(ada, "a" * 4096)
        await harness.driver.say(ada, "and the end")
        await harness.until(lambda: agent.accepted == 2)
        await harness.settled()

    assert len(harness.model.prompts) == 1
    assert [len(text) for text in harness.asked()] == [4096, 11]
