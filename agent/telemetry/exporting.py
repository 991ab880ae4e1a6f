"""Where spans go: to an OTLP collector over HTTP, in a thread, some at a time."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from uuid import UUID

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter

from agent.settings import Settings
from agent.telemetry.spans import Spans, TurnIds

PATH = "/v1/traces"
"""Below the endpoint (https://opentelemetry.io/docs/specs/otel/protocol/exporter/)."""

TIMEOUT_SECONDS = 5.0
"""For one batch, unless OTEL_EXPORTER_OTLP_TIMEOUT says otherwise. So long the end may take."""


@asynccontextmanager
async def exporting(
    settings: Settings,
    instance: UUID,
    exporter: SpanExporter | None = None,
) -> AsyncIterator[Spans]:
    """Spans, which at the end have all been sent. Nothing of it is known to other libraries.

    Whatever else there is (headers, certificates, sampling, batches) the SDK reads from the
    environment.
    """
    provider = TracerProvider(
        resource=Resource.create(_resource(settings, instance)),
        id_generator=TurnIds(),
        shutdown_on_exit=False,
    )
    sends_to = exporter or _exporter(settings)
    provider.add_span_processor(BatchSpanProcessor(sends_to))
    try:
        yield Spans(provider)
    finally:
        await asyncio.to_thread(provider.shutdown)


def _exporter(settings: Settings) -> SpanExporter:
    endpoint = settings.otel_exporter_otlp_endpoint
    assert endpoint is not None
    url = endpoint.get_secret_value().rstrip("/") + PATH
    is_set = "OTEL_EXPORTER_OTLP_TIMEOUT" in os.environ

    return OTLPSpanExporter(
        endpoint=url,
        timeout=None if is_set else TIMEOUT_SECONDS,
    )


def _resource(
    settings: Settings,
    instance: UUID,
) -> dict[str, str]:
    found = {
        "service.version": version("simple-ai-agent"),
        "service.instance.id": str(instance),
    }
    is_named = "service.name=" in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    is_set = "otel_service_name" in settings.model_fields_set
    if is_set or not is_named:
        found["service.name"] = settings.otel_service_name

    return found
