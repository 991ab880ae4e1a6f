"""`/limits/person?person=…`: how often one person may speak, on all their accounts."""

from __future__ import annotations

from collections.abc import (
    Awaitable,
    Callable,
    Mapping,
    Sequence,
)
from urllib.parse import urlencode

from starlette.responses import Response

from agent.core.errors import (
    Conflict,
    Rejected,
    StoreUnavailable,
)
from agent.web.console.errors import (
    Stopped,
    described,
    not_found,
    status_of,
)
from agent.web.console.page import PageContext
from agent.web.console.pages.limits.listing import limit_admin
from storage.limits.limit_admin import (
    LimitChanged,
    LimitView,
)

NOBODY = "Say whose limit: an account as channel:id, or the id of a person."


async def show(
    context: PageContext,
) -> Response:
    return await _page(context)


async def act(
    context: PageContext,
) -> Response:
    make = _KINDS.get(context.form["do"])
    if make is None:
        raise Stopped(422, "The form does not say what to do. Load the page again.")

    await _found(context)
    try:
        told = await make(context)
    except (Rejected, Conflict, StoreUnavailable) as error:
        return await _page(
            context,
            problem=described(error),
            status=status_of(error),
        )

    return context.redirect(_path(context), told)


async def _page(
    context: PageContext,
    *,
    problem: str = "",
    status: int = 200,
) -> Response:
    views = await _found(context)

    return context.render(
        "limits/person.html",
        status,
        person=context.query["person"],
        path=_path(context),
        views=views,
        is_own=any(not view.default for view in views),
        version=max((view.version or 0 for view in views), default=0),
        typed=context.form,
        problem=problem,
    )


async def _found(
    context: PageContext,
) -> Sequence[LimitView]:
    """Raises Stopped for somebody nobody knows."""
    person = context.query["person"]
    if not person:
        raise Stopped(404, NOBODY)

    with not_found():
        return await limit_admin(context.services).person(person)


def _path(
    context: PageContext,
) -> str:
    return f"/limits/person?{urlencode({'person': context.query['person']})}"


async def _set(
    context: PageContext,
) -> str:
    return _told(await _changed(context, context.form["limit"]))


async def _unset(
    context: PageContext,
) -> str:
    return _told(await _changed(context, None))


async def _changed(
    context: PageContext,
    wanted: str | None,
) -> LimitChanged:
    person, version = context.query["person"], context.form.number("version") or 0
    admin = limit_admin(context.services)

    return await admin.set(
        person,
        wanted,
        context.author(),
        expected=version,
    )


async def _reset(
    context: PageContext,
) -> str:
    person = context.query["person"]
    await limit_admin(context.services).reset(person, context.author())

    return "They may speak again at once."


def _told(
    made: LimitChanged,
) -> str:
    if made.before == made.after:
        return "It is so already."

    if made.after is None:
        return f"Taken back: {made.before} no longer holds, the channel's limit does."
    if made.before is None:
        return f"Set: {made.after}, instead of the channel's limit."

    return f"Set: {made.after}, instead of {made.before}."


_KINDS: Mapping[str, Callable[[PageContext], Awaitable[str]]] = {
    "set": _set,
    "unset": _unset,
    "reset": _reset,
}
