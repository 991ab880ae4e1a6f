"""The terminal's screen for a person: Markdown as it grows.

A finished block of Markdown (a paragraph, a list, a piece of code …) is printed once. Only
the last block is drawn again as it grows. Of a long one, only as many lines as the window
has are drawn: lines that scrolled away cannot be drawn again.
"""

from __future__ import annotations

from rich.console import Console, RenderableType
from rich.live import Live
from rich.segment import SegmentLines
from rich.spinner import Spinner
from rich.text import Text

from agent.core.messages import Notice
from channels.terminal.markdown import rendered, tokens
from channels.terminal.text import harmless

_MARGIN = 2  # free lines of the window below a growing block


def begun(markdown: str) -> int:
    """Where the last block begins. Blocks before it are finished.

    Only whole lines count: half a line may look like another kind of block.
    """
    lines = markdown[: markdown.rfind("\n") + 1].splitlines(keepends=True)
    starts = [
        token.map[0]
        for token in tokens("".join(lines))
        if token.level == 0 and token.map
    ]
    return sum(map(len, lines[: starts[-1]])) if starts else 0


class MarkdownScreen:
    """Answers as Markdown on `console`; notices on `errors`."""

    frame = 0.05

    def __init__(self, console: Console, errors: Console) -> None:
        self._console = console
        self._errors = errors
        self._live: Live | None = None
        self._printed = ""  # of the growing answer

    def show(self, text: str) -> None:
        """Prints finished blocks and draws the rest; for "", a spinner."""
        if not text:
            self._open(Spinner("dots", style="dim"), moves=True)
            return

        text = harmless(text)
        if self._live is None or self._live.auto_refresh:
            self._open(Text(), moves=False)

        assert self._live is not None
        if not text.startswith(self._printed):
            return  # printed text stays; `finish` corrects it

        end = len(self._printed) + begun(text[len(self._printed) :])
        finished, separated = text[len(self._printed) : end], bool(self._printed)
        self._printed = text[:end]

        # In one write, and the new tail first: the old one may fill the window.
        with self._console:
            self._live.update(self._tail(text[end:]), refresh=True)
            self._print(finished, separated=separated)

    def finish(self, text: str) -> None:
        """Prints the rest; all of it when the printed text differs."""
        self._close()
        whole = harmless(text)
        printed, self._printed = self._printed, ""

        if whole.startswith(printed):
            dim = isinstance(text, Notice) and not printed
            self._print(
                whole[len(printed) :],
                separated=bool(printed),
                style="dim" if dim else "",
            )
        else:
            self._console.print(Text("\nThis is the whole answer:", style="dim"))
            self._print(whole)

        self._console.print()

    def left_over(self, text: str, *, repeat: bool) -> None:
        """Prints it above the prompt."""
        seen = "; you may have seen it" if repeat else ""
        self._console.print(Text(f"Answer to an earlier message{seen}:", style="dim"))
        self._print(harmless(text))
        self._console.print()

    def notice(self, text: str) -> None:
        self._close()
        self._errors.print(Text(harmless(text), style="dim"))

    def close(self) -> None:
        """Restores the terminal."""
        self._close()

    def _print(
        self, markdown: str, *, separated: bool = False, style: str = ""
    ) -> None:
        if markdown.strip():
            if separated:
                self._console.print()

            self._console.print(rendered(markdown), style=style)

    def _tail(self, markdown: str) -> SegmentLines:
        """The last lines of a growing block, as many as fit."""
        options = self._console.options
        lines = self._console.render_lines(rendered(markdown), options, pad=False)
        if self._printed and lines:
            lines = [[], *lines]

        return SegmentLines(
            lines[-max(1, options.size.height - _MARGIN) :], new_lines=True
        )

    def _open(self, drawn: RenderableType, *, moves: bool) -> None:
        self._close()
        self._live = Live(
            drawn,
            console=self._console,
            auto_refresh=moves,
            refresh_per_second=8,
            transient=True,
            redirect_stdout=False,
        )
        self._live.start(refresh=moves)

    def _close(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None
