"""Whether a backup can really be brought back: it is, into a server made for that."""

from __future__ import annotations

from pathlib import Path

from agent.core.errors import ConfigurationError
from storage.backup.create import Progress
from storage.backup.failures import told
from storage.backup.manifest import Backup
from storage.backup.restore import fill
from storage.backup.scratch import scratch_postgres
from storage.control import audit
from storage.postgres import open_database


async def verify_backup(
    backup: Backup,
    scratch: Path,
    *,
    progress: Progress = lambda size: None,
) -> None:
    """Restores it below the folder `scratch`, and compares every row of every table and the
    audit log's chain with the manifest. Raises ConfigurationError with what differs.
    """
    with told(scratch, "The backup was not verified."):
        async with scratch_postgres(scratch) as url:
            await fill(url, backup, [], own_connections=1, progress=progress)
            await _check_chain(url, backup)


async def _check_chain(url: str, backup: Backup) -> None:
    manifest = backup.manifest
    if not manifest.audit_head:  # of a schema that had no chain yet
        return

    async with open_database(url, statement_seconds=None) as database:
        verdict = await audit.verify(database)

    if verdict.troubles:
        raise ConfigurationError(
            f"The audit log in {backup.folder} is not whole: {verdict.troubles[0]}"
        )
    if (verdict.count, verdict.head) != (manifest.audit_rows, manifest.audit_head):
        raise ConfigurationError(
            f"The audit log in {backup.folder} ends elsewhere than its manifest says."
        )
