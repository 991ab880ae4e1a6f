"""What operators do with people: find them, hand over what is kept of them, erase them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import text

from agent.control.permissions import Permission
from agent.core.errors import Rejected
from agent.core.remedies import Run
from storage.control import audit
from storage.control.audit import Author
from storage.control.changes import admit
from storage.control.targets import RuleTarget, audience_of
from storage.lifecycle import STATEMENTS, jobs
from storage.lifecycle.export import Export, export_person
from storage.lifecycle.jobs import ErasureView
from storage.postgres import Database
from storage.transaction import transaction


@dataclass(frozen=True, slots=True)
class PersonView:
    """A person as an operator sees them."""

    id: UUID
    accounts: str
    """As `channel:id (name)`, with commas."""
    since: datetime
    messages: int
    consent: bool
    """To training."""


class PeopleAdmin:
    """The operator's side of people. All of it raises StoreUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def show(self, named: str) -> PersonView:
        """One person. Raises Rejected when there is none."""
        async with transaction(self._database) as connection:
            person = (await audience_of(connection, RuleTarget(person=named))).person
            statement = text(STATEMENTS["one_person"])
            row = (await connection.execute(statement, {"person": person})).first()
            if row is None:
                raise Rejected("This person was erased meanwhile.")

            return PersonView(*row)

    async def erase(self, named: str, author: Author) -> UUID:
        """Begins an erasure, which every instance goes on with. Returns its id.

        Raises Rejected when there is no such person, or they are being erased already.
        """
        async with transaction(self._database) as connection:
            await admit(connection, author, Permission.MANAGE)
            person = (await audience_of(connection, RuleTarget(person=named))).person
            assert person is not None
            if await jobs.under_way(connection, person):
                raise Rejected(
                    "This person is being erased already.",
                    Run("people erasures", "shows how far it is"),
                )

            made = await jobs.begin(connection, person, author.name)
            if made is None:
                raise Rejected("This person was erased meanwhile.")

            return made

    async def erasures(self) -> list[ErasureView]:
        """Those under way and those that are done, the newest first."""
        async with transaction(self._database) as connection:
            return await jobs.listed(connection)

    async def export(self, named: str, author: Author) -> Export:
        """All that is kept of a person, and an audit row of it being handed out.

        Raises Rejected when there is no such person, or the author may not.
        """
        async with transaction(self._database) as connection:
            await admit(connection, author, Permission.MANAGE)
            person = (await audience_of(connection, RuleTarget(person=named))).person
            assert person is not None
            await audit.record(
                connection,
                author,
                "person.export",
                f"person:{person}",
                before=None,
                after=None,
                epoch=None,
            )

        return await export_person(self._database, person)

    async def list(
        self, limit: int = 50, after: tuple[datetime, UUID] | None = None
    ) -> list[PersonView]:
        """The newest people, as many as `limit`; their messages are not counted.

        `after`: `since` and id of the last one that was seen before.
        """
        since, person = after or (None, None)
        values = {"limit": limit, "since": since, "person": person}
        async with transaction(self._database) as connection:
            statement = text(STATEMENTS["newest_people"])
            rows = await connection.execute(statement, values)

            return [PersonView(*row) for row in rows]
