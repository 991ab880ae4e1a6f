"""Flags, experiments, channel settings, operators and the audit log."""

from __future__ import annotations

from storage.connecting.statements import read_statements

STATEMENTS = read_statements(__name__)
