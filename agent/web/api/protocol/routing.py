"""How endpoints are declared: each with what it takes, so that none can be without."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeVar

from fastapi import APIRouter
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from agent.control.permissions import Permission
from agent.core.text import visible
from agent.web.api.protocol.caller import caller_of
from agent.web.api.protocol.problems import MEDIA_TYPE, Problem

Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])

_PROBLEM = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
_RETRY = {"Retry-After": {"schema": {"type": "string"}, "description": "Seconds."}}


def _declared(
    meanings: Mapping[int, str],
) -> dict[int | str, dict[str, Any]]:
    return {
        status: {"description": meaning, "content": _PROBLEM}
        | ({"headers": _RETRY} if status in (429, 503) else {})
        for status, meaning in meanings.items()
    }


EVERYWHERE = _declared(
    {
        400: "The request cannot be read: no JSON, or a NUL character.",
        401: "There is no token, or none that is good now.",
        403: "The token may not do this, or the way is not private.",
        413: "The body is too large.",
        415: "The body is no `application/json`.",
        422: "A field is missing, unknown or not possible; nothing was changed.",
        429: "Too many requests with this token.",
        500: "A fault of this program; it is in its log.",
        503: "A store is away, or the agent starts; nothing was changed.",
    }
)
"""What any endpoint may answer instead."""

MISSING = _declared({404: "There is no such thing."})
"""Of those whose path names something."""

CONFLICT = _declared({409: "Something else that is so, or was done, is against it."})
"""Of those that something else can stand in the way of."""

CHANGES = CONFLICT | _declared(
    {
        412: "It was changed since the version in `If-Match`.",
        428: "`If-Match` is missing: the `ETag` that was seen, or `*` for any.",
    }
)
"""Of those that change something which has a version."""

TAGGED: dict[int | str, dict[str, Any]] = {
    200: {
        "headers": {
            "ETag": {
                "schema": {"type": "string"},
                "description": "Its version, for `If-Match`.",
            }
        }
    }
}
"""Of those that tell a version."""


def needs(permission: Permission) -> Callable[[Endpoint], Endpoint]:
    """Says what an endpoint takes. It stands closest to the function."""

    def mark(endpoint: Endpoint) -> Endpoint:
        endpoint.permission = permission  # type: ignore[attr-defined]

        return endpoint

    return mark


def routes(tag: str) -> APIRouter:
    """A room of endpoints."""
    return APIRouter(tags=[tag], route_class=GuardedRoute, responses=EVERYWHERE)


class GuardedRoute(APIRoute):
    """Asks for the permission before the body is looked at, and takes no unknown query."""

    @property
    def permission(self) -> Permission:
        """An endpoint without one cannot be declared."""
        found = self.endpoint.permission  # type: ignore[attr-defined]
        assert isinstance(found, Permission)

        return found

    def get_route_handler(
        self,
    ) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        answer = super().get_route_handler()
        permission, known = self.permission, _names(self)

        async def guarded(request: Request) -> Response:
            caller_of(request).check(permission)
            _check_query(request, known)

            return await answer(request)

        return guarded


def _names(route: APIRoute) -> frozenset[str]:
    """What may stand in the query."""
    names: set[str] = set()
    for field in route.dependant.query_params:
        model = field.field_info.annotation
        if isinstance(model, type) and issubclass(model, BaseModel):
            names |= {one.alias or name for name, one in model.model_fields.items()}
        else:
            names.add(field.alias)

    return frozenset(names)


def _check_query(
    request: Request,
    known: frozenset[str],
) -> None:
    """Raises Problem for what this address does not take: a misspelt filter shows all."""
    unknown = sorted({*request.query_params} - known)
    if unknown:
        wrong = [
            {
                "where": "query",
                "name": visible(name)[:100],
                "detail": "it is not known",
            }
            for name in unknown[:20]
        ]
        possible = ", ".join(sorted(known)) or "none"
        raise Problem(
            422,
            f"This address does not take that query. It takes: {possible}.",
            errors=wrong,
        )
