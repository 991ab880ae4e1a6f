"""How commands print: lines, JSON documents and tables."""

from __future__ import annotations

import json
import re
import shutil
import sys
import textwrap
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TextIO

import typer
from msgspec import Struct
from msgspec.structs import asdict

from agent.core.text import visible
from agent.core.words.sizes import plain

if TYPE_CHECKING:
    from rich.text import Text

_GAP = 2
"""Blanks between columns."""

_INDENT = "    "

_ROOM_TO_ANSWER = 10
"""For the choices that stand behind a question, and a letter."""

LONGEST = 60
"""Characters of a value that an overview shows on a terminal."""

_NUMBER = re.compile(r"[+~-]?\$?-?\d[\d,.]*( ?[%A-Za-z]{1,3})?")
"""With thousands, a sign, a dollar, or a short unit: 1,234 $0.50 12% 300 ms."""

_NO_NUMBER = frozenset({"", "-", "never", "none", "not known", "unknown"})
"""What stands in a column of numbers where there is none."""

_wide: list[bool] = []  # not empty: nothing is folded in this process


def tell(text: str, *, err: bool = False) -> None:
    """Prints sentences, which may repeat what somebody typed. A terminal gets them folded."""
    stream = sys.stderr if err else sys.stdout
    typer.echo(folded(visible(text), stream), err=err)


def folded(text: str, stream: TextIO) -> str:
    """The text with each line folded at words, if the stream is a terminal. No word is broken."""
    width = _width(stream)
    if width is None:
        return text

    return "\n".join(
        line
        for long in text.split("\n")
        for line in _folded_line(long, width) or [""]
    )


def _folded_line(
    line: str, width: int, indent: str = "", first: str = ""
) -> list[str]:
    return textwrap.wrap(
        line,
        width,
        initial_indent=first,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def shortened(text: str) -> str:
    """A value in an overview on a terminal; whole in a pipe, with `--wide`, and where one thing
    alone is shown.
    """
    if len(text) <= LONGEST or _width(sys.stdout) is None:
        return text

    return f"{text[: LONGEST - 1]}…"


def never_fold(wide: bool) -> bool:
    """What `--wide` does."""
    if wide:
        _wide.append(True)

    return wide


def question(text: str) -> str:
    """A question as a terminal shows it: lines end between words, with room for the answer."""
    width = shutil.get_terminal_size().columns - _ROOM_TO_ANSWER

    return "\n".join(_folded_line(visible(text), max(width, _ROOM_TO_ANSWER)))


def show_json(document: Any) -> None:
    typer.echo(json.dumps(document, ensure_ascii=False, default=_plain))


def _plain(value: object) -> object:
    if isinstance(value, Decimal):
        return plain(value)

    return asdict(value) if isinstance(value, Struct) else str(value)


def show_table(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """On a terminal, cells are folded at words to fit; in a pipe, each row is one line.

    Where even that does not fit, each row is a paragraph. Without headers there are only the
    rows. A cell may be a rich `Text` with a style.
    """
    from rich.console import Console

    console = Console(highlight=False)
    for line in _shown(headers, rows, _width(sys.stdout)):
        console.print(line, soft_wrap=True)


def _shown(
    headers: Sequence[str], rows: Sequence[Sequence[object]], width: int | None
) -> list[Text]:
    table = [headers, *rows] if headers else rows
    if not table:
        return []

    lines = _lines(table, width, titled=bool(headers))
    if width is None or max(line.cell_len for line in lines) <= width:
        return lines

    return [line for row in rows for line in _paragraph(headers, row, width)]


def _paragraph(
    headers: Sequence[str], row: Sequence[object], width: int
) -> Iterator[Text]:
    """A row whose cells stand below each other, each behind the name of its column."""
    from rich.text import Text

    names = [f"{name}: " if name else "" for name in headers] or [""] * len(row)
    for at, (name, cell) in enumerate(zip(names, map(_text, row), strict=True)):
        first, indent = ("", _GAP * " ") if at == 0 else (_GAP * " ", _INDENT)
        folds = _folded_line(f"{name}{cell.plain}", width, indent, first)
        yield from (Text(line, cell.style) for line in folds)


def show_log(
    headers: Sequence[str], rows: Sequence[Sequence[object]], details: Sequence[str]
) -> None:
    """A table whose rows each have a line of details below, if they are not empty."""
    header, *lines = _lines([headers, *rows], None)
    _echo_wrapped(header.plain, "")
    for line, detail in zip(lines, details, strict=True):
        _echo_wrapped(line.plain, "")
        _echo_wrapped(_in_one_line(detail), _INDENT)


def _lines(
    rows: Sequence[Sequence[object]], width: int | None, *, titled: bool = True
) -> list[Text]:
    """The table's lines; without a width, each row is exactly one. `titled`: the first has the
    names of the columns, and those of numbers end at the right.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    cells = [[_text(cell) for cell in row] for row in rows]
    widths = _widths(cells, width)
    table = Table.grid(padding=(0, _GAP, 0, 0))
    for column, column_width in zip(zip(*cells, strict=True), widths, strict=True):
        is_right = titled and _is_of_numbers(column[1:])
        table.add_column(width=column_width, justify="right" if is_right else "left")
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


def _is_of_numbers(column: Sequence[Text]) -> bool:
    """Whether all cells are numbers, so that their digits belong below each other."""
    found = {cell.plain for cell in column} - _NO_NUMBER

    return bool(found) and all(map(_NUMBER.fullmatch, found))


def _longest_word(text: Text) -> int:
    return max((word.cell_len for word in text.split(" ")), default=0)


def _echo_wrapped(text: str, indent: str) -> None:
    width = _width(sys.stdout) or sys.maxsize
    for line in _folded_line(text, width, _INDENT, indent):
        typer.echo(line)


def _width(stream: TextIO) -> int | None:
    """Columns of the terminal; None in a pipe, and where nothing is to be folded."""
    if _wide or not stream.isatty():
        return None

    return shutil.get_terminal_size().columns


def _text(cell: object) -> Text:
    from rich.text import Text

    return cell if isinstance(cell, Text) else Text(_in_one_line(cell))


def _in_one_line(cell: object) -> str:
    return visible(" ".join(str(cell).split()))
