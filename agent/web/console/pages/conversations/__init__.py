"""Conversations: find one, read it, follow it, and ask why an answer is as it is."""

from __future__ import annotations

from agent.control.permissions import Permission
from agent.web.console.page import Page
from agent.web.console.pages.conversations import change, listing, reading, why

PAGES = (
    Page(
        "/conversations", "Conversations", Permission.SEE, listing.show, in_menu=True
    ),
    Page(
        "/conversations/{id}",
        "Conversation",
        Permission.SEE,
        reading.show,
        change.act,
        Permission.CHANGE,
    ),
    Page("/conversations/{id}/{seq}", "Message", Permission.SEE, why.show),
)
