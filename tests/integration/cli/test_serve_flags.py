"""What an operator types is obeyed by `agent serve`, another process, on three platforms at
once.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent.control.flags import SWITCHED_OFF
from tests.conformance.driver import Driver
from tests.conformance.platform_extras import has_menu
from tests.support.commands import Machine
from tests.support.model_server import Answer, ModelServer, model_server
from tests.support.serving import Platforms, connected, machine_among, until
from tests.support.warm import Warm

YES = "Yes."  # what the model says


@pytest.fixture
async def model() -> AsyncIterator[ModelServer]:
    async with model_server() as server:
        server.script(*[Answer(YES)] * 100)
        yield server


@pytest.fixture
def machine(
    tmp_path: Path,
    database_url: str,
    redis_url: str,
    platforms: Platforms,
    model: ModelServer,
    warm: Warm,
) -> Machine:
    return machine_among(tmp_path, database_url, redis_url, platforms, model, warm)


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
    machine: Machine, platforms: Platforms, model: ModelServer
) -> None:
    """Each command has ended when people write again: off, on, and a prompt of its own on
    one channel only.
    """
    drivers = platforms.all
    async with connected(machine, platforms):
        assert [YES] * 3 == await told(drivers)
        for words, expected in (
            (("set", "replies", "off"), [SWITCHED_OFF] * 3),
            (("unset", "replies"), [YES] * 3),
            (
                ("set", "replies", "off", "--channel", "slack"),
                [YES, YES, SWITCHED_OFF],
            ),
            (("undo", "replies"), [YES] * 3),
            (("set", "enable_slash_commands", "off"), [YES] * 3),
        ):
            assert (await machine.agent("flags", *words, "--yes")).status == 0
            assert expected == await told(drivers)
        await until(
            lambda: [has_menu(driver) for driver in drivers] == [False, False, None]
        )
        assert (
            await machine.agent("flags", "unset", "enable_slash_commands", "--yes")
        ).status == 0
        await until(
            lambda: [has_menu(driver) for driver in drivers] == [True, True, None]
        )
        prompts = []
        for change in (("system_prompt=Be brief.",), ("--unset", "system_prompt")):
            assert (
                await machine.agent("channels", "set", "telegram", *change, "--yes")
            ).status == 0
            before = len(model.requests)
            await told(drivers)
            asked = [
                request.body["messages"][0]["content"]
                for request in model.requests[before:]
            ]
            prompts.append(asked.count("Be brief."))
        assert [1, 0] == prompts
