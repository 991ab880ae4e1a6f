"""Every scenario runs once on each channel, except those in `omissions.py`.

One that names `flag_name` or `setting_name` runs with each flag that is declared, with each
setting of a channel.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from agent.control.flags import DECLARED
from storage.control.channel_settings import ChannelForm
from tests.conformance.channel_harness import ChannelHarness
from tests.conformance.channels import DRIVERS
from tests.conformance.driver import Driver
from tests.conformance.omissions import OMITTED, OMITTED_FLAGS, OMITTED_SETTINGS

VARIED = {
    "flag_name": (DECLARED, OMITTED_FLAGS),
    "setting_name": (ChannelForm.model_fields, OMITTED_SETTINGS),
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A scenario that names `driver` or `harness` runs on all its channels."""
    if "driver" not in metafunc.fixturenames:
        return

    left_out = OMITTED.get(metafunc.function.__name__, {})
    channels = [name for name in DRIVERS if name not in left_out]

    for argument, (names, without) in VARIED.items():
        if argument in metafunc.fixturenames:
            pairs = [
                (channel, name)
                for name in names
                for channel in channels
                if channel not in without.get(name, {})
            ]
            metafunc.parametrize(("channel_name", argument), pairs)
            return

    metafunc.parametrize("channel_name", channels)


@pytest.fixture
async def driver(channel_name: str) -> AsyncIterator[Driver]:
    """The channel's platform, running."""
    made = DRIVERS[channel_name]()
    async with made.start():
        yield made


@pytest.fixture
def harness(
    driver: Driver,
    database_url: str,
    redis_url: str,
) -> ChannelHarness:
    """One platform and both stores; agents are started by the scenario."""
    return ChannelHarness(database_url, redis_url, [driver])
