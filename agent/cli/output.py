"""How commands print: lines, JSON documents and tables."""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import typer

from agent.core.text import visible

if TYPE_CHECKING:
    from rich.text import Text

_GAP = 2
"""Blanks between columns."""

_INDENT = "    "

_ROOM_TO_ANSWER = 10
"""For the choices that stand behind a question, and a letter."""


def tell(line: str) -> None:
    """Prints a line that may repeat what somebody typed."""
    typer.echo(visible(line))


def question(text: str) -> str:
    """A question as a terminal shows it: lines end between words, with room for the answer."""
    width = shutil.get_terminal_size().columns - _ROOM_TO_ANSWER
    lines = textwrap.wrap(
        visible(text),
        max(width, _ROOM_TO_ANSWER),
        break_long_words=False,
        break_on_hyphens=False,
    )

    return "\n".join(lines)


def show_json(document: Any) -> None:
    typer.echo(json.dumps(document, ensure_ascii=False, default=str))


def show_table(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """On a terminal, cells are wrapped at words to fit; in a pipe, each row is one line.

    Without headers there are only the rows. A cell may be a rich `Text` with a style.
    """
    from rich.console import Console

    console = Console(highlight=False)
    for line in _lines([headers, *rows] if headers else rows, _width()):
        console.print(line, soft_wrap=True)


def show_log(
    headers: Sequence[str], rows: Sequence[Sequence[object]], details: Sequence[str]
) -> None:
    """A table whose rows each have a line of details below, if they are not empty."""
    header, *lines = _lines([headers, *rows], None)
    _echo_wrapped(header.plain, "")
    for line, detail in zip(lines, details, strict=True):
        _echo_wrapped(line.plain, "")
        _echo_wrapped(_in_one_line(detail), _INDENT)


def _lines(rows: Sequence[Sequence[object]], width: int | None) -> list[Text]:
    """The table's lines; without a width, each row is exactly one."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    cells = [[_text(cell) for cell in row] for row in rows]
    widths = _widths(cells, width)
    table = Table.grid(padding=(0, _GAP, 0, 0))
    for column in widths:
        table.add_column(width=column)
    for row in cells:
        table.add_row(*row)

    console = Console()
    fitting = console.options.update(width=sum(widths) + _GAP * len(widths))
    lines = [
        Text.assemble(*((segment.text, segment.style or "") for segment in line))
        for line in console.render_lines(table, fitting, pad=False)
    ]
    for line in lines:
        line.rstrip()

    return lines


def _widths(cells: Sequence[Sequence[Text]], width: int | None) -> list[int]:
    """Of each column: as wide as its cells, and where that is too much, the widest columns
    narrower, but none narrower than its longest word.
    """
    columns = list(zip(*cells, strict=True))
    natural = [max(cell.cell_len for cell in column) for column in columns]
    if width is None:
        return natural

    minimum = [max(map(_longest_word, column)) for column in columns]
    room = width - _GAP * (len(columns) - 1)
    widths = natural
    while sum(widths) > room and widths != minimum:
        shrinkable = [n for n in range(len(widths)) if widths[n] > minimum[n]]
        widths[max(shrinkable, key=widths.__getitem__)] -= 1

    return widths


def _longest_word(text: Text) -> int:
    return max((word.cell_len for word in text.split(" ")), default=0)


def _echo_wrapped(text: str, indent: str) -> None:
    lines = textwrap.wrap(
        text,
        _width() or sys.maxsize,
        initial_indent=indent,
        subsequent_indent=_INDENT,
        break_long_words=False,
        break_on_hyphens=False,
    )
    for line in lines:
        typer.echo(line)


def _width() -> int | None:
    """Columns of the terminal; None in a pipe."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def _text(cell: object) -> Text:
    from rich.text import Text

    return cell if isinstance(cell, Text) else Text(_in_one_line(cell))


def _in_one_line(cell: object) -> str:
    return visible(" ".join(str(cell).split()))
