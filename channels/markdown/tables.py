"""Tables as aligned code, for platforms that show none."""

from __future__ import annotations

import re
from collections.abc import (
    Iterable,
    Iterator,
)

from msgspec import Struct, field
from wcwidth import width

from channels.markdown.edits import (
    Edit,
    indentation,
    rewritten,
)
from channels.markdown.parser import (
    Event,
    Tag,
    parse,
    sound,
)

_RULE_AFTER = 1  # row
_PIPE = re.compile(r"(?<!\\)\|")


class Table(Struct):
    """The cells as they are read, without the marks of bold text and code, which a code
    block would show.
    """

    text: str  # in which it stands
    sides: str = ""  # a letter for each column, as in the event of a table
    rows: list[list[str]] = field(default_factory=list)
    _read: int = 0  # up to which place of the text
    _labels: list[tuple[str, int]] = field(
        default_factory=list
    )  # where in the cell the words of open links begin

    def read(self, event: Event) -> None:
        """Takes in the next event of the table."""
        match event.kind, event.tag:
            case "start", Tag.TABLE:
                self.sides = event.value
            case (
                "start",
                Tag.HEAD | Tag.ROW,
            ):
                self.rows.append([])
            case "start", Tag.CELL:
                self.rows[-1].append("")
            case (
                "start",
                Tag.LINK | Tag.IMAGE,
            ):
                self._labels.append(
                    (
                        event.value,
                        len(self.rows[-1][-1]),
                    )
                )
            case (
                "end",
                Tag.LINK | Tag.IMAGE,
            ):
                self._end_link(*self._labels.pop())
            case "end", Tag.CELL:
                self._read = event.end
            case (
                "end",
                Tag.HEAD | Tag.ROW,
            ):
                self.rows[-1] += self._surplus(event.end)
            case "leaf", _:
                self.rows[-1][-1] += event.value

    def _surplus(self, end: int) -> list[str]:
        """The cells of a row that the head has no column for; GitHub would drop them."""
        rest = self.text[self._read : end].strip().strip("|").strip()

        return [cell.strip() for cell in _PIPE.split(rest)] if rest else []

    def _end_link(self, address: str, start: int) -> None:
        """Code cannot link, so the address stands beside the words."""
        words = self.rows[-1][-1][start:]
        if words != address:
            self.rows[-1][-1] += f" ({address})" if words else address

    @property
    def is_wide(self) -> bool:
        """Whether a row has more cells than the head."""
        return max(map(len, self.rows)) > len(self.sides)

    def drawn(self) -> list[str]:
        """The lines: a head, a rule, and the rows."""
        columns = max(map(len, self.rows))
        rows = [row + [""] * (columns - len(row)) for row in self.rows]
        widths = [max(map(width, column)) for column in zip(*rows, strict=True)]
        sides = self.sides.ljust(columns)
        lines = [
            " | ".join(
                map(
                    _padded,
                    row,
                    widths,
                    sides,
                )
            ).rstrip()
            for row in rows
        ]
        lines.insert(
            _RULE_AFTER,
            "-+-".join("-" * columns for columns in widths),
        )

        return lines


def tables_as_code(text: str) -> str:
    """Markdown's tables (GFM 4.10) as aligned code blocks. All else is left alone."""
    text = sound(text)

    return rewritten(
        text,
        table_edits(text, parse(text)),
    )


def wide_tables_as_code(text: str) -> str:
    """The same for tables of which a row has more cells than the head: GitHub drops those."""
    text = sound(text)

    return rewritten(
        text,
        table_edits(
            text,
            parse(text),
            only_wide=True,
        ),
    )


def table_edits(
    text: str,
    events: Iterable[Event],
    *,
    only_wide: bool = False,
) -> Iterator[Edit]:
    """What makes code blocks of the tables of a text."""
    table: Table | None = None

    for event in events:
        if event.tag is Tag.TABLE and event.kind == "start":
            table = Table(text)

        if table is not None:
            table.read(event)

        if table is not None and event.tag is Tag.TABLE and event.kind == "end":
            if table.is_wide or not only_wide:
                yield _edit(text, event, table.drawn())
            table = None


def _edit(
    text: str,
    table: Event,
    lines: list[str],
) -> Edit:
    """The code block in place of a table, in the same list or quotation."""
    fence = _fence_around(lines)
    before = indentation(text, table.start)
    newline = "\n" if text[: table.end].endswith("\n") else ""

    return Edit(
        table.start,
        table.end,
        f"\n{before}".join([fence, *lines, fence]) + newline,
    )


def _fence_around(
    lines: Iterable[str],
) -> str:
    """More backticks than any line has in a row."""
    ticks = max(
        (len(run) for run in re.findall("`+", "\n".join(lines))),
        default=0,
    )

    return "`" * max(3, ticks + 1)


def _padded(cell: str, columns: int, side: str) -> str:
    space = columns - width(cell)
    left = {
        "R": space,
        "C": space // 2,
    }.get(side, 0)

    return " " * left + cell + " " * (space - left)
