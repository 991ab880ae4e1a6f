"""What concerns many is asked first: the same form once more, with the question agreed to."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.responses import Response

from agent.web.console.page import PageContext
from storage.control.changes import rehearse

EVERYBODY = "Yes, for everybody"
BACK = "back"
"""The field of a form that leads back to where it was filled in."""
ANSWERS = ("agreed", BACK)


async def unconfirmed(
    context: PageContext,
    question: str | None,
    path: str,
    make: Callable[[], Awaitable[object]],
    yes: str = EVERYBODY,
) -> Response | None:
    """The question as a page; None: there is none, or it was agreed to.

    Nobody is asked about what is not possible: `make`, the change, is tried first and taken
    back, and its errors are raised. `path`: where the form goes, and where "no" leads.
    """
    if question is None or context.form["agreed"] == question:
        return None

    await rehearse(make)
    kept = [(name, one) for name, one in context.form.items() if name not in ANSWERS]

    return context.render(
        "confirm.html", question=question, fields=kept, path=path, yes=yes
    )
