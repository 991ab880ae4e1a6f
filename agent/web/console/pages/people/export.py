"""`/people/<id>/export`: all that is kept of a person, as a file for them."""

from __future__ import annotations

from starlette.responses import Response

from agent.web.console.page import PageContext
from agent.web.console.pages.people.one import people_admin, person_of
from storage.lifecycle.export import as_json, as_text


async def show(context: PageContext) -> Response:
    """The form is on the person's page: a link alone must hand out nothing."""
    return context.redirect(f"/people/{person_of(context)}")


async def act(context: PageContext) -> Response:
    person = person_of(context)
    admin = people_admin(context.services)
    found = await admin.export(str(person), context.author())

    if context.form["as"] == "text":
        return _file(as_text(found) + "\n", "export.txt", "text/plain")

    return _file(as_json(found), "export.json", "application/json")


def _file(
    content: str,
    name: str,
    kind: str,
) -> Response:
    """Downloaded, never shown: what people wrote would be part of the page."""
    headers = {"content-disposition": f'attachment; filename="{name}"'}

    return Response(content, 200, headers, f"{kind}; charset=utf-8")
