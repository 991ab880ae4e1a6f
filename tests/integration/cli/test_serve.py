"""`agent serve`, another process, on three platforms: one that refuses to sign in stops no
other and is tried again.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import httpx
import pytest

from agent.operations.banner import STOPS
from tests.conformance.driver import Driver
from tests.conformance.platform_extras import restore_token, revoke_token
from tests.support.commands import DEADLINE, Machine
from tests.support.serving import Platforms, serving, until

WORDS = "my diary entry"


@pytest.fixture
def machine(
    tmp_path: Path, database_url: str, redis_url: str, platforms: Platforms
) -> Machine:
    """A machine that is set up for all three, with everything logged for programs to read."""
    stores = {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "HTTP_PORT": "0"}
    return Machine(
        tmp_path,
        {**stores, "LOG_LEVEL": "debug", "LOG_FORMAT": "json", **platforms.settings},
    )


async def are_answered(drivers: Sequence[Driver]) -> None:
    """Ada writes on each of these platforms, and is answered there."""

    async def one(driver: Driver) -> None:
        ada = driver.direct("ada")
        await driver.say(ada, WORDS)
        await until(lambda: f"You said: {WORDS}" in "".join(driver.screen(ada)))

    await asyncio.gather(*map(one, drivers))


async def parts(
    lines: Sequence[str], good: Sequence[Driver]
) -> dict[str, dict[str, str]]:
    """What `/health/ready` says of each part, once these platforms are ready; 503 as long
    as one is not.
    """
    while True:
        response = await get(lines, "/health/ready")
        found: dict[str, dict[str, str]] = response.json()["parts"]
        assert (
            503 if any(part["state"] == "down" for part in found.values()) else 200
        ) == response.status_code
        if all(found[driver.name] == {"state": "ok"} for driver in good):
            return found


async def get(lines: Sequence[str], path: str) -> httpx.Response:
    """From the HTTP server of the instance with this log."""
    port = next(
        line["port"] for line in map(json.loads, lines) if line["event"] == "http"
    )
    async with httpx.AsyncClient(trust_env=False) as client:
        return await client.get(f"http://127.0.0.1:{port}{path}")


@pytest.mark.parametrize("refuses", ["discord", "telegram", "slack"])
async def test_a_platform_that_refuses_stops_no_other_and_is_tried_again(
    machine: Machine, platforms: Platforms, refuses: str
) -> None:
    """It is named with its setting, in the log and as not ready; once the token is good it
    answers like the others.
    """
    [bad] = [driver for driver in platforms.all if driver.name == refuses]
    others = [driver for driver in platforms.all if driver is not bad]
    token = revoke_token(bad)
    async with serving(machine) as lines:
        await until(
            lambda: any(
                f"{refuses}: " in line and "It is tried again in" in line
                for line in lines
            )
        )
        if bad is not platforms.discord:
            await until(lambda: platforms.discord.server.gateway.identified)
        await are_answered(others)
        async with asyncio.timeout(DEADLINE):
            refused = (await parts(lines, others))[refuses]
        metrics = (await get(lines, "/metrics")).text
        restore_token(bad, token)
        identified = platforms.discord.server.gateway.identified
        await until(
            lambda: (
                bad is not platforms.discord
                or platforms.discord.server.gateway.identified > identified
            )
        )
        await are_answered([bad])
    assert ("down", True) == (refused["state"], "TOKEN" in refused["problem"])
    assert f'agent_channel_up{{channel="{refuses}"}} 0.0' in metrics
    secrets = [
        value for name, value in machine.variables.items() if name.endswith("_TOKEN")
    ]
    shown = "".join(lines) + refused["problem"] + metrics
    assert [] == [secret for secret in [*secrets, WORDS] if secret in shown]


async def test_one_turn_id_runs_through_the_lines_of_each_turn(
    machine: Machine, platforms: Platforms
) -> None:
    """On every platform, with its client library: from the message stored to the answer
    delivered.
    """
    async with serving(machine) as lines:
        await until(lambda: platforms.discord.server.gateway.identified)
        await are_answered(platforms.all)
        await until(lambda: sum('"delivered"' in line for line in lines) == 3)
    steps: dict[str, list[str]] = {}
    for line in map(json.loads, lines):
        if "turn" in line:
            steps.setdefault(line["turn"], []).append(line["event"])
    assert 3 == len(steps)
    assert [["accepted", "answered", "delivered"]] * 3 == [
        [event for event in events if event in ("accepted", "answered", "delivered")]
        for events in steps.values()
    ]


@pytest.mark.parametrize("shape", ["text", "json"])
async def test_at_the_default_level_it_says_what_runs_and_where(
    machine: Machine, platforms: Platforms, shape: str
) -> None:
    """One line for each thing that a person wants to know; JSON lines carry it as fields."""
    del machine.variables["LOG_LEVEL"]
    machine.variables["LOG_FORMAT"] = shape
    async with serving(machine) as lines:
        await until(lambda: sum("Connected as" in line for line in lines) == 3)

    said = _sentences(lines, shape)
    number = version("simple-ai-agent")
    assert f"Agent {number} runs discord, telegram, slack." == said[0]
    assert "Postgres at" in said[1]
    assert "Redis at" in said[1]
    assert said[2].startswith("Model: offline:echo, which only repeats: set ")
    assert "http://127.0.0.1:" in said[3]
    assert said[4].startswith("Next: write to the bot")
    names = {line.partition(":")[0] for line in said[5:8]}
    assert {"discord", "telegram", "slack"} == names
    assert [STOPS] == said[8:]


async def test_only_errors_are_shown_where_only_errors_are_wanted(
    machine: Machine, platforms: Platforms
) -> None:
    machine.variables["LOG_LEVEL"] = "error"
    async with serving(machine) as lines:
        await until(lambda: platforms.discord.server.gateway.identified)
        await are_answered(platforms.all)

    assert [] == lines


def _sentences(lines: Sequence[str], shape: str) -> list[str]:
    if shape == "json":
        return [json.loads(line)["event"] for line in lines]

    return [line.split("  ", 2)[2].rstrip() for line in lines]
