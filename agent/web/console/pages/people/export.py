"""`/people/<id>/export`: all that is kept of a person, as a file for them."""

from __future__ import annotations

from starlette.responses import Response

from agent.web.console.page import PageContext
from agent.web.console.pages.people.one import people_admin, person_of
from agent.web.exports import ExportResponse
from storage.lifecycle.export.making import BROWSER
from storage.lifecycle.export.package import JSON, TEXT


async def show(context: PageContext) -> Response:
    """The form is on the person's page: a link alone must hand out nothing."""
    return context.redirect(f"/people/{person_of(context)}")


async def act(context: PageContext) -> Response:
    person = person_of(context)
    admin = people_admin(context.services)
    file = await admin.export(str(person), context.author(), BROWSER)

    if context.form["as"] == "text":
        return ExportResponse(file, TEXT, "text/plain")

    return ExportResponse(file, JSON, "application/json")
