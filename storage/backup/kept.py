"""Which backups there are where the settings keep them, and whether one is overdue."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from agent.core.errors import ConfigurationError
from agent.settings import Settings
from storage.backup.manifest import Manifest
from storage.backup.places import backups_in

HOUR = 3600.0

LATE = 2
"""After so many periods without a backup, something is not well."""


def backup_folder(settings: Settings) -> Path:
    """Where backups go that name no other path."""
    return settings.backup_dir or settings.agent_home / "backups"


def own_folders(settings: Settings) -> Sequence[Path]:
    """Folders of this machine that the agent writes to."""
    return settings.agent_home, backup_folder(settings)


def kept_backups(settings: Settings) -> Sequence[tuple[Path, Manifest]]:
    """Those that this machine sees, the newest first. Raises ConfigurationError."""
    folder = backup_folder(settings)
    if folder.exists() and not folder.is_dir():
        raise ConfigurationError(
            f"{folder} is not a folder: set BACKUP_DIR to another path."
        )

    return backups_in(folder)


def newest_scheduled(settings: Settings) -> Manifest | None:
    """The newest backup that `agent serve` made by itself, as far as this machine sees."""
    found = backups_in(backup_folder(settings))

    return next((one for _, one in found if one.scheduled), None)


def overdue(settings: Settings) -> str | None:
    """A sentence, when BACKUP_EVERY is set and nothing came of it for too long."""
    if settings.backup_every is None:
        return None

    newest = newest_scheduled(settings)
    folder = backup_folder(settings)
    if newest is None:
        return (
            f"BACKUP_EVERY is set, and there is no scheduled backup in {folder} yet: see the "
            "log of agent serve."
        )

    seconds = age_of(newest)
    if seconds <= LATE * HOUR * settings.backup_every:
        return None

    return (
        f"The newest scheduled backup in {folder} is {_in_words(seconds)} old, and BACKUP_EVERY "
        f"is {settings.backup_every:g}: see the log of agent serve."
    )


def age_of(manifest: Manifest) -> float:
    """Seconds since it was taken."""
    return (datetime.now(UTC) - manifest.taken_at).total_seconds()


def _in_words(seconds: float) -> str:
    if seconds < 2 * HOUR:
        return f"{seconds / 60:.0f} minutes"

    return f"{seconds / HOUR:.0f} hours"
