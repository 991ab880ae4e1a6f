"""Commands import what they need: most of a start is imports, and much of a process's memory.

Names and numbers of modules, never times: machines differ.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace

import pytest

from agent.cli.main import GROUPS
from tests.support.commands import Ended, Machine

COLOURS = ("rich.console", "rich.pretty", "pygments.util")
"""What structlog and httpx would import to show colours."""

PLATFORMS = ("discord", "telegram", "slack_bolt", "slack_sdk", "aiohttp", "httpx")
SCREEN = ("prompt_toolkit",)
SERVER = ("fastapi", "starlette", "uvicorn", "agent.web")
MIGRATIONS = ("alembic", "mako", "migrations", "sqlalchemy", "storage.tables")
SEALING = ("cryptography",)
UPKEEP = ("storage.conversation.upkeep",)
FOR_OPERATORS = ("fastapi", "jinja2", "agent.web.api", "agent.web.console.pages")
"""The console and the API, which are made for their first request."""

ANSWERS = ("agent.conversation", "agent.app", "channels", "storage.conversation")

OURS = ("agent", "channels", "storage")
"""Small modules, and more of them with every room: what weighs is what they bring along."""

EVERYTHING = """
import asyncio
import sys
import agent.cli.serve, agent.web.app
import channels.discord.channel, channels.slack.channel, channels.telegram.channel
print(*sys.modules)
"""


def imported(ended: Ended) -> list[str]:
    """What a process imported, as Python itself tells on standard error."""
    lines = [line for line in ended.err.splitlines() if "import time:" in line]

    return [line.rpartition("|")[2].strip() for line in lines]


def needless(modules: Sequence[str], *groups: Iterable[str]) -> set[str]:
    """Those of these groups that are among the modules."""
    names = [name for group in groups for name in group]

    return {
        name
        for name in names
        if any(module == name or module.startswith(f"{name}.") for module in modules)
    }


def others(modules: Sequence[str]) -> int:
    """How many are not ours."""
    return sum(module.partition(".")[0] not in OURS for module in modules)


@pytest.fixture
def cold(machine: Machine) -> Machine:
    """Where each command is a process that begins with nothing, and tells what it imports."""
    variables = {**machine.variables, "PYTHONPROFILEIMPORTTIME": "1"}

    return replace(machine, variables=variables, warm=None)


async def test_setting_a_flag_needs_no_channel_and_no_conversation(
    cold: Machine,
) -> None:
    ended = await cold.agent("flags", "set", "streaming", "off", "--yes")
    modules = imported(ended)

    assert 0 == ended.status, ended.err[-2000:]
    assert set() == needless(modules, PLATFORMS, SCREEN, SERVER, MIGRATIONS, ANSWERS)
    assert others(modules) < 520


async def test_a_search_needs_no_other_command(cold: Machine) -> None:
    ended = await cold.agent("search", "zebra")

    assert 0 == ended.status, ended.err[-2000:]
    assert set() == needless(imported(ended), GROUPS.values())


async def test_a_chat_needs_no_platform_no_migration_and_no_upkeep(
    cold: Machine,
) -> None:
    """Its lines come from a pipe, and the offline model answers."""
    ended = await cold.agent("chat", lines=b"hello\n")
    modules = imported(ended)

    assert (0, True) == (ended.status, "You said: hello" in ended.out)
    assert set() == needless(
        modules, COLOURS, PLATFORMS, SCREEN, SERVER, MIGRATIONS, UPKEEP
    )
    assert others(modules) < 545


async def test_serving_three_platforms_needs_no_screen_and_no_colours(
    cold: Machine,
) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", EVERYTHING, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    modules = out.decode().split()

    assert 0 == process.returncode
    assert set() == needless(
        modules, COLOURS, SCREEN, MIGRATIONS, SEALING, FOR_OPERATORS
    )
    assert others(modules) < 1340
