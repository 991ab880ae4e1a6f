"""Where backups are: made under a hidden name, named when whole, and the oldest removed."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from itertools import count
from pathlib import Path

from agent.core.errors import ConfigurationError
from storage.backup import manifest
from storage.backup.manifest import Manifest

_HIDDEN = ".agent-"


@contextmanager
def hidden_folder(parent: Path) -> Iterator[Path]:
    """A folder of this process's own, which is removed at the end unless it was moved away.

    It is locked while this process lives. What a killed one left is removed by the next.
    """
    parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    for left_over in parent.glob(f"{_HIDDEN}*"):
        _remove_unless_used(left_over)

    folder, descriptor = _locked(parent)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(descriptor)


def _locked(parent: Path) -> tuple[Path, int]:
    """Another process may take the folder for a left-over one before it is locked."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_HIDDEN, dir=parent))
        with suppress(FileNotFoundError):
            descriptor = os.open(folder, os.O_RDONLY)
            if _lock(descriptor) and folder.exists():
                return folder, descriptor
            os.close(descriptor)


def _remove_unless_used(folder: Path) -> None:
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            if _lock(descriptor):
                shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(descriptor)


def _lock(descriptor: int) -> bool:
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False

    return True


def check_free(path: Path) -> Path:
    """The folder in which a backup for `path` is made: this one, or the one around it.

    Raises ConfigurationError when something else is there, or another backup.
    """
    if (path / manifest.NAME).exists():
        raise ConfigurationError(f"{path} is a backup already: name another path.")
    if path.is_dir():
        return path
    if path.exists() or path.is_symlink():
        raise _taken(path)

    return path.parent


def put_in_place(folder: Path, path: Path, taken_at: datetime) -> Path:
    """Gives a finished folder its name, which then survives a power cut.

    The name is `path`, or, where that is a folder, a free one inside. Raises ConfigurationError
    when it is taken.
    """
    _sync(folder)
    inside = folder.parent == path  # as `check_free` chose, whatever is there by now
    names = _names(path, taken_at) if inside else iter([path])
    target = next((one for one in names if _renamed(folder, one)), None)
    if target is None:
        raise _taken(path)
    _sync(target.parent)

    return target


def _names(parent: Path, taken_at: datetime) -> Iterator[Path]:
    name = f"agent-{taken_at:%Y%m%dT%H%M%S}Z"
    yield parent / name
    yield from (parent / f"{name}-{number}" for number in count(2))


def _renamed(folder: Path, target: Path) -> bool:
    """Another backup may have got the name meanwhile."""
    if target.exists():
        return False

    try:
        folder.rename(target)
    except OSError:
        if target.exists():
            return False
        raise

    return True


def _taken(path: Path) -> ConfigurationError:
    return ConfigurationError(f"{path} exists already: name another path.")


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def backups_in(parent: Path) -> list[tuple[Path, Manifest]]:
    """The backups of a folder, the newest first. What cannot be read is no backup."""
    found = []
    with suppress(OSError):
        for folder in parent.iterdir():
            if not folder.name.startswith("."):
                with suppress(ConfigurationError):
                    found.append((folder, manifest.read(folder)))

    return sorted(found, key=lambda one: one[1].taken_at, reverse=True)


def prune(parent: Path, keep: int) -> list[Path]:
    """Removes scheduled backups but the newest `keep`. Returns what was removed.

    Each loses its name first, so that half of it is never taken for a backup.
    """
    scheduled = [path for path, one in backups_in(parent) if one.scheduled]
    for path in scheduled[keep:]:
        with hidden_folder(parent) as hidden:
            path.rename(hidden / path.name)

    return scheduled[keep:]
