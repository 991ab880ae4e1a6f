"""Settings that have a file of their own, in the order in which they are shown."""

from __future__ import annotations

from agent.settings.backups import BackupVariables
from agent.settings.oidc import OidcVariables
from agent.settings.provider_variables import ProviderVariables
from agent.settings.telemetry import TelemetryVariables

PARTS = (OidcVariables, TelemetryVariables, BackupVariables)
"""Those with a section in docs/configuration.md."""


class Parts(BackupVariables, TelemetryVariables, OidcVariables, ProviderVariables):
    """All of them."""
