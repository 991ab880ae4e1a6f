"""The pages: one table, from which the menu is built. Each room of pages adds its rows here."""

from __future__ import annotations

from agent.web.console.page import Page
from agent.web.console.pages import flags, home, tokens

PAGES: tuple[Page, ...] = (
    *home.PAGES,
    *flags.PAGES,
    *tokens.PAGES,
)
"""In the order of the menu."""
