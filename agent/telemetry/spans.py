"""Spans of turns. The id of a turn is the id of its trace, so that any instance goes on with it,
and whoever reads a log line finds the trace.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from uuid import UUID

from msgspec import Struct
from opentelemetry.context import Context
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import (
    Span,
    SpanKind,
    Status,
    StatusCode,
    TracerProvider,
    set_span_in_context,
)
from opentelemetry.trace.propagation.tracecontext import (
    TraceContextTextMapPropagator,
)
from structlog.contextvars import bind_contextvars, get_contextvars

from agent.core.messages import Inbound
from agent.ports.tracing import CAME_WITH
from agent.telemetry import names


class Followed(Struct, frozen=True):
    """The turn that a task works on, by its log lines' name, and its span."""

    turn: str
    span: Span


_followed: ContextVar[Followed | None] = ContextVar("followed", default=None)
_trace: ContextVar[int | None] = ContextVar("trace", default=None)
_propagator = TraceContextTextMapPropagator()


class TurnIds(RandomIdGenerator):
    """Ids of traces are those of turns; others are random, as ids of spans are."""

    def generate_trace_id(self) -> int:
        return _trace.get() or super().generate_trace_id()


class Spans:
    """Starts spans.

    No span is ever left current while a generator is suspended: whoever closes it may live in
    another context. So each names its parent.
    """

    def __init__(
        self,
        provider: TracerProvider,
    ) -> None:
        self._tracer = provider.get_tracer(names.SCOPE)

    @contextmanager
    def turn(
        self,
        inbound: Inbound,
    ) -> Iterator[Span]:
        """The first span of this task. All later ones of the task are below it."""
        turn = str(inbound.turn_id)
        _trace.set(inbound.turn_id.int)
        attributes = {
            names.OPERATION: names.TURN,
            names.CHANNEL: inbound.address.channel,
            names.KIND: type(inbound).__name__.lower(),
            names.TURN_ID: turn,
        }
        came_with = _propagator.extract(CAME_WITH.get(), Context())
        span = self._tracer.start_span(
            names.TURN, came_with, SpanKind.SERVER, attributes
        )
        _followed.set(Followed(turn, span))
        _bind(span)

        with _ended(span):
            yield span

    @contextmanager
    def step(
        self,
        name: str,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Mapping[str, names.Value] | None = None,
    ) -> Iterator[Span]:
        """A part of the turn that this task's log lines name. An answer that is written for
        another one than began it, or after an instance died, belongs to the trace of its own.
        """
        followed, turn = _followed.get(), get_contextvars().get("turn")
        if followed is not None and turn in (None, followed.turn):
            above = set_span_in_context(followed.span, Context())
            span = self._tracer.start_span(name, above, kind, attributes)
        else:
            _trace.set(UUID(turn).int if turn else None)
            span = self._tracer.start_span(name, Context(), kind, attributes)
            _bind(span)

        with _ended(span):
            yield span


def headers_of(span: Span) -> Mapping[str, str]:
    """For requests by which a server goes on with the trace."""
    headers: dict[str, str] = {}
    _propagator.inject(headers, set_span_in_context(span, Context()))

    return headers


def _bind(span: Span) -> None:
    """From now on the log lines of this task say where they belong."""
    bind_contextvars(trace_id=f"{span.get_span_context().trace_id:032x}")


@contextmanager
def _ended(span: Span) -> Iterator[None]:
    """Names the kind of an error alone: what it says may be somebody's text."""
    try:
        yield
    except Exception as error:
        span.set_attribute(names.ERROR, type(error).__name__)
        span.set_status(Status(StatusCode.ERROR))
        raise
    finally:
        span.end()
