"""Tracebacks in the log: frames and errors, nothing that people wrote."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import asyncpg
import pytest
from sqlalchemy.exc import DBAPIError

from agent.core.errors import StoreUnavailable
from agent.logs.tracebacks import plain
from agent.web.state import InstanceState

if TYPE_CHECKING:
    from agent.app import App

SECRET = "my diary"


def _logged(error: BaseException) -> str:
    return plain((type(error), error, error.__traceback__))


def _caught(cause: BaseException | None = None) -> BaseException:
    text = SECRET  # a local variable of a frame in the traceback
    try:
        assert text
        raise StoreUnavailable("No database.") from cause
    except StoreUnavailable as error:
        return error


def test_no_local_variable_is_shown() -> None:
    shown = _logged(_caught())
    assert "in _caught" in shown
    assert (
        shown.splitlines()[-1] == "agent.core.errors.StoreUnavailable: No database."
    )
    assert SECRET not in shown


@pytest.mark.parametrize(
    "cause",
    [
        asyncpg.DataError(f"invalid input for query argument $1: {SECRET!r}"),
        DBAPIError("INSERT", {"content": SECRET}, ValueError(SECRET)),
    ],
    ids=lambda cause: type(cause).__name__,
)
def test_what_a_driver_quotes_is_not_shown(cause: Exception) -> None:
    """Its kind is, before the error it led to."""
    shown = _logged(_caught(cause))
    assert f"{type(cause).__module__}.{type(cause).__qualname__}: (not shown" in shown
    assert shown.index("not shown") < shown.index("No database.")
    assert SECRET not in shown


def test_an_error_that_led_to_itself_ends() -> None:
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    assert _logged(first).count("ValueError") == 2


def test_a_group_shows_what_it_holds() -> None:
    shown = _logged(ExceptionGroup("two", [ValueError("one"), KeyError("other")]))
    assert "ValueError: one" in shown
    assert "KeyError: 'other'" in shown


def test_what_an_instance_is_shown_as_holds_no_url_of_its_stores() -> None:
    state = InstanceState(app=cast("App", SECRET))
    assert SECRET not in repr(state)
    assert "running" in repr(InstanceState(phase="running"))
