"""What the API says when something cannot be done: RFC 9457, one sentence in `detail`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any, cast

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from agent.core.errors import (
    AgentError,
    ConfigurationError,
    Conflict,
    Refused,
    Rejected,
    StoreUnavailable,
    VersionConflict,
)
from agent.core.remedies import Amend, Remedy
from agent.core.text import visible
from agent.web.failures import UNEXPECTED, note_failure

MEDIA_TYPE = "application/problem+json"

AWAY_SECONDS = "2"
"""After which a store that is away is asked again: `Retry-After`."""

BUSY_SECONDS = "60"
"""After which an export is asked for again."""

NOTHING = "There is nothing at this address of the API."


class WrongField(BaseModel):
    """One part of a request that cannot be."""

    where: str = Field(description="body, query, path or header.")
    name: str = Field(description="The field; of a field in a field, with dots.")
    detail: str


class ProblemBody(BaseModel):
    """What went wrong (RFC 9457)."""

    type: str = Field(description="about:blank: the status says what kind it is.")
    title: str = Field(description="The status in words.")
    status: int
    detail: str = Field(description="One sentence for people, and what to do.")
    errors: list[WrongField] | None = None
    question: str | None = Field(
        default=None, description='What `"everybody": true` would agree to.'
    )


class Problem(Exception):
    """The request ends with this status and sentence."""

    def __init__(
        self,
        status: int,
        detail: str,
        headers: Mapping[str, str] | None = None,
        **more: Any,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = headers or {}
        self.more = more

    def response(self) -> Response:
        body = {
            "type": "about:blank",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            **self.more,
        }

        return JSONResponse(body, self.status, self.headers, MEDIA_TYPE)


@asynccontextmanager
async def finding() -> AsyncIterator[None]:
    """Inside, what the path names is looked up: what there is not is 404."""
    try:
        yield
    except Rejected as error:
        raise Problem(404, described(error)) from error


def problem_of(error: AgentError) -> Problem:
    if isinstance(error, VersionConflict):
        return Problem(412, error.sentence)
    if isinstance(error, Conflict):
        return Problem(409, error.sentence)
    if isinstance(error, Rejected):
        return Problem(422, described(error))
    if isinstance(error, Refused):
        return Problem(429, error.sentence, {"retry-after": BUSY_SECONDS})
    if isinstance(error, StoreUnavailable | ConfigurationError):
        return Problem(503, described(error), {"retry-after": AWAY_SECONDS})

    return Problem(500, error.sentence)


def described(error: AgentError) -> str:
    """Its sentence, and what may be done about it, in the words of this API."""
    remedies = error.remedies if isinstance(error, ConfigurationError) else ()

    return " ".join([error.sentence, *map(_sentence, remedies)])


def _sentence(remedy: Remedy) -> str:
    if not isinstance(remedy, Amend):
        words = ["agent", remedy.operation, remedy.target]
        return f"`{' '.join(filter(None, words))}` {remedy.effect}."

    fields = " or ".join(remedy.fields)
    match remedy.act:
        case "add":
            return f"Send {fields}."
        case "choose":
            return f"Send only one of {fields}."
        case "omit":
            return f"Send {remedy.wanted or 'another value'}, or omit {fields}."
        case "correct" | "identify":
            return f"Correct {fields}."


# --- handlers -----------------------------------------------------------------


async def on_problem(_request: Request, error: Exception) -> Response:
    return cast(Problem, error).response()


async def on_agent_error(_request: Request, error: Exception) -> Response:
    return problem_of(cast(AgentError, error)).response()


async def on_http(_request: Request, error: Exception) -> Response:
    """What Starlette and FastAPI refuse by themselves: addresses, methods, odd bodies."""
    refusal = cast(HTTPException, error)
    sentences = {
        400: "The body cannot be read as JSON.",
        404: NOTHING,
        405: "This address does not take that method.",
    }
    sentence = sentences.get(refusal.status_code, f"{refusal.detail}.")

    return Problem(refusal.status_code, sentence, refusal.headers).response()


async def on_wrong_fields(_request: Request, error: Exception) -> Response:
    """Names what is wrong, and never repeats what was sent."""
    found = cast(RequestValidationError, error).errors()
    if any(one["type"] == "json_invalid" for one in found):
        return Problem(400, "The body cannot be read as JSON.").response()

    wrong = [_wrong(one["loc"], one["msg"]) for one in found[:20]]
    first = wrong[0]
    named = (
        f"{first['name']} of the {first['where']}" if first["name"] else "The body"
    )
    sentence = f"{named} is not valid: {first['detail']}. Nothing was changed."

    return Problem(422, sentence, errors=wrong).response()


async def on_failure(request: Request, error: Exception) -> Response:
    note_failure(request, error)

    return Problem(500, UNEXPECTED).response()


def _wrong(
    place: Sequence[int | str],
    message: str,
) -> dict[str, str]:
    where, *path = map(str, place)
    reason = message.removeprefix("Value error, ").rstrip(".")

    return {
        "where": where,
        "name": visible(".".join(path))[:200],
        "detail": visible(reason[:1].lower() + reason[1:]),
    }
