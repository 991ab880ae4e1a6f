"""How every command runs: settings, logs, the event loop, and what an error looks like from
outside.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import traceback
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NoReturn

import typer

from agent.cli.output import tell
from agent.core.errors import AgentError, ConfigurationError
from agent.operations.remedies import described

if TYPE_CHECKING:
    from agent.settings import Settings

WELL = 0
NOT_WELL = 1
WRONG_USAGE = 2
INTERRUPTED = 130
"""128 + SIGINT, as shells count."""

TERMINATED = 143
"""128 + SIGTERM."""

USAGE_ERROR: type[Exception] = typer.BadParameter.__mro__[1]
"""The base of all mistakes in options and arguments; typer does not export it."""

COLLECT_EVERY = 20_000
"""New objects between two collections of the youngest generation."""

EXIT_STATUS = {
    WELL: "all is well; every message was answered",
    NOT_WELL: "something is not well; not every message was answered",
    WRONG_USAGE: "wrong usage, or a setting is wrong",
    INTERRUPTED: "ended by Ctrl-C",
    TERMINATED: "ended by SIGTERM, after what was running had its time to finish",
}
"""What the numbers mean; `docs/configuration.md` shows them."""

_INVALID = "Input should be a valid {0}, unable to parse string as {1} {0}"
_WORDS = {
    "Value error, ": "",
    _INVALID.format("number", "a"): "it takes a number",
    _INVALID.format("integer", "an"): "it takes a whole number",
}
"""Words of libraries about options, and ours instead."""

Command = Callable[["Settings"], Coroutine[Any, Any, int]]


def run(command: Command, *, warns: bool = True) -> NoReturn:
    """Runs a command to its end and exits with what it returns. Raises AgentError for `report`.

    `warns`: of variables that are misspelled. The doctor finds them by itself.
    """
    from agent.logs import configure_logging
    from agent.settings import load_settings, misspelled_variables

    settings = load_settings()
    configure_logging(settings, for_good=True)
    for sentence in misspelled_variables() if warns else ():
        logging.getLogger("agent").warning(sentence)
    gc.enable()

    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        try:
            status = runner.run(_with_signals(command(settings)))
        except asyncio.CancelledError:
            status = TERMINATED

    raise SystemExit(status)


class Interrupted(typer.Abort):
    """Ctrl-C at a question."""


@contextmanager
def asking() -> Iterator[None]:
    """Surrounds a question, so that Ctrl-C ends it at once. The event loop would not hear
    it: the question blocks it.
    """
    before = signal.signal(signal.SIGINT, _interrupted)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _interrupted(*_: object) -> NoReturn:
    raise Interrupted


def spare_collections() -> None:
    """For a long-lived process: the garbage collector ignores what exists at its start, and
    runs less often.

    A turn makes some thousand objects with cycles among them (tasks, exceptions).
    Collecting every 700, Python's default, takes a tenth of the time of a process under
    load.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_EVERY, 20, 20)


def report(error: Exception) -> int:
    """Writes an error as one line to standard error. Returns the exit status."""
    sentence = (
        described(error) if isinstance(error, AgentError) else _unexpected(error)
    )
    tell(f"agent: {sentence}", err=True)

    log = logging.getLogger("agent")
    if log.isEnabledFor(logging.DEBUG):
        log.debug("traceback", exc_info=error)
    elif os.environ.get("LOG_LEVEL", "").lower() == "debug":
        # it failed before logs were set up
        traceback.print_exception(error)

    return WRONG_USAGE if isinstance(error, ConfigurationError) else NOT_WELL


def report_usage(error: Any) -> int:
    """Writes a USAGE_ERROR as one line to standard error. Returns the exit status.

    Where nothing was typed, shows the help instead.
    """
    message = str(error.format_message()).rstrip(".")
    for words, ours in _WORDS.items():
        message = message.replace(words, ours)

    if "\n" in message:
        error.show()
    else:
        command = error.ctx.command_path if error.ctx else "agent"
        end = "" if message.endswith("?") else "."
        tell(
            f"agent: {message}{end} `{command} -h` shows what is possible.", err=True
        )

    return WRONG_USAGE


def _unexpected(error: Exception) -> str:
    name = type(error).__name__

    return f"Something unexpected happened ({name}). LOG_LEVEL=debug shows where."


async def _with_signals(work: Coroutine[Any, Any, int]) -> int:
    """Makes SIGTERM end the work as Ctrl-C does: it gets its time to finish."""
    task = asyncio.current_task()
    assert task is not None
    with suppress(NotImplementedError):  # Windows
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)

    return await work


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:  # Windows
        return None

    return uvloop.new_event_loop
