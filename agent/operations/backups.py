"""Backups as the settings want them: where, under which keys, and by the clock."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager, nullcontext
from pathlib import Path

import structlog

from agent import metrics
from agent.core.background import run_in_background
from agent.core.errors import AgentError, ConfigurationError
from agent.settings import Settings
from storage.backup.alone import alone
from storage.backup.create import Progress, check_possible, create_backup
from storage.backup.kept import HOUR, age_of, backup_folder, newest_scheduled
from storage.backup.manifest import Backup, Manifest
from storage.backup.places import prune
from storage.control.credentials import Secrets

RETRY_SECONDS = 600.0
"""After a failure: soon enough for a full disk that was cleaned, too late to fill a log."""

LOOK_SECONDS = 60.0
"""How often the clock is looked at: another instance may have made the backup meanwhile."""

log = structlog.get_logger()


def secrets_of(settings: Settings) -> list[str]:
    """The keys, the newest first. Raises ConfigurationError when one is not a key."""
    secrets = [key.get_secret_value() for key in settings.encryption_keys]
    Secrets(secrets)

    return secrets


async def make_backup(
    settings: Settings,
    url: str,
    path: Path | None = None,
    *,
    scheduled: bool = False,
    progress: Progress = lambda size: None,
) -> Backup:
    """A backup as the settings want it; without a `path`, in their folder.

    Raises ConfigurationError.
    """
    secrets = secrets_of(settings)
    if path is None:
        path = _made_folder(settings)

    return await create_backup(
        url,
        path,
        secrets=secrets,
        scheduled=scheduled,
        progress=progress,
    )


def _made_folder(settings: Settings) -> Path:
    path = backup_folder(settings)
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"{path} cannot be used ({error.strerror}): set BACKUP_DIR to another folder."
        ) from error

    return path


async def impossible(settings: Settings, url: str) -> str | None:
    """A sentence, when BACKUP_EVERY is set and no backup could be made now."""
    if settings.backup_every is None:
        return None

    try:
        secrets_of(settings)
        await check_possible(url, _made_folder(settings))
    except ConfigurationError as error:
        return error.sentence

    return None


def backup_schedule(
    settings: Settings,
    url: str,
) -> AbstractAsyncContextManager[None]:
    """Inside, backups are made every BACKUP_EVERY hours."""
    if settings.backup_every is None:
        return nullcontext()

    return run_in_background(_keep_schedule, settings, url)


async def _keep_schedule(settings: Settings, url: str) -> None:
    while True:
        try:
            await back_up_when_due(settings, url)
            pause = LOOK_SECONDS
        except AgentError as error:
            _failed(error.sentence)
            pause = RETRY_SECONDS
        # whatever it is: people are answered, and the next try may go well
        except Exception as error:
            log.debug("backup failed", exc_info=error)
            _failed(f"It failed with {type(error).__name__}.")
            pause = RETRY_SECONDS

        await asyncio.sleep(pause)


def _failed(sentence: str) -> None:
    metrics.backups.add("failed")
    log.error(f"no backup was made: {sentence}")


async def back_up_when_due(settings: Settings, url: str) -> bool:
    """Makes a backup if it is time and no other instance is at it. Returns whether it did.

    Raises ConfigurationError.
    """
    if not await asyncio.to_thread(_is_due, settings):
        return False

    async with alone(url) as is_alone:
        # another instance may have made one while this one looked
        if not is_alone or not await asyncio.to_thread(_is_due, settings):
            return False

        backup = await make_backup(settings, url, scheduled=True)
        folder = backup_folder(settings)
        removed = await asyncio.to_thread(prune, folder, settings.backup_keep)

    metrics.backups.add("whole")
    _note(backup.manifest)
    log.info("backup made", folder=str(backup.folder), removed=len(removed))

    return True


def _is_due(settings: Settings) -> bool:
    assert settings.backup_every is not None
    newest = newest_scheduled(settings)
    if newest is None:
        return True

    _note(newest)

    return age_of(newest) >= HOUR * settings.backup_every


def _note(manifest: Manifest) -> None:
    metrics.last_backup.put(manifest.taken_at.timestamp())
