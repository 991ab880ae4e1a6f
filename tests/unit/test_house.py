"""The house keeps its measures: small rooms, short functions, air, plain words."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PRODUCT = ("agent", "channels", "storage", "migrations")
LAYOUT = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
}
Function = ast.FunctionDef | ast.AsyncFunctionDef


def python(*folders: str) -> Iterator[Path]:
    for folder in folders:
        yield from sorted((ROOT / folder).rglob("*.py"))


def prose() -> Iterator[Path]:
    """Everything that a person reads."""
    yield from python(*PRODUCT, "tests")
    yield from sorted((ROOT / "docs").glob("*.md"))
    yield from (path for folder in PRODUCT for path in (ROOT / folder).rglob("*.sql"))
    yield from (
        ROOT / name for name in ("README.md", "CONTRIBUTING.md", "pyproject.toml")
    )


def docstring_lines(tree: ast.Module) -> set[int]:
    return {
        line
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
        for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }


def density(path: Path) -> tuple[int, int]:
    """Tokens, and the lines they stand on, without comments and docstrings.

    An f-string is one token, as Python 3.11 has it.
    """
    text = path.read_text("utf-8")
    left_out = docstring_lines(ast.parse(text))
    tokens, lines, inside = 0, set[int](), 0

    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        kind = tokenize.tok_name[token.type]
        inside -= kind == "FSTRING_END"
        if token.type not in LAYOUT and token.start[0] not in left_out:
            tokens += not inside and kind != "FSTRING_END"
            lines.update(range(token.start[0], token.end[0] + 1))
        inside += kind == "FSTRING_START"

    return tokens, len(lines)


def where(path: Path, line: int) -> str:
    return f"{path.relative_to(ROOT)}:{line}"


def test_no_folder_of_the_product_holds_more_than_sixteen_entries() -> None:
    folders = {path.parent for path in python(*PRODUCT)}
    entries = {
        str(folder.relative_to(ROOT)): len(
            [x for x in folder.iterdir() if x.name != "__pycache__"]
        )
        for folder in folders
    }

    assert {} == {folder: count for folder, count in entries.items() if count > 16}


def test_no_file_of_the_product_has_more_than_330_lines() -> None:
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text("utf-8").splitlines())
        for path in python(*PRODUCT)
    }

    assert {} == {path: length for path, length in lengths.items() if length > 330}


def test_no_function_has_more_than_40_lines() -> None:
    long = [
        f"{where(path, node.lineno)} {node.name}"
        for path in python(*PRODUCT)
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, Function)
        and (node.end_lineno or 0) - node.lineno + 1 > 40
    ]

    assert [] == long


def test_each_port_has_one_to_three_methods() -> None:
    ports = {
        node.name: len(
            [member for member in node.body if isinstance(member, Function)]
        )
        for path in python("agent/ports")
        for node in ast.parse(path.read_text("utf-8")).body
        if isinstance(node, ast.ClassDef)
        and any(
            isinstance(base, ast.Name) and base.id == "Protocol"
            for base in node.bases
        )
    }

    assert ports
    assert {} == {
        name: methods for name, methods in ports.items() if not 1 <= methods <= 3
    }


def test_the_map_names_every_room() -> None:
    """A folder, by its path or within the line of the folder that it is in."""
    page = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    map_ = page.partition("## The map")[2].partition("\n## ")[0]
    rooms = {path.parent.relative_to(ROOT) for path in python(*PRODUCT)}

    assert rooms
    assert [] == sorted(
        str(room)
        for room in rooms - {Path("agent")}
        if f"`{room}`" not in map_
        and not re.search(rf"`(?:[\w/]+/)?{room.name}/?`", map_)
    )


@pytest.mark.parametrize(("folders", "most"), [(PRODUCT, 7.0), (("tests",), 8.0)])
def test_lines_have_air(folders: tuple[str, ...], most: float) -> None:
    measured = [density(path) for path in python(*folders)]
    tokens = sum(count for count, _ in measured)
    lines = sum(count for _, count in measured)

    assert tokens / lines <= most


def test_no_line_has_more_than_100_columns() -> None:
    wide = [
        where(path, number)
        for path in prose()
        if path.suffix in (".py", ".sql")
        for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1)
        if len(line) > 100
    ]

    assert [] == wide


@pytest.mark.parametrize("phrase", ["can" + " not", "for" + " ever", "a" + "new"])
def test_words_are_plain(phrase: str) -> None:
    pattern = re.compile(rf"\b{phrase}\b", re.IGNORECASE)
    found = [
        where(path, number)
        for path in prose()
        for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1)
        if pattern.search(line)
    ]

    assert [] == found
