"""The statements of this room; `storage.migrate` hands them out."""

from __future__ import annotations

from storage.statements import read_statements

STATEMENTS = read_statements("storage.migrate")
