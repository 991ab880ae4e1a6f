"""What every instance looks after in the background: erasures, one instance to a job, and
messages that are kept no longer.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import structlog

from agent.core.background import run_in_background
from agent.core.errors import AgentError
from storage.lifecycle import receipts
from storage.lifecycle.erasure import Stores, work
from storage.lifecycle.retention import retaining

LOOK_SECONDS = 5.0
"""How often somebody looks for a job, or whether one that waits can go on."""

log = structlog.get_logger()


@asynccontextmanager
async def lifecycle(
    stores: Stores, backups: Path | None, retention_days: int | None
) -> AsyncIterator[None]:
    """Inside, erasures go on, and what is older than anybody keeps it goes.

    Receipts of erasures stand next to the `backups` of this machine. `retention_days` holds
    where a channel has no retention of its own; None: everything is kept.
    """
    async with (
        run_in_background(_erase_forever, stores, backups),
        retaining(stores.database, retention_days),
    ):
        yield


async def _erase_forever(stores: Stores, backups: Path | None) -> None:
    is_noted = False
    while True:
        try:
            is_noted = await _look(stores, backups, is_noted=is_noted)
        except AgentError as error:
            log.warning(f"erasures wait: {error.sentence}")
        # whatever it is: the next look may go well, and everything else goes on
        except Exception as error:
            log.exception(
                "an erasure failed; it is tried again", error=type(error).__name__
            )

        await asyncio.sleep(LOOK_SECONDS)


async def _look(stores: Stores, backups: Path | None, *, is_noted: bool) -> bool:
    """Works as long as something moves. Returns whether all receipts are noted."""
    while progress := await work(stores):
        is_noted = is_noted and progress.step != "done"
        if not progress.moved:
            break

    if not is_noted:
        await receipts.note(stores.database, backups)

    return True
