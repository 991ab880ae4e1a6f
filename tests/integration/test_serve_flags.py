"""What an operator types is obeyed by `agent serve`, another process, on three platforms at once."""

from __future__ import annotations

import asyncio
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from agent.flags import SWITCHED_OFF
from tests.conformance.beyond import has_menu
from tests.conformance.driver import Driver
from tests.conformance.drivers.discord import DiscordDriver
from tests.conformance.drivers.slack import SlackDriver
from tests.conformance.drivers.telegram import TelegramDriver
from tests.integration.test_cli import AGENT, DEADLINE, Machine
from tests.model_server import Answer, ModelServer, model_server
from tests.platforms.slack import APP_TOKEN, BOT_TOKEN

YES = "Yes."  # what the model says
LOOK = 0.02  # seconds between two looks at the platforms' servers, which have no common signal


@pytest.fixture
async def drivers() -> AsyncIterator[list[Driver]]:
    """Three platforms, running."""
    discord, telegram, slack = DiscordDriver(), TelegramDriver(), SlackDriver()
    async with discord.start(), telegram.start(), slack.start():
        yield [discord, telegram, slack]


@pytest.fixture
async def model() -> AsyncIterator[ModelServer]:
    async with model_server() as server:
        server.script(*[Answer(YES)] * 100)
        yield server


@pytest.fixture
def machine(tmp_path: Path, database_url: str, redis_url: str, drivers: list[Driver], model: ModelServer) -> Machine:
    """A machine whose settings lead to these platforms and this model."""
    discord, telegram, slack = drivers
    assert isinstance(discord, DiscordDriver)
    assert isinstance(telegram, TelegramDriver)
    assert isinstance(slack, SlackDriver)
    return Machine(
        tmp_path,
        {
            "DATABASE_URL": database_url, "REDIS_URL": redis_url, "HTTP_PORT": "0",
            "OPENAI_BASE_URL": model.url, "DEFAULT_MODEL": "openai:test",
            "DISCORD_TOKEN": discord.server.token, "DISCORD_API_URL": discord.server.api_url,
            "TELEGRAM_TOKEN": telegram._server.token, "TELEGRAM_API_URL": telegram._server.url,
            "SLACK_BOT_TOKEN": BOT_TOKEN, "SLACK_APP_TOKEN": APP_TOKEN, "SLACK_API_URL": slack.server.api_url,
        },
    )  # fmt: skip


@asynccontextmanager
async def serving(machine: Machine) -> AsyncIterator[None]:
    """`agent serve`, until the end of the block."""
    process = await asyncio.create_subprocess_exec(
        AGENT, "serve", stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL, cwd=machine.folder, env=machine.environment
    )
    try:
        yield
        assert process.returncode is None
    finally:
        process.terminate()
        async with asyncio.timeout(DEADLINE):
            await process.wait()


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(2 * DEADLINE):
        while not condition():
            await asyncio.sleep(LOOK)


async def told(drivers: list[Driver]) -> list[str]:
    """What Ada is told on each platform when she says hello there."""

    async def one(driver: Driver) -> str:
        ada = driver.direct("ada")
        before = len(driver.screen(ada))
        await driver.say(ada, "hello")
        await until(lambda: driver.screen(ada)[before:] in ([YES], [SWITCHED_OFF]))
        return driver.screen(ada)[-1]

    return list(await asyncio.gather(*map(one, drivers)))


async def test_what_an_operator_types_is_obeyed_on_three_platforms(
    machine: Machine, drivers: list[Driver], model: ModelServer
) -> None:
    """Each command has ended when people write again: off, on, and a prompt of its own on one channel only."""
    async with serving(machine):
        await until(lambda: [has_menu(driver) for driver in drivers] == [True, True, None])
        await until(lambda: drivers[0].server.gateway.identified)  # type: ignore[attr-defined]
        assert [YES] * 3 == await told(drivers)
        for words, expected in (
            (("set", "replies", "off"), [SWITCHED_OFF] * 3),
            (("unset", "replies"), [YES] * 3),
            (("set", "replies", "off", "--channel", "slack"), [YES, YES, SWITCHED_OFF]),
            (("undo", "replies"), [YES] * 3),
            (("set", "enable_slash_commands", "off"), [YES] * 3),
        ):
            assert (await machine.agent("flags", *words, "--yes")).status == 0
            assert expected == await told(drivers)
        await until(lambda: [has_menu(driver) for driver in drivers] == [False, False, None])
        assert (await machine.agent("flags", "unset", "enable_slash_commands", "--yes")).status == 0
        await until(lambda: [has_menu(driver) for driver in drivers] == [True, True, None])
        prompts = []
        for change in (("system_prompt=Be brief.",), ("--unset", "system_prompt")):
            assert (await machine.agent("channels", "set", "telegram", *change, "--yes")).status == 0
            before = len(model.requests)
            await told(drivers)
            asked = [request.body["messages"][0]["content"] for request in model.requests[before:]]
            prompts.append(asked.count("Be brief."))
        assert [1, 0] == prompts
