"""What may be done about a refusal is a value; only the command line speaks of options."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
import typer

from agent.cli.main import command_line
from agent.core.errors import AgentError, ConfigurationError, Conflict, Rejected
from agent.core.remedies import Amend, Remedy, Run
from agent.operations.remedies import described

ROOT = Path(__file__).parents[3]
RULES = (
    "agent/control",
    "agent/core",
    "storage/control",
    "storage/limits",
    "storage/people",
    "storage/reports",
)
"""Rooms whose refusals every face shows."""

COMMAND_LINE = re.compile(r"--[a-z]|`agent |\bagent [a-z]+ (--)?[a-z]+\b")


@pytest.mark.parametrize(
    ("remedies", "sentences"),
    [
        ((), ""),
        ([Amend("add", ("channel",))], " Add --channel."),
        ([Amend("add", ("tokens", "usd"))], " Name --tokens or --usd."),
        (
            [Amend("choose", ("person", "channel", "kill"))],
            " Name one of --person, --channel and --kill at a time.",
        ),
        ([Amend("correct", ("usd",))], " Correct --usd."),
        ([Amend("correct", ("actor",))], " Correct --as or AGENT_OPERATOR."),
        (
            [Amend("omit", ("at",), "a past time")],
            " Give a past time, or omit --at.",
        ),
        ([Amend("omit", ("at",))], " Give another value, or omit --at."),
        ([Run("flags list", "shows all")], " `agent flags list` shows all."),
        (
            [Run("flags remove", "removes it", target="new_look")],
            " `agent flags remove new_look` removes it.",
        ),
        (
            [Run("channels credential", "ends it", target="slack", consent="forget")],
            " `agent channels credential slack --forget` ends it.",
        ),
        (
            [
                Amend("identify", ("actor",)),
                Run("operators list", "shows who may"),
            ],
            " Say who you are with --as or AGENT_OPERATOR."
            " `agent operators list` shows who may.",
        ),
    ],
)
def test_the_command_line_says_a_remedy_as_options_and_commands(
    remedies: list[Remedy], sentences: str
) -> None:
    error = Rejected("That is not possible.", *remedies)

    assert f"That is not possible.{sentences}" == described(error)


@pytest.mark.parametrize(
    "error",
    [AgentError("It failed."), Conflict("It failed."), Rejected("It failed.")],
)
def test_an_error_without_a_remedy_is_its_sentence(error: AgentError) -> None:
    assert "It failed." == described(error)


def test_a_remedy_is_no_part_of_the_sentence() -> None:
    error = ConfigurationError("No key is set.", Run("db new-key", "makes one"))

    assert ("No key is set.", "No key is set.") == (error.sentence, str(error))


def texts(path: Path) -> list[str]:
    """Every string of a file that is no docstring."""
    tree = ast.parse(path.read_text("utf-8"))
    docstrings = {
        id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)
    }

    return [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and id(node) not in docstrings
    ]


def operations(room: str) -> set[str]:
    """What its remedies name, as `flags list`."""
    return {
        node.args[0].value
        for path in sorted((ROOT / room).rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "Run"
        and isinstance(node.args[0], ast.Constant)
        and isinstance(node.args[0].value, str)
    }


def commands(group: object) -> dict[str, object]:
    """What is typed after it; none after a command."""
    return getattr(group, "commands", {})


def test_each_operation_that_a_remedy_names_is_a_command() -> None:
    groups = commands(typer.main.get_command(command_line()))
    known = {f"{name} {verb}" for name in groups for verb in commands(groups[name])}
    named = set().union(*map(operations, RULES))

    assert "flags list" in named
    assert set() == named - known


@pytest.mark.parametrize("room", RULES)
def test_rules_speak_of_no_option_and_no_command(room: str) -> None:
    found = [
        (path.name, text)
        for path in sorted((ROOT / room).rglob("*.py"))
        for text in texts(path)
        if COMMAND_LINE.search(text)
    ]

    assert [] == found
