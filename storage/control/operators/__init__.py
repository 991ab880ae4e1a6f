"""Operators: who they are, how they sign in, and their sessions in the console."""

from __future__ import annotations

from storage.connecting.statements import read_statements

STATEMENTS = read_statements(__name__)
