"""Who asks: a program with a token, in the name of an operator."""

from __future__ import annotations

from typing import Annotated, cast

from fastapi import Depends
from msgspec import Struct
from starlette.requests import Request

from agent.control.permissions import Permission, may, refusal
from agent.web.api.protocol.problems import Problem
from agent.web.console.services import Services
from storage.control.audit import Author
from storage.control.operators.api_tokens import Holder


class Caller(Struct, frozen=True):
    """A request whose token is good."""

    holder: Holder
    services: Services
    address: str

    def may(
        self,
        permission: Permission,
    ) -> bool:
        return may(self.holder.role, permission)

    def check(
        self,
        permission: Permission,
    ) -> None:
        """Raises Problem, with the roles that may."""
        if not self.may(permission):
            name = f"The token {self.holder.label} of {self.holder.operator}"
            raise Problem(403, refusal(name, self.holder.role, permission))

    def author(
        self,
        reason: str | None = None,
    ) -> Author:
        """The author of a change for the audit log. Raises Rejected for an odd reason."""
        origin = f"API token {self.holder.label} from {self.address}"

        return Author(self.holder.operator, origin, reason)


def caller_of(request: Request) -> Caller:
    return cast(Caller, request.scope["state"]["caller"])


Asking = Annotated[Caller, Depends(caller_of)]
"""A parameter of each endpoint."""
