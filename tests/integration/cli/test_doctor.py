"""`agent doctor` as a process: what is wrong on three platforms, with what the database
knows of them.
"""

from __future__ import annotations

import ast
import json
import re
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import asyncpg
import pytest
import typer

from agent.cli.main import command_line
from channels.discord.permissions import PERMISSIONS
from storage.control.credentials import new_key
from tests.support.commands import Ended, Machine
from tests.support.serving import Platforms
from tests.support.warm import Warm

ROOT = Path(__file__).parents[3]
WELL = Ended(0, "", "")
WRONG_TOKEN = "700000001:AAF-a_token_that_was_revoked_0123456"


@pytest.fixture
def machine(
    tmp_path: Path,
    database_url: str,
    redis_url: str,
    platforms: Platforms,
    warm: Warm,
) -> Machine:
    """A machine that is set up for all three."""
    stores = {"DATABASE_URL": database_url, "REDIS_URL": redis_url}
    return Machine(tmp_path, {**stores, **platforms.settings}, warm)


async def heard(machine: Machine, channel: str, chat: str, message: str) -> None:
    """A message of this chat was accepted."""
    connection = await asyncpg.connect(machine.variables["DATABASE_URL"])
    await connection.execute(
        "INSERT INTO turns (id, channel_type, chat_id, platform_message_id, state)"
        " VALUES (gen_random_uuid(), $1, $2, $3, 'done')",
        channel,
        chat,
        message,
    )
    await connection.close()


async def findings(machine: Machine) -> dict[str, str]:
    """What it finds, by part; there is at most one finding for each."""
    ended = await machine.agent("doctor", "--json")
    shown = json.loads(ended.out)
    assert (ended.status, shown["well"]) == (
        (1, False) if shown["findings"] else (0, True)
    )
    assert len({finding["part"] for finding in shown["findings"]}) == len(
        shown["findings"]
    )
    return {
        finding["part"]: f"{finding['problem']} {finding['remedy']}"
        for finding in shown["findings"]
    }


# --- what it finds ------------------------------------------------------------


async def test_chats_in_which_the_agent_was_heard_are_looked_at(
    machine: Machine, platforms: Platforms
) -> None:
    """All is well, and it says nothing; then each platform takes something away in a chat
    that the database knows.
    """
    town = platforms.discord.group("town").chat
    engines = platforms.telegram._server.group("Engines")
    engines.bot_status = "administrator"
    space = platforms.slack.server.space
    ada, chat = space.person("ada"), platforms.slack.direct("ada").chat
    taken = space.add(chat, ada, "hello")
    taken.ts = f"{time.time() - 200:.6f}"
    for channel, place, message in (
        ("discord", town, "1"),
        ("telegram", str(engines.id), f"{engines.id}:1"),
        ("slack", chat, taken.ts),
    ):
        await heard(machine, channel, place, message)
    assert WELL == await machine.agent("doctor")
    denied = {
        "id": "10",
        "type": 0,
        "allow": "0",
        "deny": str(PERMISSIONS["Send Messages"]),
    }
    platforms.discord.server.state.channels[town]["permission_overwrites"] = [denied]
    engines.bot_status = "restricted"
    space.add(chat, ada, "anybody there?").ts = f"{time.time() - 100:.6f}"
    found = await findings(machine)
    assert {"discord", "telegram", "slack"} == set(found)
    assert "In the channel town the agent lacks Send Messages." in found["discord"]
    assert "may not write in the group Engines" in found["telegram"]
    assert "message.im" in found["slack"]


async def test_tokens_in_the_database_are_tried(machine: Machine) -> None:
    """As `agent serve` takes them: where the environment names none, and only with the key."""
    machine.variables["ENCRYPTION_KEYS"] = new_key()
    del machine.variables["TELEGRAM_TOKEN"]
    stored = await machine.agent(
        "channels", "credential", "telegram", "token", lines=WRONG_TOKEN.encode()
    )
    assert stored.status == 0, stored.err
    found = await findings(machine)
    assert WRONG_TOKEN not in str(found)
    assert ("telegram" in found, "TELEGRAM_TOKEN" in found.get("telegram", "")) == (
        True,
        True,
    )
    machine.variables["ENCRYPTION_KEYS"] = new_key()
    assert "ENCRYPTION_KEYS" in (await findings(machine))["channels"]


async def test_the_status_lists_channels_whose_tokens_are_in_the_database(
    tmp_path: Path, database_url: str, warm: Warm
) -> None:
    """And says that the key is another one, instead of leaving the channel out."""
    bare = Machine(
        tmp_path, {"DATABASE_URL": database_url, "ENCRYPTION_KEYS": new_key()}, warm
    )
    await bare.agent(
        "channels", "credential", "telegram", "token", lines=WRONG_TOKEN.encode()
    )
    listed = await channels_of(bare)
    bare.variables["ENCRYPTION_KEYS"] = new_key()
    unreadable = await channels_of(bare)
    assert ("ok", "terminal, telegram") == (listed["state"], listed["text"])
    assert ("not well", True) == (
        unreadable["state"],
        "ENCRYPTION_KEYS" in unreadable["text"],
    )


async def channels_of(machine: Machine) -> dict[str, str]:
    """What the status says of channels."""
    parts = json.loads((await machine.agent("status", "--json")).out)["parts"]
    found: dict[str, str] = next(part for part in parts if part["part"] == "channels")
    return found


async def test_a_setting_that_no_channel_can_be_made_with_is_a_finding(
    machine: Machine,
) -> None:
    """It does not keep the rest from being looked at."""
    machine.variables |= {
        "DISCORD_PUBLIC_KEY": "no key",
        "REDIS_URL": "redis://127.0.0.1:1",
    }
    found = await findings(machine)
    assert (
        "DISCORD_PUBLIC_KEY" in found["channels"],
        "REDIS_URL" in found["redis"],
    ) == (True, True)


async def test_a_file_of_settings_that_others_may_read_is_a_finding(
    tmp_path: Path, database_url: str, redis_url: str, warm: Warm
) -> None:
    """What it names mends it."""
    machine = Machine(
        tmp_path, {"DATABASE_URL": database_url, "REDIS_URL": redis_url}, warm
    )
    file = machine.folder / ".env"
    file.write_text("LOG_LEVEL=error\n")
    file.chmod(0o644)
    found = await findings(machine)
    assert (["settings"], True) == (
        list(found),
        "Run: chmod 600 .env" in found["settings"],
    )
    file.chmod(0o600)
    assert await machine.agent("doctor") == WELL


async def test_without_the_database_the_platforms_are_still_asked(
    machine: Machine, platforms: Platforms
) -> None:
    """It is one finding, the wrong token another."""
    machine.variables |= {
        "DATABASE_URL": "postgresql://u@127.0.0.1:1/db",
        "TELEGRAM_TOKEN": WRONG_TOKEN,
    }
    found = await findings(machine)
    assert {"postgres", "telegram"} <= set(found)
    assert "DATABASE_URL" in found["postgres"]
    assert WRONG_TOKEN not in str(found)


# --- what it names exists -----------------------------------------------------


def sentences() -> Iterator[tuple[str, str]]:
    """Every text of the program that is not a docstring, with its file."""
    for file in sorted(
        file
        for folder in ("agent", "channels", "storage")
        for file in (ROOT / folder).rglob("*.py")
    ):
        tree = ast.parse(file.read_text("utf-8"))
        told = {
            id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)
        }
        for node in ast.walk(tree):
            if (
                isinstance(node, ast.Constant)
                and isinstance(node.value, str)
                and id(node) not in told
            ):
                yield file.name, node.value


def test_every_command_it_names_exists() -> None:
    """In any sentence of the program, and in its documents; a misspelt one helps nobody."""
    texts = [
        *sentences(),
        *((page.name, page.read_text("utf-8")) for page in pages()),
    ]
    named = {
        (name, *found) for name, text in texts for found in COMMAND.findall(text)
    }
    assert len(named) > 50
    assert [found for found in sorted(named) if not exists(*found[1:])] == []


COMMAND = re.compile(
    r"(?:`|\b[Rr]un:? |[Tt]ry |with:? |^)agent ([a-z][a-z-]*)(?: ([a-z][a-z-]*))?",
    re.MULTILINE,
)


def exists(first: str, second: str) -> bool:
    """Whether these are a command: of a group, both words."""
    command = getattr(_commands(), "commands", {}).get(first)
    children = getattr(command, "commands", None)
    return command is not None and (
        children is None or not second or second in children
    )


@cache
def _commands() -> object:
    """All of them; making them takes a while."""
    return typer.main.get_command(command_line())


def pages() -> list[Path]:
    """The documents."""
    return [
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        *sorted((ROOT / "docs").glob("*.md")),
    ]


def test_a_command_that_does_not_exist_is_noticed() -> None:
    found = COMMAND.findall(
        "Run `agent dokter`.\nagent flags gett replies\nthe agent works"
    )
    assert [("dokter", ""), ("flags", "gett")] == found
    assert [False, False] == [exists(*words) for words in found]


def test_every_page_it_names_exists() -> None:
    named = {
        page
        for _, text in sentences()
        for page in re.findall(r"docs/[\w.-]+\.md", text)
    }
    assert {"docs/configuration.md", "docs/discord.md"} <= named
    assert [page for page in sorted(named) if not (ROOT / page).exists()] == []


async def test_more_messages_than_the_window_has_are_not_taken_silently(
    tmp_path: Path, database_url: str, redis_url: str, warm: Warm
) -> None:
    stores = {"DATABASE_URL": database_url, "REDIS_URL": redis_url}
    machine = Machine(tmp_path, {**stores, "WINDOW_MESSAGES": "50"}, warm)
    longer = ("flags", "set", "max_conversation_length", "--yes")
    refused = [
        await machine.agent(*longer, "51"),
        await machine.agent(*longer, "51", "--percentage", "10"),
    ]

    assert [True, True] == ["which is 50" in each.err for each in refused], refused
    assert 2 == refused[0].status
    assert 0 == (await machine.agent(*longer, "50")).status
    assert {} == await findings(machine)

    machine.variables["WINDOW_MESSAGES"] = "20"

    assert "is set to 50" in (await findings(machine))["flags"]


async def test_more_connections_than_the_server_has_are_a_finding(
    tmp_path: Path, database_url: str, redis_url: str, warm: Warm
) -> None:
    stores = {"DATABASE_URL": database_url, "REDIS_URL": redis_url}
    machine = Machine(tmp_path, {**stores, "DATABASE_POOL_SIZE": "1000"}, warm)

    assert (
        "too few for one instance, up to 1024"
        in (await findings(machine))["postgres"]
    )
