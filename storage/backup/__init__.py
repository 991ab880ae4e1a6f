"""Backups: one consistent copy of the database in a folder, checked, and brought back."""

from __future__ import annotations

from storage.connecting.statements import read_statements

STATEMENTS = read_statements(__name__)
