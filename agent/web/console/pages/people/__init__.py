"""People: who talks to the agent, what holds for them, a copy for them, forgetting them."""

from __future__ import annotations

from agent.control.permissions import Permission
from agent.web.console.page import Page
from agent.web.console.pages.people import change, erasures, export, listing, one

SEE, CHANGE, MANAGE = Permission.SEE, Permission.CHANGE, Permission.MANAGE

PAGES = (
    Page("/people", "People", SEE, listing.show, in_menu=True),
    Page("/people/erasures", "Erasures", SEE, erasures.show_all),
    Page("/people/erasures/{id}", "Erasure", SEE, erasures.show_one),
    Page("/people/{id}", "Person", SEE, one.show, change.act, CHANGE),
    Page("/people/{id}/export", "Export", MANAGE, export.show, export.act, MANAGE),
    Page("/people/{id}/erase", "Erase", MANAGE, erasures.show, erasures.act, MANAGE),
)
