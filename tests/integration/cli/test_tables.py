"""What every command shows that changes nothing, on terminals of three widths: it fits, no word is
broken and none is lost. A new command fails here until it says how it is called.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import typer

from agent.cli.main import command_line
from tests.support.commands import Machine

WIDTHS = (80, 100, 140)

PREPARATIONS = (
    ("flags", "set", "system_prompt", "Answer in one line, " * 8, "--yes"),
    (
        "flags",
        "set",
        "replies",
        "false",
        "--channel",
        "discord",
        "--reason",
        "it is down " * 8,
    ),
    ("flags", "set", "streaming", "false", "--percentage", "25", "--yes"),
    (
        "flags",
        "create",
        "tone",
        "--type",
        "string",
        "--default",
        "plain",
        "--meaning",
        "How the agent speaks to people who are new here",
    ),
    (
        "experiments",
        "create",
        "warmth",
        "--flag",
        "tone",
        "--variant",
        "plain=plain",
        "--variant",
        "warm=warm",
    ),
    (
        "channels",
        "set",
        "discord",
        "greeting=Hello, and welcome to the place where questions are answered",
        "deny=80351110224678912,80351110224678913,80351110224678914",
        "--yes",
    ),
    ("budgets", "set", "channel", "discord", "--tokens", "123456789", "--yes"),
    ("budgets", "set", "person", "*", "--tokens", "1000", "--yes"),
    ("operators", "add", "ada", "--yes"),
    ("flags", "about", "tone", "--owner", "the team for chats " * 4, "--tag", "ops"),
    ("budgets", "set", "person", "*", "--usd", "20", "--per", "month", "--yes"),
    ("db", "seed", "--people", "5", "--messages", "300", "--months", "2", "--yes"),
    ("report", "rebuild"),
)

WRITTEN = b"hello\n"
"""In the terminal, by ada, while there is no budget."""

CALLS: dict[str, tuple[str, ...]] = {
    "status": (),
    "db status": (),
    "db check": (),
    "db stats": (),
    "db queries": (),
    "db explain": ("answer",),
    "backup list": (),
    "flags list": (),
    "flags get": ("system_prompt",),
    "flags history": ("replies",),
    "flags explain": ("replies", "--channel", "discord"),
    "experiments list": (),
    "experiments show": ("warmth",),
    "experiments report": ("warmth",),
    "audit list": (),
    "audit verify": (),
    "channels list": (),
    "channels show": ("discord",),
    "limits show": (),
    "budgets list": (),
    "budgets show": (),
    "operators list": (),
    "flags stale": (),
    "report usage": ("--by", "day"),
    "report cost": ("--by", "day"),
    "report models": (),
    "report channels": (),
    "report people": (),
    "report latency": (),
    "report retention": (),
    "people list": (),
    "people show": ("terminal:ada",),
    "people erasures": (),
    "people texts": ("terminal:ada",),
    "operators token list": (),
}

NO_TABLE = {
    "db new-key",
    "backup create",
    "backup verify",
    "flags export",
    "report rebuild",
}
"""They make a file or take one, or count; what they say is a sentence."""

MAY_BE_EMPTY = {
    "db queries",
    "experiments report",
    "operators token list",
    "people texts",
}
"""A server without pg_stat_statements has none, nor has an experiment that was not started; a
sentence says so.
"""

LIVE = {"#", "active", "active,", "idle", "idle,"}
"""Words about connections, which differ from one look at the database to the next."""

CHANGING = re.compile(r"[\d:.]+")
"""Times and counts differ from call to call."""


def reading(command: Any, path: tuple[str, ...] = ()) -> Iterator[str]:
    """Every command with --json that changes nothing, and so has no --as."""
    children = getattr(command, "commands", None)
    if children is None:
        names = {name for option in command.params for name in option.opts}
        if "--json" in names and "--as" not in names:
            yield " ".join(path)
        return

    for name, child in children.items():
        yield from reading(child, (*path, name))


def test_every_command_that_shows_something_is_looked_at() -> None:
    """Those that say who looked have --as, like changes."""
    looked = {*CALLS, *NO_TABLE} - {"people texts"}
    assert looked == {*reading(typer.main.get_command(command_line()))}


@pytest.fixture
async def prepared(machine: Machine) -> Machine:
    """A machine with a few long values of everything."""
    ended = await machine.agent("chat", lines=WRITTEN)
    assert 0 == ended.status, ended.err

    for arguments in PREPARATIONS:
        ended = await machine.agent(*arguments)
        assert 0 == ended.status, (arguments, ended.err)

    return machine


@pytest.mark.timeout(240)
@pytest.mark.chaos
@pytest.mark.parametrize("width", WIDTHS)
async def test_every_table_fits_and_loses_nothing(
    prepared: Machine, width: int
) -> None:
    problems, empty = [], set()
    for name, arguments in CALLS.items():
        words = (*name.split(), *arguments)
        whole, shown = await asyncio.gather(
            prepared.agent(*words, "--wide", columns=width),
            prepared.agent(*words, columns=width),
        )
        if not whole.out:
            empty.add(name)
        lost = _words(whole.out) - _words(shown.out)
        if lost.keys() - (LIVE if name == "db stats" else ()):
            problems.append((name, str(lost)))
        problems += [
            (name, line)
            for line in shown.out.splitlines()
            if len(line) > width and " " in line.strip()
        ]

    assert [] == problems
    assert empty <= MAY_BE_EMPTY


async def test_in_a_pipe_each_row_is_one_line(prepared: Machine) -> None:
    for name in ("flags list", "channels list", "budgets list", "audit list"):
        words = name.split()
        piped, wide = await asyncio.gather(
            prepared.agent(*words), prepared.agent(*words, "--wide", columns=80)
        )
        assert len(wide.out.splitlines()) == len(piped.out.splitlines()), name


def _words(text: str) -> Counter[str]:
    """Where a row is a paragraph, the name of a column ends with a colon."""
    text = re.sub(r"(?<=[A-Z]):(?=\s)", "", text)

    return Counter(CHANGING.sub("#", text).split())
