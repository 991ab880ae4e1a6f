"""Instances that erase are killed, Redis is emptied, others talk: nothing is left in the end."""

from __future__ import annotations

import asyncio
import random
from asyncio.subprocess import DEVNULL, PIPE, Process
from pathlib import Path

import pytest

from storage.control.audit import verify
from storage.lifecycle.erasure import Stores, work
from storage.lifecycle.people import PeopleAdmin
from tests.support.commands import AGENT, Machine
from tests.support.engine_harness import EngineHarness, Instance
from tests.support.erasures import ID, NAME, WORDS, closed, everywhere, say
from tests.support.settings import OPERATOR, run

pytestmark = pytest.mark.chaos


@pytest.mark.parametrize(
    ("kills", "groups", "each", "seed"),
    [(3, 4, 3, 1), pytest.param(30, 40, 20, 2, marks=pytest.mark.chaos)],
)
async def test_nothing_is_left_whoever_is_killed_on_the_way(
    world: EngineHarness,
    agent: Instance,
    machine: Machine,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    kills: int,
    groups: int,
    each: int,
    seed: int,
) -> None:
    monkeypatch.setattr("storage.lifecycle.erasure.SETTLE_SECONDS", 0.5)
    monkeypatch.setattr("storage.lifecycle.conversations.AT_ONCE", 5)
    chance = random.Random(seed)
    for group in range(groups):
        await say(world, agent, "we meet on Monday", chat=f"g{group}", user="bob")
        for number in range(each):
            text = f"{WORDS} {number}"
            await say(world, agent, text, chat=f"g{group}", user=ID)
    await say(world, agent, WORDS, chat=ID)

    talking = asyncio.create_task(talk(world, agent, groups))
    await PeopleAdmin(agent.database).erase(f"test:{ID}", OPERATOR)
    said = b""
    for _ in range(kills):
        process = await another_instance(machine)
        await alive(database_url, process.pid)
        said += await killed(process, chance.uniform(0.0, 0.5))
        await agent.pipe.client.flushall()
    # from here on by any instance
    async with asyncio.timeout(60):
        while progress := await work(Stores(agent.database, agent.pipe, tmp_path)):
            if not progress.moved:
                await asyncio.sleep(0.1)
    talking.cancel()
    await asyncio.wait({talking})
    await closed(database_url)

    after = await everywhere(database_url, agent)
    assert [] == [each for each in (NAME, ID, WORDS) if each in after]
    assert [] == [each for each in (NAME, ID, WORDS) if each.encode() in said]
    assert groups <= after.count("we meet on Monday")
    assert () == (await verify(agent.database)).troubles


async def talk(world: EngineHarness, agent: Instance, groups: int) -> None:
    """Others ask all the time, in the same groups."""
    number = 0
    while True:
        chat = f"g{number % groups}"
        message = world.message(f"question {number}", chat=chat, user="bob")
        await agent.engine.accept(message)
        await asyncio.sleep(0.05)
        number += 1


async def another_instance(machine: Machine) -> Process:
    """It erases in the background, as each does, and waits for lines that never come."""
    return await asyncio.create_subprocess_exec(
        AGENT,
        "chat",
        stdin=PIPE,
        stdout=DEVNULL,
        stderr=PIPE,
        cwd=machine.folder,
        env=machine.environment | {"LOG_LEVEL": "debug"},
    )


async def alive(database_url: str, pid: int) -> None:
    """Returns once its first heartbeat is there: then it has begun to erase."""
    async with asyncio.timeout(30):
        while not await run(
            database_url, "SELECT FROM instances WHERE pid = $1", pid
        ):
            await asyncio.sleep(0.02)


async def killed(process: Process, after: float) -> bytes:
    """Killed in the middle, wherever that is. Returns what it logged."""
    await asyncio.sleep(after)
    process.kill()
    assert process.stderr is not None
    logged = await process.stderr.read()
    await process.wait()

    return logged
