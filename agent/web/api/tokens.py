"""`/me` and `/tokens`: what the caller's token is, and ending tokens.

None is made here: a token that was stolen must not outlive itself.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import Query
from pydantic import BaseModel, Field

from agent.control.permissions import Permission, Role, Scope
from agent.web.api.protocol.caller import Asking
from agent.web.api.protocol.paging import Page, Paging, page, uuid_of
from agent.web.api.protocol.problems import Problem
from agent.web.api.protocol.routing import MISSING, needs, routes
from storage.control.operators.api_tokens import NONE, ApiTokens, TokenView

router = routes("tokens")


class MeOut(BaseModel):
    """The token that was sent."""

    token: UUID
    label: str
    operator: str
    scope: Scope
    role: Role = Field(description="What it may: never more than its operator.")
    ends_at: datetime


class TokenOut(BaseModel):
    """A token; never the token itself."""

    id: UUID
    operator: str
    label: str
    scope: Scope
    created_at: datetime
    used_at: datetime | None
    ends_at: datetime
    revoked_at: datetime | None


@router.get("/me")
@needs(Permission.SEE)
async def me(caller: Asking) -> MeOut:
    holder = caller.holder

    return MeOut(
        token=holder.id,
        label=holder.label,
        operator=holder.operator,
        scope=holder.scope,
        role=holder.role,
        ends_at=holder.ends_at,
    )


@router.get("/tokens")
@needs(Permission.SEE)
async def list_tokens(
    caller: Asking,
    asked: Annotated[Paging, Query()],
) -> Page[TokenOut]:
    """The operator's own; with the permission to manage, everybody's."""
    last = asked.after(uuid_of)
    views = [
        view for view in await _visible(caller) if last is None or view.id < last[0]
    ]

    return page(views, asked, lambda view: (view.id,), _token)


@router.delete("/tokens/{token}", status_code=204, responses=MISSING)
@needs(Permission.SEE)
async def revoke_token(caller: Asking, token: UUID) -> None:
    """From now on it is good for nothing, on every instance."""
    if token not in {view.id for view in await _visible(caller)}:
        raise Problem(404, NONE)

    await _tokens(caller).revoke(token, caller.author())


async def _visible(caller: Asking) -> list[TokenView]:
    """The newest first."""
    manages = caller.may(Permission.MANAGE)

    return [*await _tokens(caller).list(None if manages else caller.holder.operator)]


def _tokens(caller: Asking) -> ApiTokens:
    return ApiTokens(caller.services.stores.database)


def _token(view: TokenView) -> TokenOut:
    return TokenOut(
        id=view.id,
        operator=view.operator,
        label=view.label,
        scope=view.scope,
        created_at=view.created_at,
        used_at=view.used_at,
        ends_at=view.ends_at,
        revoked_at=view.revoked_at,
    )
