"""`/people/<id>`: blocking and unblocking, on all accounts of the person."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.responses import Response

from agent.core.errors import Conflict, Rejected
from agent.web.console.errors import Stopped, described, status_of
from agent.web.console.page import Fields, PageContext
from agent.web.console.pages.people.one import account_rows, person_of, render
from storage.people.blocking import UNSEEN, BlockAdmin

BLOCKED = "Blocked: the agent no longer hears this person."
UNBLOCKED = "No longer blocked."
VERSION = "version."


async def act(context: PageContext) -> Response:
    """On each channel of the person by the list `deny`, as `agent people block` does it."""
    wanted = context.form["do"]
    if wanted not in ("block", "unblock"):
        raise Stopped(422, "The form does not say what to do. Load the page again.")

    person, stores = person_of(context), context.services.stores
    await account_rows(context.services, person)
    try:
        await BlockAdmin(stores.database, stores.pipe).set(
            str(person),
            context.author(),
            blocked=wanted == "block",
            expected=_versions(context.form),
        )
    except (Rejected, Conflict) as error:
        return await render(
            context, problem=described(error), status=status_of(error)
        )

    told = BLOCKED if wanted == "block" else UNBLOCKED

    return context.redirect(f"/people/{person}", told)


def _versions(form: Fields) -> Mapping[str, int]:
    """Of the channels that the form showed."""
    names = [name for name, _ in form.items() if name.startswith(VERSION)]
    numbers = {name.removeprefix(VERSION): form.number(name) for name in names}

    return {
        name: UNSEEN if number is None else number for name, number in numbers.items()
    }
