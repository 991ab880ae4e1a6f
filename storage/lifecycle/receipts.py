"""Receipts of erasures, next to the backups: a restored backup forgets again who was forgotten.

A receipt is the SHA-256 of an account's id, which is random and of which nothing else is left. It
names nobody; with a backup in hand it says which of its people are to be erased.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Collection
from pathlib import Path

import structlog

from storage.lifecycle import STATEMENTS, jobs
from storage.postgres import Database
from storage.transaction import transaction

FILE = "erased.txt"
"""In the folder of the backups; one receipt a line."""

_RECEIPT = re.compile(r"[0-9a-f]{64}")

log = structlog.get_logger()


async def note(database: Database, folder: Path | None) -> None:
    """Adds the database's receipts to the file, if there is a folder of backups here.

    Raises StoreUnavailable.
    """
    if folder is None or not await asyncio.to_thread(folder.is_dir):
        return

    async with transaction(database) as connection:
        found = await jobs.receipts(connection)
    try:
        await asyncio.to_thread(_add, folder / FILE, found)
    except OSError as error:
        log.warning(
            f"receipts of erasures cannot be written next to the backups ({error.strerror}): "
            "a restored backup would not erase again."
        )


def read(folder: Path) -> list[str]:
    """The receipts in a folder of backups; none where there is no such file. Raises OSError."""
    try:
        lines = (folder / FILE).read_text("ascii", "replace").split()
    except FileNotFoundError:
        return []

    return sorted({line for line in lines if _RECEIPT.fullmatch(line)})


def erase_again(folder: Path) -> list[str]:
    """For the end of a restore: asks for the erasure of those whose receipts are here.

    Raises OSError.
    """
    receipts = read(folder)
    if not receipts:
        return []

    wanted = ", ".join(f"'{one}'" for one in receipts)
    again = STATEMENTS["erase_again"].replace("the_receipts", f"ARRAY[{wanted}]")

    return [STATEMENTS["make_erasures"], again]


def _add(file: Path, receipts: Collection[str]) -> None:
    known = set(read(file.parent))
    if known >= set(receipts):
        return

    new = file.with_name(f".{FILE}-{os.getpid()}")
    new.write_text("".join(f"{one}\n" for one in sorted(known | set(receipts))))
    new.chmod(0o600)
    new.replace(file)
