"""`/channels/<name>`: its state on each instance, and a form with all that can be set."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from msgspec import Struct
from starlette.responses import Response

from agent.web.console.errors import (
    not_found,
)
from agent.web.console.page import (
    Fields,
    PageContext,
)
from agent.web.console.pages.channels.listing import (
    admin_of,
    channel_row,
)
from agent.web.console.pages.channels.places import places_of
from storage.control.audit import list_entries
from storage.control.changes import difference
from storage.control.channel_settings import (
    OVERLAPS,
    ChannelForm,
    shown_setting,
)
from storage.control.channels import (
    CREDENTIALS,
    ChannelView,
)

HISTORY = 20

LONG = frozenset({"system_prompt", "greeting", "allow", "deny"})
"""Settings with a field of several lines."""


class Setting(Struct, frozen=True):
    """A field of the form."""

    name: str
    meaning: str
    value: str
    """As it is, in the words of the form."""
    typed: str
    """What the field shows: after a refusal, what was typed."""
    is_long: bool
    choices: tuple[str, ...] = ()


async def show(
    context: PageContext,
) -> Response:
    return await one(context)


async def one(
    context: PageContext,
    *,
    problem: str = "",
    status: int = 200,
) -> Response:
    """The page; after a refusal with what was typed, so that it can be mended."""
    services = context.services
    view = await found(context)
    row = await channel_row(
        services,
        view,
        await places_of(services),
    )
    history = await list_entries(
        services.stores.database, subject=f"channel:{view.name}", limit=HISTORY
    )

    return context.render(
        "channels/one.html",
        status,
        view=view,
        row=row,
        is_silent=any(place.state == "silent" for place in row.places),
        is_here=any(place.is_here for place in row.places),
        settings=[*_settings(view.form, context.form)],
        credentials=CREDENTIALS.get(view.name, ()),
        history=[(each, difference(each.before, each.after)) for each in history],
        typed=context.form,
        problem=problem,
    )


async def found(
    context: PageContext,
) -> ChannelView:
    """Raises Stopped when there is none of this name."""
    with not_found():
        return await admin_of(context.services).get(context.address["name"])


def _settings(
    form: ChannelForm,
    typed: Fields,
) -> Iterator[Setting]:
    values = shown_settings(form)
    edits = edited(typed)
    for name, field in type(form).model_fields.items():
        yield Setting(
            name,
            field.description or "",
            values[name],
            edits.get(name, values[name]),
            name in LONG,
            OVERLAPS if name == "overlap" else (),
        )


def shown_settings(
    form: ChannelForm,
) -> dict[str, str]:
    """Each as a person writes it; "": not set."""
    values: dict[str, Any] = form.model_dump(mode="json")

    return {name: shown_setting(value) for name, value in values.items()}


def edited(
    typed: Fields,
) -> dict[str, str]:
    """What the operator changed of what the form showed. A field that somebody else changed
    meanwhile is not among them, nor is one that the form did not have.
    """
    names = [name for name, _ in typed.items()]

    return {
        name: typed.raw(name)
        for name in ChannelForm.model_fields
        if name in names and typed.raw(name) != typed.raw(f"was.{name}")
    }
