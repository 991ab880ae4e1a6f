"""`/channels/<name>`: changing settings, to the version that the form shows."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from urllib.parse import quote

from starlette.responses import Response

from agent.core.errors import (
    Conflict,
    Rejected,
)
from agent.web.console.confirming import unconfirmed
from agent.web.console.errors import (
    described,
    status_of,
)
from agent.web.console.page import PageContext
from agent.web.console.pages.channels.listing import admin_of
from agent.web.console.pages.channels.one import (
    edited,
    found,
    one,
    shown_settings,
)
from storage.control.channel_settings import set_question
from storage.control.channels import ChannelView


async def act(
    context: PageContext,
) -> Response:
    """An emptied field takes a setting back to its default."""
    name = context.address["name"]
    await found(context)
    path = f"/channels/{quote(name)}"
    changes = {key: text or None for key, text in edited(context.form).items()}
    if not changes:
        return context.redirect(path, "Nothing was changed.")

    try:
        if not context.form["force"]:
            await admin_of(context.services).find_models(changes)
        make = partial(_set, context, name, changes)
        if question := await unconfirmed(
            context,
            set_question(name, changes),
            path,
            make,
        ):
            return question
        before, after = await make()
    except (Rejected, Conflict) as error:
        return await one(
            context,
            problem=described(error),
            status=status_of(error),
        )

    return context.redirect(path, _told(before, after))


async def _set(
    context: PageContext,
    name: str,
    changes: Mapping[str, str | None],
) -> tuple[ChannelView, ChannelView]:
    version = context.form.number("version") or 0

    return await admin_of(context.services).set(
        name, changes, context.author(), expected=version
    )


def _told(
    before: ChannelView,
    after: ChannelView,
) -> str:
    old, new = shown_settings(before.form), shown_settings(after.form)
    changed = [name for name, value in new.items() if old[name] != value]
    if not changed:
        return f"{after.name} is so already."

    return f"{after.name}: {', '.join(changed)} changed; in force within a second."
