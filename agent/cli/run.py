"""How every command runs: settings, logs, the event loop, and what an error looks like from
outside.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import sys
import traceback
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NoReturn

import typer

from agent.core.errors import AgentError, ConfigurationError
from agent.core.text import visible
from agent.operations.remedies import described

if TYPE_CHECKING:
    from agent.settings import Settings

WELL = 0
NOT_WELL = 1
WRONG_USAGE = 2
INTERRUPTED = 130  # 128 + SIGINT, as shells count
TERMINATED = 143  # 128 + SIGTERM

USAGE_ERROR: type[Exception] = typer.BadParameter.__mro__[1]
"""What every mistake in options and arguments is; typer does not export it."""

COLLECT_EVERY = 20_000
"""New objects between two collections of the youngest."""

EXIT_STATUS = {
    WELL: "all is well; every message was answered",
    NOT_WELL: "something is not well; not every message was answered",
    WRONG_USAGE: "wrong usage, or a setting is wrong",
    INTERRUPTED: "ended by Ctrl-C",
    TERMINATED: "ended by SIGTERM, after what was running had its time to finish",
}
"""What the numbers mean; `docs/configuration.md` shows them."""

_WORDS = {
    "Value error, ": "",
    "Input should be a valid number, unable to parse string as a number": "it takes a number",
    "Input should be a valid integer, unable to parse string as an integer": "it takes a whole number",
}
"""What libraries say about options, and how we say it."""

Command = Callable[["Settings"], Coroutine[Any, Any, int]]


def run(command: Command) -> NoReturn:
    """Runs a command to its end and exits with what it returns. Raises AgentError for `report`."""
    from agent.logs import configure_logging
    from agent.settings import load_settings

    settings = load_settings()
    configure_logging(settings)
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
    """Around a question: Ctrl-C ends it at once. An event loop, which the question keeps
    waiting, would not hear it.
    """
    before = signal.signal(signal.SIGINT, _interrupted)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _interrupted(*_: object) -> NoReturn:
    raise Interrupted


def spare_collections() -> None:
    """For a process that goes on: what stands at its start is not looked at by the garbage
    collector again.

    A turn makes some thousand objects with cycles among them (tasks, exceptions);
    collecting every 700, as Python does by default, takes a tenth of the time of a process
    under load.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_EVERY, 20, 20)


def report(error: Exception) -> int:
    """Tells an error as one sentence on standard error; returns the exit status."""
    sentence = described(error) if isinstance(error, AgentError) else _unexpected(error)
    sys.stderr.write(f"agent: {visible(sentence)}\n")
    log = logging.getLogger("agent")
    if log.isEnabledFor(logging.DEBUG):
        log.debug("traceback", exc_info=error)
    elif (
        os.environ.get("LOG_LEVEL", "").lower() == "debug"
    ):  # it failed before logs were set up
        traceback.print_exception(error)
    return WRONG_USAGE if isinstance(error, ConfigurationError) else NOT_WELL


def report_usage(error: Any) -> int:
    """Tells a USAGE_ERROR as one sentence on standard error, or shows the help where
    nothing was typed; as `report`.
    """
    said = str(error.format_message()).rstrip(".")
    for words, ours in _WORDS.items():
        said = said.replace(words, ours)
    if "\n" in said:
        error.show()
    else:
        command = error.ctx.command_path if error.ctx else "agent"
        sys.stderr.write(f"agent: {said}. `{command} -h` shows what is possible.\n")
    return WRONG_USAGE


def _unexpected(error: Exception) -> str:
    return f"Something unexpected happened ({type(error).__name__}). LOG_LEVEL=debug shows where."


async def _with_signals(work: Coroutine[Any, Any, int]) -> int:
    """SIGTERM ends as Ctrl-C does: what runs gets its time to finish."""
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
