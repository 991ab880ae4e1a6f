"""What the documents tell people to type exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer

from agent.cli.main import command_line

ROOT = Path(__file__).parents[3]
PAGES = (
    "docs/troubleshooting.md",
    "docs/database.md",
    "docs/moving.md",
    "docs/deploying.md",
    "README.md",
)
COMMAND = re.compile(r"(?:`|^)agent ((?:[a-z-]+ ?)+)", re.MULTILINE)


def names() -> dict[str, set[str]]:
    """The commands of each group; "" is the first level."""
    root = typer.main.get_command(command_line())
    groups = {
        name: set(getattr(command, "commands", ()))
        for name, command in root.commands.items()  # type: ignore[attr-defined]
    }

    return {"": set(groups), **groups}


def unknown(words: list[str], known: dict[str, set[str]]) -> str | None:
    """The first word that is no command."""
    first, *rest = words
    if first not in known[""]:
        return first

    subcommands = known[first]

    return rest[0] if rest and subcommands and rest[0] not in subcommands else None


@pytest.mark.parametrize("page", PAGES)
def test_every_command_of_a_page_exists(page: str) -> None:
    found = COMMAND.findall((ROOT / page).read_text("utf-8"))
    known = names()
    wrong = {
        line: word
        for line in found
        if (word := unknown(line.split(), known)) is not None
    }

    assert found
    assert {} == wrong


@pytest.mark.parametrize("line", ["nosuch", "db nosuch", "statsu"])
def test_a_command_that_does_not_exist_is_found(line: str) -> None:
    assert unknown(line.split(), names()) == line.rsplit(maxsplit=1)[-1]
