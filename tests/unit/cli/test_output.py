"""Tables and logs of the command line, on terminals of every width and in pipes."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from agent.cli.output import question, show_log, show_table

HEADERS = ("FLAG", "SET", "APPLIED ON")
ROWS = [
    ("replies", "channel:discord false, kill the default", "no instance runs"),
    ("tone", 'global "say [bold]this[/] twice to everybody"', "3 of 3"),
]
NARROWEST = len("replies") + len("channel:discord") + len("instance") + 2 * 2
"""Each column as wide as its longest word."""


@pytest.fixture
def on_terminal(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Makes standard output a terminal with so many columns."""

    def become(columns: int) -> None:
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
        monkeypatch.setenv("COLUMNS", str(columns))

    return become


def words(cells: tuple[str, ...]) -> list[str]:
    return [word for cell in cells for word in cell.split()]


def test_in_a_pipe_each_row_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    show_table(HEADERS, ROWS)

    assert [
        "FLAG     SET                                            APPLIED ON",
        "replies  channel:discord false, kill the default        no instance runs",
        'tone     global "say [bold]this[/] twice to everybody"  3 of 3',
    ] == capsys.readouterr().out.splitlines()


@pytest.mark.parametrize("width", range(NARROWEST, 90, 3))
def test_on_a_terminal_a_table_fits_and_no_word_is_broken(
    on_terminal: Callable[[int], None], capsys: pytest.CaptureFixture[str], width: int
) -> None:
    on_terminal(width)
    show_table(HEADERS, ROWS)
    shown = capsys.readouterr().out

    assert width >= max(map(len, shown.splitlines()))
    assert sorted(shown.split()) == sorted(
        word for row in (HEADERS, *ROWS) for word in words(row)
    )


def test_a_terminal_too_narrow_for_the_words_gets_them_whole(
    on_terminal: Callable[[int], None], capsys: pytest.CaptureFixture[str]
) -> None:
    on_terminal(10)
    show_table(HEADERS, ROWS)

    assert "channel:discord" in capsys.readouterr().out.split()


@pytest.mark.parametrize("width", [24, 40, 60, 100])
def test_a_log_fits_and_no_word_is_broken(
    on_terminal: Callable[[int], None], capsys: pytest.CaptureFixture[str], width: int
) -> None:
    """Details stand below their row, indented; a row without any has none."""
    on_terminal(width)
    rows = [
        (1, "ada", "flag.set flag:replies"),
        (22, "bob", "flag.undo flag:replies"),
    ]
    details = ["global unset → false (repairs; command line on host)", ""]
    show_log(("NO", "WHO", "DID"), rows, details)
    shown = capsys.readouterr().out

    assert width >= max(map(len, shown.splitlines()))
    assert "NO  WHO  DID" == shown.splitlines()[0]
    assert shown.split() == [
        *("NO", "WHO", "DID"),
        *("1", *words(tuple(map(str, rows[0][1:]))), *details[0].split()),
        *("22", *words(tuple(map(str, rows[1][1:])))),
    ]


def test_what_would_drive_a_terminal_is_shown_escaped(
    capsys: pytest.CaptureFixture[str],
) -> None:
    show_table(("NAME",), [("a\x1b[31m\nb",)])

    assert "NAME\na\\u001b[31m b\n" == capsys.readouterr().out


@pytest.mark.parametrize("columns", [40, 60, 80, 200])
def test_a_question_breaks_between_words(
    on_terminal: Callable[[int], None], columns: int
) -> None:
    """And leaves room for ` [y/N]: y` behind it."""
    on_terminal(columns)
    asked = (
        "This takes the schema of agent back from 0013 to 0003. Lost: votes (12 rows), "
        "budget-days of budgets (2,000 rows), edited of conversations (30 rows). Do it?"
    )
    shown = question(asked)

    assert asked.split() == shown.split()
    assert max(map(len, shown.splitlines())) + len(" [y/N]: y") < columns


def test_numbers_end_below_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    """With their headers. A column in which a cell is none stays at the left."""
    show_table(
        ("MODEL", "ANSWERS", "COST", "SHARE", "KEPT"),
        [
            ("a:x", "7", "$0.5000", "9%", "30 days"),
            ("b:y", "1,234", "not known", "12%", "7"),
        ],
    )

    assert [
        "MODEL  ANSWERS       COST  SHARE  KEPT",
        "a:x          7    $0.5000     9%  30 days",
        "b:y      1,234  not known    12%  7",
    ] == capsys.readouterr().out.splitlines()


def test_rows_without_headers_stay_at_the_left(
    capsys: pytest.CaptureFixture[str],
) -> None:
    show_table((), [("people", "1"), ("messages", "1,000")])

    assert ["people    1", "messages  1,000"] == capsys.readouterr().out.splitlines()
