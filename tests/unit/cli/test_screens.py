"""What people and pipes see of an answer."""

from __future__ import annotations

import asyncio
import io
import os
import re

import pytest
from rich.console import Console

from agent.core.errors import Refused
from agent.core.messages import Notice
from channels.terminal.lines import LineReader, PlainScreen
from channels.terminal.screen import MarkdownScreen, begun

LONG = (
    "# Title\n\nSome *text* here.\n\n"
    + "\n".join(f"- point number {number}" for number in range(40))
    + "\n\n```python\n"
    + "\n".join(f"line_{number} = {number}" for number in range(60))
    + "\n```\n\n| a | b |\n|---|---|\n| cell1 | cell2 |\n\nThe end."
)


class Glass(io.StringIO):
    """A terminal of 80 × 24 that obeys the few things that are asked of it, and keeps what
    scrolls away.
    """

    def __init__(self) -> None:
        super().__init__()
        self.lines = [""]
        self.row = 0

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        for piece in re.split("(\x1b\\[[0-9;?]*[A-Za-z]|\n|\r)", text):
            self._obey(piece)
        return len(text)

    def _obey(self, piece: str) -> None:
        if piece == "\n":
            self.row += 1
            if self.row == len(self.lines):
                self.lines.append("")
        elif piece.startswith("\x1b["):
            if piece.endswith("A"):
                up = int(piece[2:-1] or 1)
                assert len(self.lines) - (self.row - up) <= 24, (
                    "what has scrolled away was to be drawn again"
                )
                self.row -= up
            elif piece.endswith("2K"):
                self.lines[self.row] = ""
        elif piece != "\r":
            self.lines[self.row] += piece

    @property
    def text(self) -> str:
        return "\n".join(line.rstrip() for line in self.lines if line.strip())


def screen() -> tuple[MarkdownScreen, Glass]:
    """A screen on a terminal, and what is seen."""
    glass = Glass()
    console = Console(
        file=glass,
        force_terminal=True,
        width=80,
        height=24,
        color_system=None,
        legacy_windows=False,
    )
    return MarkdownScreen(console, console), glass


def whole(markdown: str) -> str:
    """An answer that was shown in one piece."""
    shown, glass = screen()
    shown.finish(markdown)
    return glass.text


@pytest.mark.parametrize("step", [pytest.param(5, marks=pytest.mark.slow), 40, 300])
def test_a_growing_answer_ends_as_if_it_had_come_whole(step: int) -> None:
    """However it was cut, and though it is longer than the window: each line once, none
    redrawn above it.
    """
    shown, glass = screen()
    shown.show("")
    for end in range(step, len(LONG), step):
        shown.show(LONG[:end])
    shown.finish(LONG)
    assert whole(LONG) == glass.text


def test_what_is_finished_is_seen_before_the_end() -> None:
    """Blocks appear as they are finished, the last one as it grows."""
    shown, glass = screen()
    shown.show("one\n\ntwo\n\nthr")
    seen = glass.text.split()
    shown.finish("one\n\ntwo\n\nthree")
    assert seen == ["one", "two", "thr"]


def test_a_growing_block_never_fills_the_window() -> None:
    """Of a long block its last lines are shown."""
    shown, glass = screen()
    shown.show("```\n" + "\n".join(f"row {number}" for number in range(100)))
    seen = glass.text.splitlines()
    shown.close()
    assert seen[-1].strip() == "row 99"
    assert len(seen) <= 22


def test_an_answer_that_became_another_is_shown_whole() -> None:
    """What was printed stays, the answer as it is stored follows."""
    shown, glass = screen()
    shown.show("one\n\ntwo\n")
    shown.finish("uno\n\ndue")
    assert glass.text.splitlines() == [
        "one",
        "This is the whole answer:",
        "uno",
        "due",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "use List<String> here",
        "<div>\nblock\n</div>",
        "a &lt; b",
        "~~x~~ y",
        "[broken](",
        "```",
    ],
)
def test_no_text_is_lost_to_formatting(text: str) -> None:
    """Every word of an answer is seen, HTML too."""
    words = re.findall(r"\w+", text.replace("&lt;", ""))
    assert words == re.findall(r"\w+", whole(text).replace("<", " < "))


def test_a_line_break_is_one() -> None:
    """As on the platforms, where texts of commands are shown, too."""
    assert "This: 1\nAll: 2\n • a\n   b" == whole("This: 1\nAll: 2\n\n- a\n  b")


def test_a_model_does_not_drive_the_terminal() -> None:
    """Control characters of an answer do not arrive."""
    assert whole("\x1b[2Jhello\x1b]0;title\x07\x9b") == "[2Jhello]0;title"


@pytest.mark.parametrize(
    "mark", "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
)
def test_a_model_does_not_turn_the_order_of_characters(mark: str) -> None:
    """What looks like `exe.txt` is not `txt.exe`."""
    assert whole(f"a{mark}b") == "ab"


def test_a_pipe_gets_no_control_characters() -> None:
    """Where it leads may be a terminal after all."""
    screen, out, _ = plain()
    screen.show("\x1b[2Jhe\u202e")
    screen.finish("\x1b[2Jhe\u202ello\x9b")

    assert out.getvalue() == "[2Jhello\n"


@pytest.mark.parametrize(
    ("markdown", "last"),
    [
        ("", ""),
        ("half a line", "half a line"),
        ("one\n\ntwo\n", "two\n"),
        ("one\n\ntwo\n\nthr", "two\n\nthr"),
        ("- a\n- b\n\n- c\n", "- a\n- b\n\n- c\n"),
        ("a\n\n```\nx\n\ny\n", "```\nx\n\ny\n"),
        ("title\n---\nbody\n", "body\n"),
    ],
)
def test_where_the_last_block_begins(markdown: str, last: str) -> None:
    """Lists and code are one block however long; half a line decides nothing."""
    assert last == markdown[begun(markdown) :]


def plain() -> tuple[PlainScreen, io.StringIO, io.StringIO]:
    out, err = io.StringIO(), io.StringIO()
    return PlainScreen(out, err), out, err


def test_a_pipe_gets_an_answer_as_it_comes_and_once() -> None:
    """Each piece is written when it is there; the answer ends with a line break."""
    shown, out, err = plain()
    seen = []
    for text in ("", "Hello", "Hello Ada", "Hello Ada"):
        shown.show(text)
        seen.append(out.getvalue())
    shown.finish("Hello Ada.")
    assert seen == ["", "Hello", "Hello Ada", "Hello Ada"]
    assert (out.getvalue(), err.getvalue()) == ("Hello Ada.\n", "")


def test_a_notice_is_no_answer_to_a_pipe() -> None:
    """Why there is none is said on standard error."""
    shown, out, err = plain()
    shown.show("")
    shown.finish(Notice("The model is away."))
    assert (out.getvalue(), err.getvalue()) == ("", "The model is away.\n")


def test_the_note_of_a_cut_answer_is_said_apart() -> None:
    """What came before the cut is on standard output already."""
    shown, out, err = plain()
    shown.show("Once upon")
    shown.finish(Notice("Once upon\n\n*(stopped)*"))
    assert (out.getvalue(), err.getvalue()) == ("Once upon\n", "*(stopped)*\n")


def test_two_answers_do_not_mix() -> None:
    """After an answer the next one starts from the beginning, even with the same words."""
    shown, out, _ = plain()
    for _ in range(2):
        shown.show("same")
        shown.finish("same")
    assert out.getvalue() == "same\nsame\n"


async def test_lines_are_read_one_by_one() -> None:
    """With and without a line break at the end; what is no UTF-8 is refused, and the next
    line is read.
    """
    reader = LineReader(io.BytesIO(b"one\r\n\xff\xfe\n\nlast \xf0\x9f\x99\x82"))
    lines: list[str | None] = [await reader.line()]
    with pytest.raises(
        Refused, match=r"^Line 2 is not UTF-8 text and was not sent\.$"
    ):
        await reader.line()
    lines += [await reader.line() for _ in range(3)]
    assert lines == ["one", "", "last 🙂", None]


async def test_nobody_waits_for_a_line_that_does_not_come() -> None:
    """Reading can be given up while the other end is silent."""
    read, write = os.pipe()
    with os.fdopen(read, "rb") as stream, os.fdopen(write, "wb") as silent:
        waiting = asyncio.create_task(LineReader(stream).line())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting], timeout=5)
        silent.write(b"\n")
        silent.flush()
        assert waiting.cancelled()
