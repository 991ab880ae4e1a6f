"""`agent chat`: the terminal channel on this process's terminal or pipe."""

from __future__ import annotations

import asyncio
import io
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import (
    AbstractAsyncContextManager,
    asynccontextmanager,
    contextmanager,
    suppress,
)
from pathlib import Path
from typing import IO, BinaryIO
from urllib.parse import quote

from agent.app import App, ChannelBuilders, open_app
from agent.cli.options import user_name
from agent.cli.run import INTERRUPTED, NOT_WELL, WELL
from agent.core.errors import ConfigurationError
from agent.operations.banner import ECHO
from agent.settings import OFFLINE, Settings
from channels.terminal.channel import SLOT, Reader, Screen, Terminal

UPKEEP_AFTER_SECONDS = 3.0
"""A chat of one line is over by then."""

_SLOTS = 100
"""Conversations that one user can have open at once."""


async def chat(settings: Settings, *, upgrade: bool, no_input: bool) -> int:
    """Runs until the lines end. The exit status says whether all were answered."""
    typed = sys.stdin is not None and sys.stdin.isatty()
    if typed and no_input:
        raise ConfigurationError(
            "There is no input to read: pipe lines in, or omit --no-input."
        )

    with own_chat(settings.agent_home / "terminal", user_name()) as chat_name:
        if typed and sys.stdout.isatty():
            return await _with_a_person(settings, chat_name, upgrade=upgrade)

        return await _with_a_pipe(settings, chat_name, upgrade=upgrade)


async def _with_a_pipe(settings: Settings, chat_name: str, *, upgrade: bool) -> int:
    from channels.terminal.lines import LineReader, PlainScreen

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="replace")
    with _lines() as lines:
        screen = PlainScreen(sys.stdout, sys.stderr)
        terminal = _terminal(settings, LineReader(lines), screen, chat_name)
        builders = {terminal.name: lambda *_: terminal}
        async with _opened_app(settings, builders, upgrade=upgrade) as app:
            await terminal.run(app.engine.accept)

    return NOT_WELL if terminal.unanswered else WELL


async def _with_a_person(settings: Settings, chat_name: str, *, upgrade: bool) -> int:
    from rich.console import Console

    from channels.terminal.prompt import PromptReader, kept_history, quiet_keys
    from channels.terminal.screen import MarkdownScreen

    reader = PromptReader(
        kept_history(settings.agent_home / "terminal" / "history"),
        arguments=_arguments(settings),
    )
    screen = MarkdownScreen(
        Console(highlight=False), Console(stderr=True, highlight=False)
    )
    terminal = _terminal(settings, reader, screen, chat_name)
    builders = {terminal.name: lambda *_: terminal}
    with quiet_keys():
        try:
            async with (
                _ctrl_c(terminal),
                _opened_app(settings, builders, upgrade=upgrade) as app,
            ):
                screen.notice(_banner(app, chat_name))
                await terminal.run(app.engine.accept)
        except _LeftError:
            if terminal.waiting:
                screen.notice("The answer comes when you start `agent chat` again.")
            return INTERRUPTED
        finally:
            screen.close()

    return WELL


def _opened_app(
    settings: Settings, builders: ChannelBuilders, *, upgrade: bool
) -> AbstractAsyncContextManager[App]:
    return open_app(
        settings, builders, upgrade=upgrade, upkeep_after=UPKEEP_AFTER_SECONDS
    )


def _arguments(settings: Settings) -> dict[str, list[str]]:
    """What completes after a command: models that the settings name, and usual numbers."""
    models = [settings.model, *settings.fallback_models, *settings.models, OFFLINE]

    return {
        "model": ["default", *dict.fromkeys(models)],
        "history": ["10", "20", "50"],
    }


def _terminal(
    settings: Settings, reader: Reader, screen: Screen, chat_name: str
) -> Terminal:
    # an answer, one that it waits for, and a takeover
    patience = 2 * settings.model_total_timeout + 60

    return Terminal(
        reader, screen, user=user_name(), chat=chat_name, patience=patience
    )


class _LeftError(Exception):
    """Ctrl-C was pressed when there was nothing left to stop."""


@asynccontextmanager
async def _ctrl_c(terminal: Terminal) -> AsyncIterator[None]:
    """Makes the first Ctrl-C stop the answer and the second leave. At the prompt it is a
    key like any other.
    """
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    leaving = False

    def pressed() -> None:
        nonlocal leaving
        if not terminal.interrupt() and not leaving:
            leaving = True
            task.cancel()

    with suppress(NotImplementedError):  # Windows
        loop.add_signal_handler(signal.SIGINT, pressed)
    try:
        yield
    except asyncio.CancelledError:
        if leaving:
            raise _LeftError from None
        raise


@contextmanager
def own_chat(folder: Path, user: str) -> Iterator[str]:
    """The name of a conversation that no other process of this user and AGENT_HOME has open.

    Usually the user's own name; while that one is open elsewhere, `name#2` and so on.
    """
    with _slot(folder, user) as number:
        yield f"{user}{SLOT}{number}" if number > 1 else user


@contextmanager
def _slot(folder: Path, user: str) -> Iterator[int]:
    for number in range(1, _SLOTS):
        file = _opened(folder, f"{quote(user, safe='')}-{number}.lock")
        if file is None:  # stores elsewhere need no folder here
            yield 1
            return

        with file:
            if _locked(file):
                yield number
                return

    raise ConfigurationError(f"{_SLOTS} terminals are open on {folder}: close some.")


def _opened(folder: Path, name: str) -> IO[bytes] | None:
    """None: the folder or the file is somebody else's, or the disk is full or read-only."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

        return (folder / name).open("ab")
    except OSError:
        return None


def _locked(file: IO[bytes]) -> bool:
    try:
        import fcntl
    except ImportError:  # Windows
        return True

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False

    return True


@contextmanager
def _lines() -> Iterator[BinaryIO]:
    """A second handle of standard input, which the interpreter does not wait for at exit."""
    if sys.stdin is None:  # closed by the parent process
        yield io.BytesIO()
        return

    yield open(sys.stdin.fileno(), "rb", closefd=False)  # noqa: SIM115


def _banner(app: App, chat_name: str) -> str:
    model = app.ports.control.channel("terminal").default_model or app.settings.model
    hint = other = ""
    if model == OFFLINE:
        hint = ECHO
    if SLOT in chat_name:
        other = f" This is {chat_name}: another conversation of yours is open."

    return f"Model {model}{hint}. /help shows commands, Ctrl-D or exit leaves.{other}"
