"""What an operator gets besides being one: a role, and a link to set a password."""

from __future__ import annotations

from msgspec import Struct

from agent.control.permissions import Role
from agent.core.errors import Rejected
from storage.connecting.connection import Connection
from storage.control.changes import Change
from storage.control.operators import STATEMENTS
from storage.control.operators.invitations import add_invitation


class Given(Struct, frozen=True):
    """What is given with a registration."""

    role: Role | None = None
    link: bool = False

    async def give(
        self,
        connection: Connection,
        name: str,
    ) -> Got:
        """Raises Rejected when no admin is left. The log is written afterwards: nothing may
        be locked after it.
        """
        before = None
        if self.role is not None:
            values = {"name": name, "role": self.role.value}
            before = await connection.scalar(STATEMENTS["give_role"], values)
        await _keep_an_admin(connection)

        link = None
        if self.link:
            link = await add_invitation(connection, name, "password")

        changed = before not in (None, self.role)

        return Got(before if changed else None, self.role, link)


class Got(Struct, frozen=True):
    """What was another before."""

    before: str | None
    """The role; None: it is as it was."""
    role: Role | None
    link: str | None
    """A link's token."""

    async def record(
        self,
        change: Change,
        name: str,
    ) -> None:
        subject = f"operator:{name}"
        if self.before is not None:
            before, after = {"role": self.before}, {"role": self.role}
            await change.record("operator.role", subject, before=before, after=after)
        if self.link is not None:
            await change.record("operator.link", subject, before=None, after=None)


async def _keep_an_admin(connection: Connection) -> None:
    """Raises Rejected when operators would be left of whom nobody is an admin."""
    if await connection.scalar(STATEMENTS["lacks_admin"]):
        raise Rejected(
            "Then no admin is left, and nobody could change operators any more. Make "
            "another operator an admin first."
        )
