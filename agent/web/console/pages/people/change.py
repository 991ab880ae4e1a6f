"""`/people/<id>`: blocking and unblocking, on all accounts of the person."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.responses import Response

from agent.core.errors import Conflict, Rejected
from agent.web.console.errors import Stopped, described, status_of
from agent.web.console.page import PageContext
from agent.web.console.pages.people.one import (
    AccountRow,
    account_rows,
    channel_admin,
    person_of,
    render,
)

BLOCKED = "Blocked: the agent no longer hears this person."
UNBLOCKED = "No longer blocked."
NOWHERE = "The channels of this person are no more, so there is nothing to do."


async def act(context: PageContext) -> Response:
    """On each channel of the person by the list `deny`, as `agent channels set` does it."""
    wanted = context.form["do"]
    if wanted not in ("block", "unblock"):
        raise Stopped(422, "The form does not say what to do. Load the page again.")

    every = await account_rows(context.services, person_of(context))
    rows = [row for row in every if row.version is not None]
    if not rows:
        raise Stopped(422, NOWHERE)

    try:
        _check(context, rows)
        for channel in sorted({row.account.channel for row in rows}):
            here = [row for row in rows if row.account.channel == channel]
            await _move(context, channel, here, block=wanted == "block")
    except (Rejected, Conflict) as error:
        return await render(
            context, problem=described(error), status=status_of(error)
        )

    path = f"/people/{person_of(context)}"

    return context.redirect(path, BLOCKED if wanted == "block" else UNBLOCKED)


def _check(
    context: PageContext,
    rows: Sequence[AccountRow],
) -> None:
    """All channels before any is changed. Raises Conflict for a form that is stale."""
    seen = {row.account.channel: row.version for row in rows}
    for channel, version in seen.items():
        if context.form.number(f"version.{channel}") != version:
            raise Conflict(
                f"The settings of {channel} were changed meanwhile; nothing was done. "
                "Look at the person as they are now, and say again."
            )


async def _move(
    context: PageContext,
    channel: str,
    rows: Sequence[AccountRow],
    *,
    block: bool,
) -> None:
    admin = channel_admin(context.services)
    denied = (await admin.get(channel)).form.deny
    own = [row.account.account for row in rows]
    others = [one for one in denied if one not in own]
    changes = {"deny": ",".join([*others, *own] if block else others)}

    await admin.set(channel, changes, context.author(), expected=rows[0].version)
