"""Figures that reports are made from."""

from __future__ import annotations

from storage.connecting.statements import read_statements

STATEMENTS = read_statements(__name__)
