"""What the audit log of a restored database says about the restore."""

from __future__ import annotations

import json
import os

from storage.backup import STATEMENTS
from storage.backup.manifest import Backup
from storage.control.audit import Author


def audit_row(backup: Backup, by: Author, *, resume: bool) -> str:
    """The statement that adds the row of the audit log."""
    manifest = backup.manifest
    after = {
        "backup": os.fsencode(backup.folder.absolute()).decode(errors="replace"),
        "seal": manifest.seal,
        "taken_at": manifest.taken_at.isoformat(),
        "schema": manifest.schema,
        "audit_rows": manifest.audit_rows,
        "resume": resume,
        "rows": {name: table.rows for name, table in manifest.tables.items()},
    }
    entry = {
        "actor": by.name,
        "origin": by.origin or None,
        "reason": by.reason,
        "after": after,
    }
    text = json.dumps(entry).encode().hex()

    return STATEMENTS["note_restore"].replace("the_entry", text)
