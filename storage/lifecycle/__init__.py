"""How long things are kept, what a person is handed over, and how a person is forgotten."""

from __future__ import annotations

from storage.connecting.statements import read_statements

STATEMENTS = read_statements(__name__)
