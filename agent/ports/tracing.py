"""How the way of a message is watched, by whoever wants to; by default nobody does."""

from __future__ import annotations

from collections.abc import Coroutine, Mapping
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any, Protocol

from agent.core.messages import Inbound

Work = Coroutine[Any, Any, None]

_NOTHING: Mapping[str, str] = MappingProxyType({})

CAME_WITH: ContextVar[Mapping[str, str]] = ContextVar("came_with", default=_NOTHING)
"""Headers of the request that brought a message: whose trace it is part of
(https://www.w3.org/TR/trace-context/).
"""

GOES_WITH: ContextVar[Mapping[str, str]] = ContextVar("goes_with", default=_NOTHING)
"""Headers for the requests that are made meanwhile, so that a server goes on with the trace."""

TRACE_HEADERS = ("traceparent", "tracestate")


class TurnTracing(Protocol):
    """Watches turns."""

    def follow(self, inbound: Inbound, work: Work) -> Work:
        """The same work, watched from its beginning until its answer is delivered."""
