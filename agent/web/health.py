"""`/health/live` and `/health/ready`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypedDict

import asyncpg
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from agent.web.state import InstanceState
from storage.connecting.postgres_errors import GONE, sentence_of
from storage.migrate.stores import OpenStores
from storage.reports.status import ping

PROBE_SECONDS = 2.0
FRESH_SECONDS = 1.0
"""For this long a result is shown again: frequent probes do not make the stores busy."""


class HealthPart(TypedDict, total=False):
    """How one part is: `ok`, `degraded` (the agent works without it) or `down`, then with a
    `problem`.
    """

    state: str
    problem: str


class Readiness(TypedDict):
    """The body of `/health/ready`; `status` is ready, starting, stopping or not ready."""

    status: str
    parts: Mapping[str, HealthPart]


def routes(
    state: InstanceState,
    *,
    clock: Callable[[], float] = time.monotonic,
) -> Sequence[Route]:
    """Live means that this process answers; ready, that all that is configured
    works.
    """
    probe = Probe(clock)

    async def live(_: Request) -> Response:
        return JSONResponse({"status": "live"})

    async def ready(_: Request) -> Response:
        found = await readiness(state, probe)

        return JSONResponse(found, 200 if found["status"] == "ready" else 503)

    return [Route("/health/live", live), Route("/health/ready", ready)]


async def readiness(
    state: InstanceState,
    stores: Callable[[OpenStores], Awaitable[Mapping[str, HealthPart]]],
) -> Readiness:
    """Says which part is not ready. Without Redis it is slower and still ready."""
    parts: dict[str, HealthPart] = {
        name: {"state": "down", "problem": sentence}
        for name, sentence in state.waits_for.items()
    }
    if state.app is not None and state.phase == "running":
        parts |= await stores(state.app.stores)
    for service in state.services:
        problem = service.problem
        parts[service.name] = (
            {"state": "down", "problem": problem} if problem else {"state": "ok"}
        )
    if state.phase != "running":
        return {"status": state.phase, "parts": parts}
    down = any(part["state"] == "down" for part in parts.values())
    return {"status": "not ready" if down else "ready", "parts": parts}


class Probe:
    """Tries both stores, once for all who ask within `FRESH_SECONDS`."""

    def __init__(
        self,
        clock: Callable[[], float],
    ) -> None:
        self._clock = clock
        self._lock = asyncio.Lock()
        self._found: Mapping[str, HealthPart] = {}
        self._fresh_until = float("-inf")

    async def __call__(
        self,
        stores: OpenStores,
    ) -> Mapping[str, HealthPart]:
        async with self._lock:
            if self._clock() >= self._fresh_until:
                postgres, redis = await asyncio.gather(
                    _postgres(stores), _redis(stores)
                )
                self._found = {"postgres": postgres, "redis": redis}
                self._fresh_until = self._clock() + FRESH_SECONDS
        return self._found


async def _postgres(stores: OpenStores) -> HealthPart:
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            await ping(stores.database)
    except (*GONE, asyncpg.PostgresError) as error:
        away = "Postgres does not answer. Start it, or correct DATABASE_URL."
        return {"state": "down", "problem": sentence_of(error) or away}

    return {"state": "ok"}


async def _redis(stores: OpenStores) -> HealthPart:
    if await stores.pipe.send(("PING",)) is None:
        return {
            "state": "degraded",
            "problem": "Redis does not answer: the agent works without it, slower.",
        }
    return {"state": "ok"}
