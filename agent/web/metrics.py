"""`/metrics`: what `agent.metrics` counted, and how the instance is now, as Prometheus reads it."""

from __future__ import annotations

import hmac
import time
from collections.abc import Iterable, Iterator
from itertools import accumulate

from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from agent import metrics
from agent.web import first_samples
from agent.web.addresses import is_inside
from agent.web.state import InstanceState
from storage.people.active_people import active_people

FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip", "via", "cf-connecting-ip")
"""Headers by which a request shows that it came through a proxy, so perhaps from anywhere."""


def route(
    state: InstanceState,
    *,
    token: str = "",
) -> Route:
    """Text or OpenMetrics, as asked for.

    With a `token` it is asked for; without one, only direct requests from this machine or a
    private network are answered.
    """
    registry = CollectorRegistry()
    registry.register(_Counted())
    registry.register(_Now(state))
    ProcessCollector(registry=registry)
    GCCollector(registry=registry)

    async def show(request: Request) -> Response:
        _check(request, token)
        first_samples.begin(service.name for service in state.services)
        await _count_people(state)
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(registry), headers={"content-type": content_type})

    return Route("/metrics", show)


def _check(
    request: Request,
    token: str,
) -> None:
    given = request.headers.get("authorization", "")
    if token:
        wanted = f"Bearer {token}"
        if hmac.compare_digest(given.encode(), wanted.encode()):
            return

        raise HTTPException(
            401,
            "The metrics need METRICS_TOKEN as a bearer token.",
            {"www-authenticate": "Bearer"},
        )

    if any(name in request.headers for name in FORWARDED):
        raise HTTPException(
            403,
            "The metrics are not shown through a proxy. "
            "Ask this port directly, or set METRICS_TOKEN.",
        )
    if not is_inside(request):
        raise HTTPException(
            403,
            "The metrics are shown to this machine and its private networks alone. "
            "To ask from elsewhere, set METRICS_TOKEN.",
        )


async def _count_people(state: InstanceState) -> None:
    if state.app is None:
        return

    channels = [service.name for service in state.services]
    found = await active_people(state.app.stores.pipe, channels, time.time())
    metrics.active_people.put_all(found or {})


class _Counted(Collector):
    def collect(self) -> Iterable[Metric]:
        yield from map(_counter, metrics.COUNTERS)
        yield from map(_gauge, metrics.GAUGES)
        yield from map(_histogram, metrics.DISTRIBUTIONS)


class _Now(Collector):
    """How the instance is at this moment."""

    def __init__(
        self,
        state: InstanceState,
    ) -> None:
        self._state = state

    def collect(self) -> Iterable[Metric]:
        up = GaugeMetricFamily(
            "agent_channel_up",
            "1 while a channel takes messages.",
            labels=["channel"],
        )
        for service in self._state.services:
            up.add_metric([service.name], float(service.problem is None))
        yield up
        if self._state.app is not None:
            yield from _stores(self._state)

    def describe(self) -> Iterable[Metric]:
        return ()


def _stores(state: InstanceState) -> Iterator[Metric]:
    assert state.app is not None
    stores = state.app.stores
    pool = stores.database.pool
    idle = pool.get_idle_size()
    connections = GaugeMetricFamily(
        "agent_postgres_pool_connections",
        "Connections of the pool for commands and reports; turns have lines of their own.",
        labels=["state"],
    )
    connections.add_metric(["in_use"], pool.get_size() - idle)
    connections.add_metric(["idle"], idle)
    yield connections
    yield GaugeMetricFamily(
        "agent_redis_available",
        "0 while Redis is left alone after failures.",
        float(stores.pipe.available),
    )


def _counter(counter: metrics.Counter) -> Metric:
    family = CounterMetricFamily(counter.name, counter.meaning, labels=counter.labels)
    values = counter.values if counter.labels else counter.values or {(): 0.0}
    for labels, value in list(values.items()):
        family.add_metric(labels, value)
    return family


def _gauge(gauge: metrics.Gauge) -> Metric:
    family = GaugeMetricFamily(gauge.name, gauge.meaning, labels=gauge.labels)
    for labels, value in list(gauge.values.items()):
        family.add_metric(labels, value)
    return family


def _histogram(distribution: metrics.Distribution) -> Metric:
    family = HistogramMetricFamily(
        distribution.name, distribution.meaning, labels=distribution.labels
    )
    bounds = [*map(str, map(float, distribution.bounds)), "+Inf"]
    for labels, (*buckets, total) in list(distribution.values.items()):
        family.add_metric(
            labels, list(zip(bounds, accumulate(buckets), strict=True)), total
        )
    return family
