"""The three platforms, each as a server on loopback."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.support.platforms.discord import DiscordServer
from tests.support.platforms.slack import SlackServer
from tests.support.platforms.telegram import TelegramServer


@pytest.fixture
async def space() -> AsyncIterator[SlackServer]:
    async with SlackServer(frozen=True).running() as server:
        yield server


@pytest.fixture
async def discord() -> AsyncIterator[DiscordServer]:
    async with DiscordServer() as server:
        yield server


@pytest.fixture
async def telegram() -> AsyncIterator[TelegramServer]:
    async with TelegramServer() as server:
        yield server
