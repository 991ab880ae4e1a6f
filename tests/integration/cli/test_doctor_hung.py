"""`agent doctor` when what it asks takes connections and says nothing, and after events that
nobody could read.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from storage.redis import open_redis
from storage.reports.channels import RedisUnreadable
from tests.support.commands import Machine
from tests.support.warm import Warm

IN_ALL = 10.0  # seconds


@pytest.fixture
async def silent() -> AsyncIterator[str]:
    """The address of a server that takes connections and never answers."""
    held = []

    async def hold(
        _reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        held.append(writer)

    server = await asyncio.start_server(hold, "127.0.0.1", 0)
    yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()
    for writer in held:
        writer.close()


async def test_it_ends_in_ten_seconds_when_everything_hangs(
    tmp_path: Path, silent: str, warm: Warm
) -> None:
    """Each part is named as what did not answer."""
    machine = Machine(
        tmp_path,
        {
            "DATABASE_URL": f"postgresql://agent@{silent}/agent",
            "REDIS_URL": f"redis://{silent}/0",
            "OPENAI_API_KEY": "sk-hangs",
            "OPENAI_BASE_URL": f"http://{silent}/v1",
            "DISCORD_TOKEN": "hangs",
            "DISCORD_API_URL": f"http://{silent}/api",
            "TELEGRAM_TOKEN": "1:hangs",
            "TELEGRAM_API_URL": f"http://{silent}",
            "SLACK_BOT_TOKEN": "xoxb-hangs",
            "SLACK_API_URL": f"http://{silent}/",
        },
        warm,
    )
    began = time.monotonic()
    ended = await machine.agent("doctor", "--json")
    took = time.monotonic() - began

    parts = {one["part"] for one in json.loads(ended.out)["findings"]}
    assert parts == {"postgres", "redis", "model", "discord", "telegram", "slack"}
    assert took < IN_ALL + 2  # the process itself


async def test_events_that_could_not_be_read_are_named_by_channel_and_kind(
    tmp_path: Path, database_url: str, redis_url: str, warm: Warm
) -> None:
    async with open_redis(redis_url) as pipe:
        unreadable = RedisUnreadable(pipe)
        for kind in ("message", "message", "reaction"):
            unreadable.note("slack", kind)
        await asyncio.sleep(0.1)

    machine = Machine(
        tmp_path, {"DATABASE_URL": database_url, "REDIS_URL": redis_url}, warm
    )
    ended = await machine.agent("doctor", "--json")

    [finding] = json.loads(ended.out)["findings"]
    assert (finding["part"], finding["problem"]) == (
        "slack",
        "3 events could not be read in the last two days: message (2), reaction (1).",
    )
