"""`/people`: the newest first, and finding somebody by a name or an id."""

from __future__ import annotations

from urllib.parse import urlencode
from uuid import UUID

from starlette.responses import Response

from agent.web.console.errors import Stopped
from agent.web.console.page import PageContext
from storage.people.listing import find_person, list_people


async def show(context: PageContext) -> Response:
    """An account or an id leads straight to the person."""
    words = context.query["q"]
    database = context.services.stores.database
    is_exact = ":" in words or _is_id(words)
    person = await find_person(database, words) if is_exact else None
    if person is not None:
        return context.redirect(f"/people/{person}")

    before = _before(context.query["before"])
    page = await list_people(database, words=words, before=before)

    return context.render(
        "people/list.html", people=page, q=words, older=_older(words, page.next)
    )


def _is_id(words: str) -> bool:
    try:
        UUID(words)
    except ValueError:
        return False

    return True


def _before(typed: str) -> UUID | None:
    if not typed:
        return None
    if not _is_id(typed):
        raise Stopped(404, "This page does not exist.")

    return UUID(typed)


def _older(
    words: str,
    last: UUID | None,
) -> str:
    """The address of the next page; empty: this is the last."""
    if last is None:
        return ""

    kept = [("q", words)] if words else []

    return f"/people?{urlencode([*kept, ('before', str(last))])}"
