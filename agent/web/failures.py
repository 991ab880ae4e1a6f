"""Errors that nobody expected: one line in the log, and no value of the request in it."""

from __future__ import annotations

import structlog
from starlette.requests import Request

UNEXPECTED = "Something went wrong here; it is in the log."

log = structlog.get_logger()


def note_failure(
    request: Request,
    error: BaseException,
) -> None:
    """Logs the kind of an error and the route that it ended; addresses hold secrets."""
    path = getattr(request.scope.get("route"), "path", "")
    route = request.scope.get("root_path", "") + path
    log.error(
        "a request failed",
        error=type(error).__name__,
        cause=cause_of(error),
        method=request.method,
        route=route or "none",
        exc_info=error,
    )


def cause_of(error: BaseException) -> str | None:
    """The kind of the driver's error inside; None: there is none."""
    inner = getattr(error, "orig", None) or error.__cause__
    while inner is not None and inner.__cause__ is not None:
        inner = inner.__cause__

    return None if inner is None else type(inner).__name__
