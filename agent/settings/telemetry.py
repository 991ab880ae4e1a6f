"""The settings of OpenTelemetry, under the names that all programs have for them."""

from __future__ import annotations

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings

from agent.settings.tidy import host_of


class TelemetryVariables(BaseSettings):
    """A part of `Settings`."""

    otel_exporter_otlp_endpoint: SecretStr | None = Field(
        default=None,
        description="Root of an OpenTelemetry collector (OTLP over HTTP), as "
        "`http://127.0.0.1:4318`. Unset: no traces. Needs `simple-ai-agent[otel]`; see "
        "docs/monitoring.md.",
    )
    otel_service_name: str = Field(
        default="simple-ai-agent",
        description="How traces name this agent.",
    )
    otel_sdk_disabled: bool = Field(
        default=False, description="`true`: no traces, whatever else is set."
    )

    @field_validator("otel_exporter_otlp_endpoint", mode="after")
    @classmethod
    def _address(cls, value: SecretStr | None) -> SecretStr | None:
        url = value.get_secret_value() if value else None
        is_http = url is not None and url.startswith(("http://", "https://"))
        if url is None or (is_http and host_of(url)):
            return value

        raise ValueError("it is an address as http://127.0.0.1:4318")
