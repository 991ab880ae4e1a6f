"""The terminal's prompt: line editing, a history that is kept, pasted text of several lines."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.enums import DEFAULT_BUFFER
from prompt_toolkit.filters import has_focus
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.input import Input
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.output import Output
from prompt_toolkit.patch_stdout import patch_stdout

from agent.core.commands import COMMANDS

HINT = "Ctrl-D or exit leaves."

LEAVING = {"exit", "quit", ":q", "/exit", "/quit"}
"""Typed alone, they leave, too."""


Arguments = Mapping[str, Sequence[str]]


class PromptReader:
    """Reads from a person.

    Enter sends, Alt-Enter begins a new line, Ctrl-D on an empty line leaves.
    """

    def __init__(
        self,
        history: History,
        input: Input | None = None,
        output: Output | None = None,
        arguments: Arguments | None = None,
    ) -> None:
        """`arguments`: what completes after a command, by its name."""
        self._session: PromptSession[str] = PromptSession(
            "› ",
            history=history,
            multiline=True,
            key_bindings=_keys(),
            completer=CommandCompleter(arguments or {}),
            input=input,
            output=output,
        )

    async def line(self) -> str | None:
        """The next text; None at the end. Prints of others appear above the prompt."""
        with patch_stdout(raw=True):
            try:
                text = await self._session.prompt_async(handle_sigint=False)
            except EOFError:
                return None

        return None if text.strip().lower() in LEAVING else text


class CommandCompleter(Completer):
    """The names of commands, while the first word of a line is typed; then their argument."""

    def __init__(self, arguments: Arguments) -> None:
        self._arguments = arguments

    def get_completions(
        self, document: Document, complete_event: CompleteEvent
    ) -> Iterator[Completion]:
        typed = document.text_before_cursor
        if not typed.startswith("/"):
            return

        head, blank, argument = typed.partition(" ")
        if blank:
            known = self._arguments.get(head[1:].lower(), ())
            for value in known:
                if value.startswith(argument):
                    yield Completion(value, start_position=-len(argument))
            return

        for command in COMMANDS:
            name = f"/{command.name}"
            if name.startswith(typed.lower()):
                yield Completion(
                    name, start_position=-len(typed), display_meta=command.summary
                )


def kept_history(path: Path) -> History:
    """A history that only this user can read; in memory when `path` cannot be written."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600))
        path.chmod(0o600)
    except OSError:
        return InMemoryHistory()

    return FileHistory(path)


@contextmanager
def quiet_keys() -> Iterator[None]:
    """Inside, typed keys are not echoed into an answer; they wait for the next prompt."""
    try:
        import termios
    except ImportError:  # Windows does not echo
        yield
        return

    keys = sys.stdin.fileno()
    before = termios.tcgetattr(keys)
    quiet = before[:]
    quiet[3] = before[3] & ~(termios.ECHO | termios.ICANON)
    termios.tcsetattr(keys, termios.TCSANOW, quiet)

    try:
        yield
    finally:
        termios.tcsetattr(keys, termios.TCSANOW, before)


def _keys() -> KeyBindings:
    keys = KeyBindings()
    typing = has_focus(DEFAULT_BUFFER)

    @keys.add("enter", filter=typing)
    def _send(event: KeyPressEvent) -> None:
        event.current_buffer.validate_and_handle()

    @keys.add("escape", "enter", filter=typing)
    def _new_line(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    @keys.add("c-c", filter=typing)
    def _clear_or_hint(event: KeyPressEvent) -> None:
        if event.current_buffer.text:
            event.current_buffer.reset()
        else:
            sys.stderr.write(f"{HINT}\n")

    return keys
