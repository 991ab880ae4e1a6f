"""`/audit`: who changed what, and whether the log is whole."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlencode

from msgspec import Struct
from starlette.responses import Response

from agent.control.permissions import Permission
from agent.web.console.page import Page, PageContext
from storage.control.audit import ChainVerdict, Entry, list_entries, verify
from storage.control.changes import difference

AT_ONCE = 50


class AuditRow(Struct, frozen=True):
    """An entry, with its change in one line."""

    entry: Entry
    changed: str


async def show(context: PageContext) -> Response:
    return await _page(context)


async def check(context: PageContext) -> Response:
    """Computes the chain again. It changes nothing, so the answer is the page itself."""
    noted = context.form["head"] or None
    verdict = await verify(context.services.stores.database, noted)

    return await _page(context, verdict)


PAGES = (Page("/audit", "Audit", Permission.SEE, show, check, in_menu=True),)


async def _page(
    context: PageContext,
    verdict: ChainVerdict | None = None,
) -> Response:
    query = context.query
    found = await list_entries(
        context.services.stores.database,
        subject=query["subject"] or None,
        actor=query["actor"] or None,
        before=query.number("older"),
        limit=AT_ONCE + 1,
    )
    rows = [AuditRow(one, difference(one.before, one.after)) for one in found]

    return context.render(
        "audit.html",
        rows=rows[:AT_ONCE],
        older=_older(context, found),
        asked=query,
        verdict=verdict,
    )


def _older(context: PageContext, found: Sequence[Entry]) -> str:
    """Where the next rows are; empty: there are none."""
    if len(found) <= AT_ONCE:
        return ""

    query = context.query
    asked = {name: query[name] for name in ("subject", "actor") if query[name]}

    return "/audit?" + urlencode({**asked, "older": found[AT_ONCE - 1].id})
