"""What operators do with people: find them, hand over what is kept of them, erase them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from msgspec import Struct

from agent.control.permissions import Permission
from agent.core.errors import Rejected
from agent.core.remedies import Run
from storage.connecting.connection import Connection
from storage.control import audit
from storage.control.audit import Author
from storage.control.changes import admit, as_json
from storage.control.targets import RuleTarget, audience_of
from storage.lifecycle import STATEMENTS, jobs
from storage.lifecycle.export.making import WHOLE, exported
from storage.lifecycle.export.package import Bound, ExportFile
from storage.lifecycle.jobs import ErasureView
from storage.postgres import Database
from storage.transaction import transaction


class PersonView(Struct, frozen=True):
    """A person as an operator sees them."""

    id: UUID
    accounts: str
    """As `channel:id (name)`, with commas."""
    since: datetime
    messages: int
    consent: bool
    """To training."""


class EarlierTexts(Struct, frozen=True):
    """What an operator who may see it reads about a person's chats."""

    texts: Sequence[Mapping[str, Any]]
    """What edited and deleted messages said before: `at`, `changed`, `channel`, `text`."""
    prompts: Sequence[Mapping[str, Any]]
    """System prompts of their answers: `prompt`, `since`, `until`, `answers`."""


class PeopleAdmin:
    """The operator's side of people. All of it raises StoreUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def show(self, named: str) -> PersonView:
        """One person. Raises Rejected when there is none."""
        async with transaction(self._database) as connection:
            person = (await audience_of(connection, RuleTarget(person=named))).person
            statement = STATEMENTS["one_person"]
            row = (await connection.execute(statement, {"person": person})).first()
            if row is None:
                raise Rejected("This person was erased meanwhile.")

            return PersonView(*row)

    async def earlier(self, named: str, author: Author) -> EarlierTexts:
        """Audited, without a word of what was read. Raises Rejected."""
        async with transaction(self._database) as connection:
            await admit(connection, author, Permission.READ_MESSAGES)
            person = (await audience_of(connection, RuleTarget(person=named))).person
            texts, prompts = [
                await connection.execute(sql, {"person": person})
                for sql in (
                    STATEMENTS["export_earlier_texts"],
                    STATEMENTS["prompts_of_person"],
                )
            ]
            found = EarlierTexts([*map(dict, texts)][::-1], [*map(dict, prompts)])
            await audit.record(
                connection,
                author,
                "texts",
                f"person:{person}",
                before=None,
                after=as_json({"found": len(found.texts)}),
                epoch=None,
            )

        return found

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
            # the last step notes what was done; why, only this row can say
            await _log(connection, author, "person.erase.asked", f"erasure:{made}")

            return made

    async def export(
        self, named: str, author: Author, bound: Bound = WHOLE
    ) -> ExportFile:
        """All that is kept of a person, to be handed to them. The caller closes it.

        An audit row says who took it, once it is made. Raises Rejected when there is no such
        person, or the author may not manage people's data; Refused when it cannot be made now;
        Conflict when an erasure began.
        """
        async with transaction(self._database) as connection:
            await admit(connection, author, Permission.MANAGE)
            person = (await audience_of(connection, RuleTarget(person=named))).person
            assert person is not None

        file = await exported(self._database, person, bound)
        try:
            await self._note_export(person, author)
        except BaseException:
            file.close()
            raise

        return file

    async def _note_export(self, person: UUID, author: Author) -> None:
        """Asks for the permission once more: to make it may have taken minutes."""
        async with transaction(self._database) as connection:
            await admit(connection, author, Permission.MANAGE)
            await _log(connection, author, "person.export", f"person:{person}")

    async def erasure(self, number: UUID) -> ErasureView:
        """How far one is. Raises Rejected when there is none of this number."""
        async with transaction(self._database) as connection:
            statement = STATEMENTS["one_erasure"]
            row = (await connection.execute(statement, {"id": number})).first()

        if row is None:
            raise Rejected("There is no such erasure.")

        return ErasureView(*row)

    async def erasures(self) -> list[ErasureView]:
        """Those under way and those that are done, the newest first."""
        async with transaction(self._database) as connection:
            return await jobs.listed(connection)

    async def list(
        self, limit: int = 50, after: tuple[datetime, UUID] | None = None
    ) -> list[PersonView]:
        """The newest people, as many as `limit`; their messages are not counted.

        `after`: `since` and id of the last one that was seen before.
        """
        since, person = after or (None, None)
        values = {"limit": limit, "since": since, "person": person}
        async with transaction(self._database) as connection:
            statement = STATEMENTS["newest_people"]
            rows = await connection.execute(statement, values)

            return [PersonView(*row) for row in rows]


async def _log(
    connection: Connection, author: Author, action: str, subject: str
) -> None:
    """Last in its transaction: nothing may be locked after it."""
    await audit.record(
        connection, author, action, subject, before=None, after=None, epoch=None
    )
