"""The statements of this room; `storage.migrate` hands them out."""

from __future__ import annotations

from storage.connecting.statements import read_statements

STATEMENTS = read_statements("storage.migrate")
