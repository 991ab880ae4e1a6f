"""The backup that is made before data goes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

from agent.core.errors import ConfigurationError

CreateBackup = Callable[[str, Path], Awaitable[object]]
"""Makes a backup of the database with this URL in this file. Raises AgentError."""

create_backup: CreateBackup | None = None
"""What makes it; None: this version makes no backups."""

WITHOUT = "No backup is made first."


def where(folder: Path) -> Path:
    """A new file for it, named by the moment."""
    moment = datetime.now(UTC).strftime("%Y-%m-%dT%H%M%SZ")

    return folder / "backups" / f"before-{moment}.backup"


def sentence(path: Path, *, wanted: bool) -> str:
    """What is said of it before the question."""
    if wanted and create_backup is not None:
        return f"A backup is made first: {path}."

    return WITHOUT


def check_agreed(*, wanted: bool, yes: bool) -> None:
    """Raises ConfigurationError when nobody is asked and nobody agreed to go without one."""
    if wanted and yes and create_backup is None:
        raise ConfigurationError(
            "This version makes no backup, and what goes cannot be brought back. "
            "Make one with pg_dump, and add --no-backup."
        )


async def back_up(url: str, path: Path, *, wanted: bool) -> Path | None:
    """Makes it. Returns where it is, if there is one. Raises AgentError."""
    if not wanted or create_backup is None:
        return None

    path.parent.mkdir(parents=True, exist_ok=True)
    await create_backup(url, path)

    return path
