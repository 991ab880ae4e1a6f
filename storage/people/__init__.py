"""Accounts of people, and how they are linked."""

from __future__ import annotations

from storage.statements import read_statements

STATEMENTS = read_statements(__name__)
