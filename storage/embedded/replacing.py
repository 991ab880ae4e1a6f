"""A new cluster in the place of an old one, which is kept.

The moments at which it can die: until the old one has another name, the next start finds it
and removes the new one; after that, the next start gives the new one its place.
"""

from __future__ import annotations

import os
import shutil
from datetime import UTC, datetime
from pathlib import Path

DATA = "data"
NEXT = "data.next"
"""A whole cluster that is about to become `data`."""


def put_in_place(new: Path, folder: Path) -> Path | None:
    """Makes a whole cluster the one of this folder. Returns where the old one is kept.

    Neither of them runs, and nobody starts one meanwhile.
    """
    settle(folder)
    new.rename(folder / NEXT)
    _sync(folder)

    kept = None
    if (folder / DATA).exists():
        kept = folder / f"data-until-{datetime.now(UTC):%Y%m%dT%H%M%S%f}Z"
        (folder / DATA).rename(kept)
        _sync(folder)
    settle(folder)

    return kept


def settle(folder: Path) -> None:
    """Ends what a killed process began: forward if the place is free, else back."""
    if not (folder / NEXT).exists():
        return

    if (folder / DATA).exists():
        shutil.rmtree(folder / NEXT)
    else:
        (folder / NEXT).rename(folder / DATA)
    _sync(folder)


def _sync(folder: Path) -> None:
    """Names then survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
