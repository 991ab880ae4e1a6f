"""Flags: what is set, for whom, why, and since when."""

from __future__ import annotations

from agent.control.permissions import Permission
from agent.web.console.page import Page
from agent.web.console.pages.flags import change, seen

PAGES = (
    Page("/flags", "Flags", Permission.SEE, seen.show_all, in_menu=True),
    Page(
        "/flags/{name}",
        "Flag",
        Permission.SEE,
        seen.show_one,
        change.act,
        Permission.CHANGE,
    ),
)
