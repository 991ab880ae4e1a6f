"""The API as one application behind its gate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from agent.core.errors import AgentError
from agent.web.addresses import API
from agent.web.api import (
    audit,
    budgets,
    channels,
    conversations,
    experiments,
    flags,
    limits,
    people,
    status,
    tokens,
    usage,
)
from agent.web.api.protocol import problems
from agent.web.api.protocol.gate import Gate
from agent.web.api.protocol.problems import Problem, ProblemBody
from agent.web.console.services import Find

if TYPE_CHECKING:
    from fastapi.telemetry import TelemetryConfig

ROUTERS: Sequence[APIRouter] = (
    flags.router,
    experiments.router,
    channels.router,
    limits.router,
    budgets.router,
    people.router,
    conversations.router,
    usage.router,
    audit.router,
    status.router,
    tokens.router,
)

UNTRACED: TelemetryConfig = {"tracing": False, "metrics": False, "logs": False}
"""FastAPI would tell any tracer of the process whole addresses, with one-time links and what was
searched for in them.
"""

ABOUT = (
    "What operators set and see, for programs. Each request shows a token; each error is "
    "a problem document (RFC 9457); each list has pages, and `next` leads to the next one; a "
    "change names the version that it is meant for in `If-Match`."
)


def api(find: Find) -> ASGIApp:
    """For what is below `API`. The schema is behind the gate, too."""
    return Gate(application(), find)


def application() -> FastAPI:
    """Without its gate."""
    app = FastAPI(
        title="Simple AI Agent",
        version="1",
        description=ABOUT,
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json",
        redirect_slashes=False,
        telemetry=UNTRACED,
    )
    for router in ROUTERS:
        app.include_router(router)
    app.add_exception_handler(Problem, problems.on_problem)
    app.add_exception_handler(AgentError, problems.on_agent_error)
    app.add_exception_handler(HTTPException, problems.on_http)
    app.add_exception_handler(RequestValidationError, problems.on_wrong_fields)
    app.add_exception_handler(Exception, problems.on_failure)
    app.openapi = lambda: schema(app)  # type: ignore[method-assign]

    return app


def schema(app: FastAPI) -> dict[str, Any]:
    """OpenAPI 3.1, made once, with each error that an endpoint may answer."""
    if app.openapi_schema is not None:
        return app.openapi_schema

    made = get_openapi(
        title=app.title,
        version=app.version,
        description=app.description,
        routes=app.routes,
        servers=[{"url": API}],
    )
    template = "#/components/schemas/{model}"
    problem = ProblemBody.model_json_schema(ref_template=template)
    components = made.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    schemas |= problem.pop("$defs") | {"Problem": problem}
    components["securitySchemes"] = {
        "token": {"type": "http", "scheme": "bearer", "bearerFormat": "agent_…"}
    }
    made["security"] = [{"token": []}]
    app.openapi_schema = made

    return made
