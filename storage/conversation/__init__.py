"""Turns, answers and deliveries in Postgres; sessions and windows in Redis."""

from __future__ import annotations

from storage.connecting.statements import read_statements

STATEMENTS = read_statements(__name__)
