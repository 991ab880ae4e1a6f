"""What every control promises: a change applies at the next epoch, and is not guessed before."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import pytest

from agent.core.channel import ChannelSettings
from agent.core.messages import Overlap
from agent.ports import Control, ControlUpdates
from storage.control.live import RedisControl
from storage.postgres import connect, open_database
from storage.redis import open_redis
from tests.contract.memory import Memory, MemoryControl

QUEUE = ChannelSettings("test:other", "Be brief.", Overlap.QUEUE)
_SET = """
INSERT INTO channel_configs (id, channel_type, default_model, settings)
VALUES (gen_random_uuid(), 'test', $1,
        jsonb_build_object('system_prompt', $2::text, 'overlap', $3::text))
"""


@dataclass(frozen=True)
class Operated:
    """A control, its updates, and an operator that changes what it reads."""

    control: Control
    updates: ControlUpdates
    set_channel: Callable[
        [ChannelSettings], Awaitable[None]
    ]  # moves the epoch by one


@pytest.fixture(params=["memory", "redis"])
def urls(request: pytest.FixtureRequest) -> tuple[str, str] | None:
    if request.param == "memory":
        return None

    return request.getfixturevalue("database_url"), request.getfixturevalue(
        "redis_url"
    )


@pytest.fixture
async def operated(urls: tuple[str, str] | None) -> AsyncIterator[Operated]:
    if urls is None:
        memory = Memory()

        async def remember(settings: ChannelSettings) -> None:
            memory.channels["test"], memory.epoch = settings, memory.epoch + 1

        control = MemoryControl(memory)
        yield Operated(control, control, remember)

        return

    async with open_database(urls[0]) as database, open_redis(urls[1]) as pipe:
        redis = RedisControl(database, pipe)
        await redis.start()
        yield Operated(redis, redis, lambda settings: _store(urls[0], settings))


async def _store(url: str, settings: ChannelSettings) -> None:
    connection = await connect(url)
    async with connection.transaction():
        await connection.execute(
            _SET,
            settings.default_model,
            settings.system_prompt,
            settings.overlap.value,
        )
        await connection.execute("UPDATE control_epoch SET epoch = epoch + 1")

    await connection.close()


async def test_a_channel_nobody_set_has_the_defaults(operated: Operated) -> None:
    assert operated.control.channel("test") == ChannelSettings()
    assert operated.control.epoch == 1


async def test_a_change_is_seen_once_its_epoch_was_seen(operated: Operated) -> None:
    await operated.set_channel(QUEUE)
    assert operated.control.channel("test") == ChannelSettings()

    await operated.updates.observe(2)
    assert operated.control.channel("test") == QUEUE
    assert operated.control.epoch == 2


async def test_other_channels_keep_theirs(operated: Operated) -> None:
    await operated.set_channel(QUEUE)
    await operated.updates.observe(2)

    assert operated.control.channel("other") == ChannelSettings()


@pytest.mark.parametrize("epoch", [None, 1])
async def test_nothing_is_read_when_no_other_epoch_was_seen(
    operated: Operated, epoch: int | None
) -> None:
    await operated.set_channel(QUEUE)
    await operated.updates.observe(epoch)

    assert operated.control.channel("test") == ChannelSettings()


@pytest.mark.parametrize("epoch", [0, 99, -1])
async def test_an_epoch_that_is_lost_or_unknown_leads_to_the_truth(
    operated: Operated, epoch: int
) -> None:
    await operated.set_channel(QUEUE)
    await operated.updates.observe(epoch)

    assert operated.control.channel("test") == QUEUE
    assert operated.control.epoch == 2
