"""`/limits`: how often people may speak. Those of a channel are settings of the channel."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query, Response
from pydantic import BaseModel, Field

from agent.control.permissions import Permission
from agent.web.api.protocol.caller import Asking, Caller
from agent.web.api.protocol.paging import (
    Page,
    Paging,
    Reason,
    Sent,
    Text,
    Why,
    WhyRemoved,
    page_of_all,
    text,
)
from agent.web.api.protocol.problems import finding
from agent.web.api.protocol.routing import CHANGES, MISSING, TAGGED, needs, routes
from agent.web.api.protocol.versions import Expected, tag
from storage.limits.limit_admin import LimitAdmin, LimitView

router = routes("limits")

OF_PERSON = "/people/{person}/limit"


class LimitOut(BaseModel):
    """One limit as it holds."""

    scope: str = Field(description="user, chat or channel.")
    subject: str = Field(description="A channel, or an account as channel:id.")
    limit: str = Field(description="Such as 60/minute; off: none.")
    default: bool = Field(description="Nobody set it.")
    used: int | None = Field(description="Of an account's, now; null: not known.")


class OwnLimitOut(BaseModel):
    """What holds for each account of a person."""

    accounts: list[LimitOut]
    version: int


class LimitIn(Sent):
    """A limit of a person's own."""

    limit: Text = Field(description="20/minute, 5/10s; off: none.")
    reason: Reason = None


class LimitSetOut(BaseModel):
    """Before a change and after it; null: the channel's holds."""

    before: str | None
    after: str | None
    version: int


@router.get("/limits")
@needs(Permission.SEE)
async def list_limits(
    caller: Asking,
    asked: Annotated[Paging, Query()],
) -> Page[LimitOut]:
    """What holds on each channel, and for people with a limit of their own."""
    views = await _admin(caller).list()

    return page_of_all(
        views, asked, lambda view: (view.subject, view.scope), _shown, text, text
    )


@router.get(OF_PERSON, responses=MISSING | TAGGED)
@needs(Permission.SEE)
async def get_limit(caller: Asking, person: Text, response: Response) -> OwnLimitOut:
    """With how much of it is used now."""
    views = await _found(caller, person)
    version = max((view.version or 0 for view in views), default=0)
    tag(response, version)

    return OwnLimitOut(accounts=[_shown(view) for view in views], version=version)


@router.put(OF_PERSON, responses=MISSING | CHANGES | TAGGED)
@needs(Permission.CHANGE)
async def set_limit(
    caller: Asking, person: Text, sent: LimitIn, version: Expected, response: Response
) -> LimitSetOut:
    """On all accounts of the person."""
    await _found(caller, person)

    return await _set(caller, person, sent.limit, sent.reason, version, response)


@router.delete(OF_PERSON, responses=MISSING | CHANGES | TAGGED)
@needs(Permission.CHANGE)
async def remove_limit(
    caller: Asking,
    person: Text,
    sent: Annotated[WhyRemoved, Query()],
    version: Expected,
    response: Response,
) -> LimitSetOut:
    """The channel's holds again."""
    await _found(caller, person)

    return await _set(caller, person, None, sent.reason, version, response)


@router.post(OF_PERSON + "/reset", status_code=204, responses=MISSING)
@needs(Permission.CHANGE)
async def reset_limit(caller: Asking, person: Text, sent: Why) -> None:
    """The person may speak again at once."""
    await _found(caller, person)
    await _admin(caller).reset(person, caller.author(sent.reason))


async def _set(
    caller: Caller,
    person: str,
    wanted: str | None,
    reason: str | None,
    version: int | None,
    response: Response,
) -> LimitSetOut:
    author = caller.author(reason)
    made = await _admin(caller).set(person, wanted, author, expected=version)
    tag(response, made.version)

    return LimitSetOut(before=made.before, after=made.after, version=made.version)


def _admin(caller: Caller) -> LimitAdmin:
    stores = caller.services.stores

    return LimitAdmin(stores.database, stores.pipe)


async def _found(
    caller: Caller,
    person: str,
) -> list[LimitView]:
    async with finding():
        return [*await _admin(caller).person(person)]


def _shown(view: LimitView) -> LimitOut:
    return LimitOut(
        scope=view.scope,
        subject=view.subject,
        limit=str(view.limit),
        default=view.default,
        used=view.used,
    )
