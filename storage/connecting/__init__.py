"""How a store is reached: its URL, its errors, and what it must bring."""

from __future__ import annotations

from storage.statements import read_statements

STATEMENTS = read_statements(__name__)
