"""Each channel of `agent serve` is built from the settings, and only with its token."""

from __future__ import annotations

from typing import Any

import pytest

from agent.app import CHANNELS, build_channels, configured_channels
from agent.settings import Settings
from channels.services import WITHOUT_STORES

TOKENS = {
    "discord": "discord-token",
    "telegram": "123:telegram-token",
    "slack": "xoxb-token",
}


def settings(**values: Any) -> Settings:
    return Settings(_env_file=None, **values)


@pytest.mark.parametrize("name", CHANNELS)
async def test_a_token_switches_its_channel_on(name: str) -> None:
    """The channel has the name that its builder is found by."""
    wanted = settings(**{CHANNELS[name]: TOKENS[name]})

    built = build_channels(wanted, configured_channels(wanted), WITHOUT_STORES)

    assert [name] == [channel.name for channel in built]


async def test_without_its_token_a_channel_is_not_built() -> None:
    tokens = {CHANNELS[name]: token for name, token in TOKENS.items()}
    builders = configured_channels(settings(**tokens))

    assert [] == build_channels(settings(), builders, WITHOUT_STORES)
    assert {} == configured_channels(settings())
