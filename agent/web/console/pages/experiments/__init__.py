"""Experiments: drafted, started, reported while they run, stopped, and shipped."""

from __future__ import annotations

from agent.control.permissions import Permission
from agent.web.console.page import Page
from agent.web.console.pages.experiments import (
    change,
    create,
    one,
    report,
)

SEE, CHANGE = Permission.SEE, Permission.CHANGE

PAGES = (
    Page(
        "/experiments",
        "Experiments",
        SEE,
        create.show,
        create.act,
        CHANGE,
        in_menu=True,
    ),
    Page(
        "/experiments/{name}",
        "Experiment",
        SEE,
        one.show,
        change.act,
        CHANGE,
    ),
    Page(
        "/experiments/{name}/report",
        "Report",
        SEE,
        report.show,
    ),
)
