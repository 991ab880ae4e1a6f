"""SQL stands in the rooms' statements.sql, each statement under one name that is used."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from storage.connecting.statements import read_statements

ROOT = Path(__file__).parents[3]
ROOMS = sorted(
    ".".join(path.parent.relative_to(ROOT / "storage").parts)
    for path in (ROOT / "storage").rglob("statements.sql")
)
"""Of `storage`, such as `control.operators`."""

VERB = re.compile(
    r"\s*(SELECT|INSERT|UPDATE|DELETE|WITH|CREATE|SHOW)\s.*\s", re.DOTALL
)

CONNECTING = {
    "storage/postgres.py",
    "storage/migrate/version.py",
    "storage/embedded/postgres.py",
}
"""They ask a server whether it can be used at all, each in one short line."""


def modules(folder: str) -> Iterator[tuple[Path, ast.Module]]:
    for path in sorted((ROOT / folder).rglob("*.py")):
        yield path, ast.parse(path.read_text("utf-8"))


def texts(tree: ast.Module) -> Iterator[str]:
    """Every string, formatted ones included; of a docstring, too, for it is no statement."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def names_used(room: str) -> list[str]:
    """What the modules of a room look up in STATEMENTS. Rooms in it have their own."""
    folder = f"storage/{room.replace('.', '/')}"
    inner = [
        ROOT / "storage" / each.replace(".", "/")
        for each in ROOMS
        if each.startswith(f"{room}.")
    ]
    return [
        constant.value
        for path, tree in modules(folder)
        if not any(path.is_relative_to(each) for each in inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.Subscript)
        and isinstance(node.value, ast.Name)
        and node.value.id == "STATEMENTS"
        for constant in ast.walk(node.slice)
        if isinstance(constant, ast.Constant) and isinstance(constant.value, str)
    ]


def test_every_room_with_sql_has_its_file() -> None:
    assert [
        "backup",
        "connecting",
        "control",
        "control.operators",
        "conversation",
        "conversation.operating",
        "lifecycle",
        "limits",
        "migrate",
        "people",
        "reports",
    ] == ROOMS


@pytest.mark.parametrize("room", ROOMS)
def test_every_statement_is_used_and_every_used_one_exists(room: str) -> None:
    assert set(read_statements(f"storage.{room}")) == set(names_used(room))


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_hands_out_its_own_statements(room: str) -> None:
    given_out = import_module(f"storage.{room}").STATEMENTS

    assert read_statements(f"storage.{room}") == given_out


def test_a_name_stands_for_one_statement_in_all_rooms() -> None:
    names = [
        name
        for room in ROOMS
        for name in re.findall(
            r"^-- name: (\w+)$",
            (ROOT / "storage" / room.replace(".", "/") / "statements.sql").read_text(
                "utf-8"
            ),
            re.MULTILINE,
        )
    ]

    assert sorted(set(names)) == sorted(names)


@pytest.mark.parametrize("folder", ["agent", "channels", "storage"])
def test_no_statement_stands_in_a_module(folder: str) -> None:
    found = [
        str(path.relative_to(ROOT))
        for path, tree in modules(folder)
        for text in texts(tree)
        if VERB.match(text)
    ]

    assert [] == sorted({*found} - CONNECTING)


def test_a_statement_has_its_name_where_the_statistics_of_postgres_keep_it() -> None:
    statements = read_statements("storage.conversation")

    assert statements["bury"].startswith("DELETE /* bury */ FROM instances")
    assert statements["accept"].startswith(
        "WITH /* accept */ input AS MATERIALIZED ("
    )


def test_comment_lines_and_the_closing_semicolon_are_left_out() -> None:
    for room in ROOMS:
        for sql in read_statements(f"storage.{room}").values():
            assert not sql.endswith(";")
            assert "\n--" not in sql
