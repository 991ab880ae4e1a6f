"""How a store is reached: its URL, its errors, and what it must bring."""

from __future__ import annotations

from storage.connecting.statements import read_statements

STATEMENTS = read_statements(__name__)
