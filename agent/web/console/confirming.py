"""What concerns many is asked first: the same form once more, with the question agreed to."""

from __future__ import annotations

from starlette.responses import Response

from agent.web.console.page import PageContext

EVERYBODY = "Yes, for everybody"


def unconfirmed(
    context: PageContext,
    question: str | None,
    path: str,
    yes: str = EVERYBODY,
) -> Response | None:
    """The question as a page; None: there is none, or it was agreed to.

    `path`: where the form goes, and where "no" leads.
    """
    if question is None or context.form["agreed"] == question:
        return None

    kept = [(name, one) for name, one in context.form.items() if name != "agreed"]

    return context.render(
        "confirm.html", question=question, fields=kept, path=path, yes=yes
    )
