"""Channels: whether they listen, what is wrong with silent ones, and what is set for each."""

from __future__ import annotations

from agent.control.permissions import Permission
from agent.web.console.page import Page
from agent.web.console.pages.channels import (
    change,
    findings,
    listing,
    one,
)

SEE, CHANGE = Permission.SEE, Permission.CHANGE

PAGES = (
    Page(
        "/channels",
        "Channels",
        SEE,
        listing.show,
        in_menu=True,
    ),
    Page(
        "/channels/{name}",
        "Channel",
        SEE,
        one.show,
        change.act,
        CHANGE,
    ),
    Page(
        "/channels/{name}/findings",
        "What is wrong?",
        SEE,
        findings.show,
    ),
)
