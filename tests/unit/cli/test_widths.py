"""Help, sentences and tables on terminals of three widths: no word is broken, none is lost. The
tree of commands is walked, so a new command is looked at, too.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import typer

from agent.cli import output
from agent.cli.main import command_line
from agent.cli.output import folded, show_table

WIDTHS = (80, 100, 140)
LONG = "channel:discord " * 12 + "x" * 30

ROOT_FOLDER = Path(__file__).parents[3]
ROOT = typer.main.get_command(command_line())


class Screen(StringIO):
    """A terminal that keeps what it is shown."""

    def isatty(self) -> bool:
        return True


def commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The words of every command and group."""
    yield path
    for name, child in getattr(command, "commands", {}).items():
        yield from commands(child, (*path, name))


@pytest.fixture
def on_screen(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], Screen]:
    """A terminal as standard output, with so many columns."""

    def become(columns: int) -> Screen:
        screen = Screen()
        monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.setattr(sys, "stdout", screen)

        return screen

    return become


@pytest.mark.parametrize("path", list(commands(ROOT)), ids=" ".join)
def test_help_is_the_same_words_at_every_width(
    path: tuple[str, ...], on_screen: Callable[[int], Screen]
) -> None:
    shown = {}
    for width in WIDTHS:
        screen = on_screen(width)
        ROOT.main([*path, "--help"], prog_name="agent", standalone_mode=False)
        text = screen.getvalue()
        too_long = [line for line in text.splitlines() if len(line) > width]
        assert [] == too_long
        shown[width] = text.split()

    assert shown[80] == shown[100] == shown[140]


@pytest.mark.parametrize("width", WIDTHS)
def test_a_sentence_is_folded_at_words(
    width: int, on_screen: Callable[[int], Screen]
) -> None:
    screen = on_screen(width)
    text = f"{LONG}\n\nsecond paragraph"
    lines = folded(text, screen).split("\n")

    assert text.split() == " ".join(lines).split()
    assert width >= max(map(len, lines))
    assert "" in lines


def test_in_a_pipe_a_sentence_stays_one_line() -> None:
    assert LONG == folded(LONG, StringIO())


@pytest.mark.parametrize("width", WIDTHS)
def test_a_table_that_cannot_fit_is_paragraphs_that_do(
    width: int, on_screen: Callable[[int], Screen]
) -> None:
    screen = on_screen(width)
    cells = ["a" * 50, "b" * 50, "c" * 50, f"{LONG} end"]
    show_table(("ONE", "TWO", "THREE", "FOUR"), [cells])
    shown = screen.getvalue()

    assert width >= max(map(len, shown.splitlines()))
    assert [word for cell in cells for word in cell.split()] == [
        word for word in shown.split() if not word.endswith(":")
    ]
    assert ["ONE:", "TWO:", "THREE:", "FOUR:"] == [
        word for word in shown.split() if word.endswith(":")
    ]


def test_wide_never_folds(
    on_screen: Callable[[int], Screen], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "_wide", [True])
    screen = on_screen(80)
    show_table(("ONE", "TWO"), [["a", LONG]])

    assert 2 == len(screen.getvalue().splitlines())
    assert LONG == folded(LONG, screen)


def test_every_command_with_json_has_wide() -> None:
    without = []
    for path in commands(ROOT):
        command: Any = ROOT
        for word in path:
            command = command.commands[word]
        names = {name for option in command.params for name in option.opts}
        if "--json" in names and "--wide" not in names:
            without.append(path)

    assert [] == without


def test_rich_is_imported_only_where_a_table_is_printed() -> None:
    """Not at the top of a module: its time is no command's that prints no table."""
    top = {
        str(path): [
            node for node in ast.parse(path.read_text()).body if _is_rich(node)
        ]
        for path in (ROOT_FOLDER / "agent").rglob("*.py")
    }

    assert {} == {path: nodes for path, nodes in top.items() if nodes}


def _is_rich(node: ast.stmt) -> bool:
    names = (
        [node.module or ""]
        if isinstance(node, ast.ImportFrom)
        else [one.name for one in node.names]
        if isinstance(node, ast.Import)
        else []
    )

    return any(name.partition(".")[0] == "rich" for name in names)
