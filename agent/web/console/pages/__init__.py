"""The pages: one table, from which the menu is built. Each room of pages adds its rows here."""

from __future__ import annotations

from agent.web.console.page import Page
from agent.web.console.pages import (
    account,
    audit,
    channels,
    conversations,
    experiments,
    flags,
    home,
    limits,
    models,
    people,
    playground,
    system,
    tokens,
    usage,
)

PAGES: tuple[Page, ...] = (
    *home.PAGES,
    *flags.PAGES,
    *experiments.PAGES,
    *conversations.PAGES,
    *people.PAGES,
    *channels.PAGES,
    *models.PAGES,
    *limits.PAGES,
    *usage.PAGES,
    *playground.PAGES,
    *system.PAGES,
    *audit.PAGES,
    *tokens.PAGES,
    *account.PAGES,
)
"""In the order of the menu."""
