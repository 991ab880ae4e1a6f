"""The backup that is made before data goes."""

from __future__ import annotations

from pathlib import Path

from agent.cli.output import tell
from agent.settings import Settings

WITHOUT = "No backup is made first."


def sentence(settings: Settings, *, wanted: bool) -> str:
    """What is said of it before the question."""
    from storage.backup.kept import backup_folder

    if wanted:
        return f"A backup is made first, in {backup_folder(settings)}."

    return WITHOUT


async def back_up(
    settings: Settings, url: str, *, wanted: bool, as_json: bool
) -> Path | None:
    """Makes it, and says where it is: what comes next may fail. Returns where, if there is one.

    Raises ConfigurationError when it cannot be made; then nothing else is done.
    """
    from agent.cli.stores.backup import about_the_key
    from agent.core.errors import ConfigurationError
    from agent.operations.backups import make_backup

    if not wanted:
        return None

    try:
        backup = await make_backup(settings, url)
    except ConfigurationError as error:
        raise ConfigurationError(
            f"{error.sentence} Add --no-backup to go on without one."
        ) from error

    if not as_json:
        tell(f"Backup: {backup.folder}")
        tell(about_the_key(backup.manifest))

    return backup.folder
