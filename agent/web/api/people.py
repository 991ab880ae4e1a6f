"""`/people`: who talks to the agent, what is kept of them, blocking and forgetting them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import Query
from pydantic import BaseModel, Field
from starlette.responses import Response

from agent.control.permissions import Permission
from agent.web.api.protocol.caller import Asking, Caller
from agent.web.api.protocol.paging import (
    Page,
    Paging,
    Text,
    Why,
    moment_of,
    page,
    uuid_of,
)
from agent.web.api.protocol.problems import Problem, finding
from agent.web.api.protocol.routing import CONFLICT, MISSING, needs, routes
from agent.web.exports import ExportResponse
from storage.lifecycle.export.making import BROWSER
from storage.lifecycle.export.package import JSON
from storage.lifecycle.jobs import ErasureView
from storage.lifecycle.people import PeopleAdmin, PersonView
from storage.people.blocking import BlockAdmin, BlockView

router = routes("people")


class PersonInList(BaseModel):
    """A person; their messages are counted on request."""

    id: UUID
    accounts: str = Field(description="As channel:id (name), with commas.")
    since: datetime
    consent: bool = Field(description="To training.")


class PersonOut(PersonInList):
    """A person."""

    messages: int
    blocked: list[str] = Field(description="Accounts that may not talk to the agent.")


class BlockOut(BaseModel):
    """A person's accounts after a change."""

    accounts: list[str]
    blocked: list[str]


class EraseIn(Why):
    """There is no way back, so it is said twice."""

    erase: UUID = Field(
        strict=False, description="The person's id once more: there is no way back."
    )


class ErasureOut(BaseModel):
    """An erasure, which instances go on with. It names nobody."""

    id: UUID
    step: str
    requested_by: str
    requested_at: datetime
    finished_at: datetime | None
    messages: int


@router.get("/people")
@needs(Permission.SEE)
async def list_people(
    caller: Asking,
    asked: Annotated[Paging, Query()],
) -> Page[PersonInList]:
    """The newest first."""
    after = asked.after(moment_of, uuid_of)
    last = None if after is None else (after[0], after[1])
    rows = await _admin(caller).list(asked.limit + 1, last)

    return page(rows, asked, lambda row: (row.since.isoformat(), row.id), _in_list)


@router.get("/people/{person}", responses=MISSING)
@needs(Permission.SEE)
async def get_person(caller: Asking, person: Text) -> PersonOut:
    """`person`: an account as channel:id, or the person's id."""
    async with finding():
        view = await _admin(caller).show(person)
        block = await _blocks(caller).show(person)

    return PersonOut(
        **_in_list(view).model_dump(),
        messages=view.messages,
        blocked=[*block.blocked],
    )


@router.post("/people/{person}/block", responses=MISSING)
@needs(Permission.CHANGE)
async def block(caller: Asking, person: Text, sent: Why) -> BlockOut:
    """From now on the agent passes over what they write, on all their accounts."""
    return await _block(caller, person, sent.reason, blocked=True)


@router.post("/people/{person}/unblock", responses=MISSING)
@needs(Permission.CHANGE)
async def unblock(caller: Asking, person: Text, sent: Why) -> BlockOut:
    return await _block(caller, person, sent.reason, blocked=False)


@router.get(
    "/people/{person}/export", responses=MISSING, response_model=dict[str, Any]
)
@needs(Permission.MANAGE)
async def export(caller: Asking, person: Text) -> Response:
    """All that is kept of them, their words included. It leaves an audit row.

    One is made at a time: 429 asks to try again.
    """
    async with finding():
        await _admin(caller).show(person)

    file = await _admin(caller).export(person, caller.author(), BROWSER)

    return ExportResponse(file, JSON, "application/json")


@router.post("/people/{person}/erase", status_code=202, responses=MISSING | CONFLICT)
@needs(Permission.MANAGE)
async def erase(caller: Asking, person: Text, sent: EraseIn) -> ErasureOut:
    """Begins to forget them, for good; `/erasures` says how far it is."""
    admin = _admin(caller)
    async with finding():
        view = await admin.show(person)
    if view.id != sent.erase:
        raise Problem(409, OTHER)
    made = await admin.erase(person, caller.author(sent.reason))

    return next(_erasure(one) for one in await admin.erasures() if one.id == made)


@router.get("/erasures")
@needs(Permission.SEE)
async def list_erasures(
    caller: Asking,
    asked: Annotated[Paging, Query()],
) -> Page[ErasureOut]:
    """Those under way and those that are done, the newest first."""
    last = asked.after(uuid_of)
    views = sorted(await _admin(caller).erasures(), key=_id, reverse=True)
    rest = [view for view in views if last is None or view.id < last[0]]

    return page(rest, asked, lambda view: (view.id,), _erasure)


OTHER = "`erase` is the id of another person. Nothing was erased."


def _id(view: ErasureView) -> UUID:
    return view.id


def _admin(caller: Caller) -> PeopleAdmin:
    return PeopleAdmin(caller.services.stores.database)


def _blocks(caller: Caller) -> BlockAdmin:
    stores = caller.services.stores

    return BlockAdmin(stores.database, stores.pipe)


async def _block(
    caller: Caller,
    person: str,
    reason: str | None,
    *,
    blocked: bool,
) -> BlockOut:
    author = caller.author(reason)
    async with finding():
        await _blocks(caller).show(person)

    return _shown(await _blocks(caller).set(person, author, blocked=blocked))


def _shown(view: BlockView) -> BlockOut:
    return BlockOut(accounts=[*view.accounts], blocked=[*view.blocked])


def _in_list(view: PersonView) -> PersonInList:
    return PersonInList.model_validate(view, from_attributes=True)


def _erasure(view: ErasureView) -> ErasureOut:
    return ErasureOut.model_validate(view, from_attributes=True)
