"""`/channels`: what the agent is on each channel. Credentials are set on the server alone."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Query, Response
from pydantic import BaseModel, Field

from agent.control.permissions import Permission
from agent.core.words.model_lists import ListsModels
from agent.web.api.protocol.caller import Asking, Caller
from agent.web.api.protocol.paging import (
    Page,
    Paging,
    Reason,
    Sent,
    Text,
    page_of_all,
    text,
)
from agent.web.api.protocol.problems import finding
from agent.web.api.protocol.routing import CHANGES, MISSING, TAGGED, needs, routes
from agent.web.api.protocol.versions import Expected, tag
from storage.control.channels import ChannelAdmin, ChannelView

router = routes("channels")


class ChannelOut(BaseModel):
    """A channel and its settings, defaults included."""

    name: str
    settings: dict[str, Any]
    has_credentials: bool
    version: int = Field(description="Of its last change; 0: never changed.")


class ChannelIn(Sent):
    """Settings to change."""

    settings: Annotated[
        dict[str, Annotated[str, Field(max_length=300_000)] | list[Text] | None],
        Field(
            min_length=1,
            max_length=50,
            description="As a person writes them, lists as lists; null: the default.",
        ),
    ]
    force: bool = Field(default=False, description="Also a model nobody lists.")
    reason: Reason = None


@router.get("/channels")
@needs(Permission.SEE)
async def list_channels(
    caller: Asking,
    asked: Annotated[Paging, Query()],
) -> Page[ChannelOut]:
    views = await admin_of(caller).list()

    return page_of_all(views, asked, lambda view: (view.name,), _shown, text)


@router.get("/channels/{name}", responses=MISSING | TAGGED)
@needs(Permission.SEE)
async def get_channel(caller: Asking, name: Text, response: Response) -> ChannelOut:
    async with finding():
        view = await admin_of(caller).get(name)

    return _tagged(view, response)


@router.patch("/channels/{name}", responses=MISSING | CHANGES | TAGGED)
@needs(Permission.CHANGE)
async def set_channel(
    caller: Asking, name: Text, sent: ChannelIn, version: Expected, response: Response
) -> ChannelOut:
    """Changes the named settings; the others stay. In force within a second."""
    admin = admin_of(caller)
    async with finding():
        await admin.get(name)
    changes = {
        setting: ",".join(value) if isinstance(value, list) else value
        for setting, value in sent.settings.items()
    }
    if not sent.force:
        await admin.find_models(changes)
    author = caller.author(sent.reason)
    _, view = await admin.set(name, changes, author, expected=version)

    return _tagged(view, response)


def admin_of(caller: Caller) -> ChannelAdmin:
    services = caller.services
    stores, models = services.stores, services.models
    lists = models if isinstance(models, ListsModels) else None

    return ChannelAdmin(stores.database, stores.pipe, models.check, lists)


def _tagged(
    view: ChannelView,
    response: Response,
) -> ChannelOut:
    tag(response, view.version)

    return _shown(view)


def _shown(view: ChannelView) -> ChannelOut:
    return ChannelOut(
        name=view.name,
        settings=view.form.model_dump(mode="json"),
        has_credentials=view.has_credentials,
        version=view.version,
    )
