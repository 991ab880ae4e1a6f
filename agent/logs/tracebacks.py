"""Tracebacks for the log: where it went wrong, and nothing that people wrote."""

from __future__ import annotations

import traceback
from collections.abc import Iterator

from structlog.typing import ExcInfo

_QUOTING = frozenset({"asyncpg", "sqlalchemy"})
"""Packages whose errors quote the values of a statement, which are messages of people."""


def plain(exc_info: ExcInfo) -> str:
    """Frames and errors, the first cause first, never a local variable. A formatter for
    structlog.
    """
    chain = reversed(list(_chain(exc_info[1], set())))
    return "\n".join(line for error in chain for line in _lines(error))


def _chain(error: BaseException | None, seen: set[int]) -> Iterator[BaseException]:
    """The error, what led to it, and what a group holds; each once."""
    if error is None or id(error) in seen:
        return
    seen.add(id(error))
    yield error
    yield from _chain(error.__cause__, seen)
    if not error.__suppress_context__:
        yield from _chain(error.__context__, seen)
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _chain(inner, seen)


def _lines(error: BaseException) -> Iterator[str]:
    yield "Traceback (most recent call last):"
    for frame in traceback.format_tb(error.__traceback__):
        yield frame.rstrip("\n")
    yield (
        f"{_name(type(error))}: "
        f"{'(not shown: it may quote a message)' if _quotes(error) else error}"
    )


def _name(kind: type[BaseException]) -> str:
    return (
        kind.__qualname__
        if kind.__module__ == "builtins"
        else f"{kind.__module__}.{kind.__qualname__}"
    )


def _quotes(error: BaseException) -> bool:
    return any(
        kind.__module__.partition(".")[0] in _QUOTING for kind in type(error).__mro__
    )
