"""Log lines on standard error. No secret gets through."""

from __future__ import annotations

from agent.logs.lines import (
    ANNOUNCEMENTS,
    OURS,
    announce,
    configure_logging,
    hide,
    secrets_of,
)

__all__ = [
    "ANNOUNCEMENTS",
    "OURS",
    "announce",
    "configure_logging",
    "hide",
    "secrets_of",
]
