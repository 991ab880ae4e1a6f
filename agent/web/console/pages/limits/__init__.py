"""Budgets and limits: what people and channels may use up, and how often they may speak."""

from __future__ import annotations

from agent.control.permissions import Permission
from agent.web.console.page import Page
from agent.web.console.pages.limits import (
    budget,
    listing,
    person,
)

SEE, CHANGE = Permission.SEE, Permission.CHANGE

PAGES = (
    Page(
        "/limits",
        "Budgets and limits",
        SEE,
        listing.show,
        in_menu=True,
    ),
    Page(
        "/limits/budget",
        "Budget",
        SEE,
        budget.show,
        budget.act,
        CHANGE,
    ),
    Page(
        "/limits/person",
        "Limit",
        SEE,
        person.show,
        person.act,
        CHANGE,
    ),
)
