"""`agent serve` as a process, on the three platforms at once."""

from __future__ import annotations

import asyncio
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.conformance.driver import Driver
from tests.conformance.drivers.discord import DiscordDriver
from tests.conformance.drivers.slack import SlackDriver
from tests.conformance.drivers.telegram import TelegramDriver
from tests.conformance.platform_extras import has_menu
from tests.support.commands import AGENT, DEADLINE, Machine
from tests.support.model_server import ModelServer
from tests.support.platforms.slack import APP_TOKEN, BOT_TOKEN
from tests.support.warm import Warm

LOOK = 0.02  # seconds between two looks at the platforms' servers, which have no common signal


@dataclass(frozen=True)
class Platforms:
    """The three platforms, running."""

    discord: DiscordDriver
    telegram: TelegramDriver
    slack: SlackDriver

    @property
    def all(self) -> list[Driver]:
        return [self.discord, self.telegram, self.slack]

    @property
    def settings(self) -> dict[str, str]:
        """Their tokens and addresses."""
        discord = self.discord.server
        telegram = self.telegram._server
        slack = self.slack.server

        return {
            "DISCORD_TOKEN": discord.token,
            "DISCORD_API_URL": discord.api_url,
            "TELEGRAM_TOKEN": telegram.token,
            "TELEGRAM_API_URL": telegram.url,
            "SLACK_BOT_TOKEN": BOT_TOKEN,
            "SLACK_APP_TOKEN": APP_TOKEN,
            "SLACK_API_URL": slack.api_url,
        }


@asynccontextmanager
async def three_platforms() -> AsyncIterator[Platforms]:
    """Their servers, until the end of the block."""
    platforms = Platforms(DiscordDriver(), TelegramDriver(), SlackDriver())
    async with (
        platforms.discord.start(),
        platforms.telegram.start(),
        platforms.slack.start(),
    ):
        yield platforms


def machine_among(
    folder: Path,
    database_url: str,
    redis_url: str,
    platforms: Platforms,
    model: ModelServer,
    warm: Warm,
) -> Machine:
    """A machine whose settings lead to these stores, these platforms and this model."""
    stores = {
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "HTTP_PORT": "0",
    }
    asked = {"OPENAI_BASE_URL": model.url, "DEFAULT_MODEL": "openai:test"}
    return Machine(
        folder,
        {
            **stores,
            **asked,
            **platforms.settings,
        },
        warm,
    )


@asynccontextmanager
async def connected(machine: Machine, platforms: Platforms) -> AsyncIterator[None]:
    """`agent serve`, signed in everywhere, until the end of the block."""
    before = platforms.discord.server.gateway.identified
    async with serving(machine):
        await until(
            lambda: (
                [has_menu(driver) for driver in platforms.all] == [True, True, None]
            )
        )
        await until(lambda: platforms.discord.server.gateway.identified > before)
        yield


@asynccontextmanager
async def serving(machine: Machine) -> AsyncIterator[list[str]]:
    """`agent serve`, until the end of the block. Gives the lines of its log as they come."""
    process = await asyncio.create_subprocess_exec(
        AGENT,
        "serve",
        stdin=DEVNULL,
        stdout=DEVNULL,
        stderr=PIPE,
        cwd=machine.folder,
        env=machine.environment,
    )
    lines: list[str] = []
    reading = asyncio.create_task(_read(process.stderr, lines))

    try:
        yield lines
        assert process.returncode is None, lines
    finally:
        if process.returncode is None:
            process.terminate()

        async with asyncio.timeout(DEADLINE):
            await process.wait()
            await reading


async def _read(stream: asyncio.StreamReader | None, lines: list[str]) -> None:
    assert stream is not None
    while line := await stream.readline():
        lines.append(line.decode())


async def until(condition: Callable[[], object]) -> None:
    """Returns when it holds; TimeoutError when it does not in time."""
    async with asyncio.timeout(2 * DEADLINE):
        while not condition():
            await asyncio.sleep(LOOK)
