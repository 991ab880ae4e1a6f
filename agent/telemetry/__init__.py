"""Traces of turns for OpenTelemetry. Nothing of it is imported before somebody asks for it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.util import find_spec
from uuid import UUID

import structlog

from agent.ports import Ports
from agent.settings import Settings

MISSING = (
    "OTEL_EXPORTER_OTLP_ENDPOINT is set, but OpenTelemetry is not installed, so no traces "
    "are sent. Install simple-ai-agent[otel], or unset it."
)

log = structlog.get_logger()


@asynccontextmanager
async def traced(
    ports: Ports,
    settings: Settings,
    instance: UUID,
) -> AsyncIterator[Ports]:
    """The same ports, watched where the settings ask for it; at the end all spans are sent."""
    if settings.otel_sdk_disabled or settings.otel_exporter_otlp_endpoint is None:
        yield ports
    elif not is_installed():
        log.warning(MISSING)
        yield ports
    else:
        from agent.telemetry.exporting import exporting
        from agent.telemetry.watching import watched

        async with exporting(settings, instance) as spans:
            yield watched(ports, spans)


def is_installed() -> bool:
    """Whether the extra `otel` is there."""
    names = ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http")
    try:
        return all(find_spec(name) for name in names)
    except ModuleNotFoundError:  # of a package around it
        return False
