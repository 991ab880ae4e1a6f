"""What is kept of a person, as they read it."""

from __future__ import annotations

from uuid import UUID

from storage.lifecycle.export.making import WHOLE, exported
from storage.lifecycle.export.package import JSON, TEXT, Bound, ExportFile
from storage.postgres import Database


async def export_of(
    database: Database, person: UUID, bound: Bound = WHOLE
) -> tuple[str, str]:
    """As JSON and as text."""
    with await exported(database, person, bound) as file:
        return content(file, JSON), content(file, TEXT)


def content(file: ExportFile, name: str) -> str:
    return b"".join(file.chunks(name)).decode()
