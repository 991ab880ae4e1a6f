"""`agent operators …`: those who may change what the agent does, and tokens of their programs."""

from __future__ import annotations

from agent.cli.control.operators.commands import app

__all__ = ["app"]
