"""Whom an operator blocks: all accounts of a person go on the `deny` lists of their channels,
in one change.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.control.audit import Author
from storage.control.changes import changing
from storage.control.channel_settings import ChannelForm
from storage.control.channels import view_of, write_form
from storage.control.targets import RuleTarget, audience_of
from storage.people import STATEMENTS
from storage.postgres import Database
from storage.redis import RedisPipe
from storage.transaction import transaction


@dataclass(frozen=True, slots=True)
class BlockView:
    """A person's accounts, as `channel:id`, and which of them may not talk to the agent."""

    person: UUID
    accounts: Sequence[str]
    blocked: Sequence[str]


class BlockAdmin:
    """The operator's side of blocking. Raises StoreUnavailable."""

    def __init__(
        self,
        database: Database,
        pipe: RedisPipe,
    ) -> None:
        self._database = database
        self._pipe = pipe

    async def show(
        self,
        named: str,
    ) -> BlockView:
        """Raises Rejected when there is no such person."""
        async with transaction(self._database) as connection:
            return await _shown(connection, named)

    async def set(
        self,
        named: str,
        author: Author,
        *,
        blocked: bool,
    ) -> BlockView:
        """Blocks a person on all their accounts, or lets them talk again; the channels'
        `allow` lists stay as they are. Raises Rejected when there is no such person.
        """
        async with changing(self._database, self._pipe, author) as change:
            view = await _shown(change.connection, named)
            for channel, accounts in _by_channel(view.accounts).items():
                before = (await view_of(change.connection, channel)).form
                after = _denying(before, accounts, blocked=blocked)
                if after != before:
                    await write_form(change, channel, before, after)

            return await _shown(change.connection, named)


async def _shown(
    connection: AsyncConnection,
    named: str,
) -> BlockView:
    person = (await audience_of(connection, RuleTarget(person=named))).person
    assert person is not None
    statement = text(STATEMENTS["accounts_of_person"])
    rows = (await connection.execute(statement, {"person": person})).all()
    denied = {
        channel: {*(await view_of(connection, channel)).form.deny}
        for channel in {row.channel_type for row in rows}
    }

    return BlockView(
        person,
        [f"{row.channel_type}:{row.channel_user_id}" for row in rows],
        [
            f"{row.channel_type}:{row.channel_user_id}"
            for row in rows
            if row.channel_user_id in denied[row.channel_type]
        ],
    )


def _by_channel(accounts: Sequence[str]) -> Mapping[str, list[str]]:
    found: dict[str, list[str]] = {}
    for account in accounts:
        channel, _, name = account.partition(":")
        found.setdefault(channel, []).append(name)

    return found


def _denying(
    form: ChannelForm,
    accounts: Sequence[str],
    *,
    blocked: bool,
) -> ChannelForm:
    others = [name for name in form.deny if name not in accounts]
    deny = (*others, *accounts) if blocked else tuple(others)

    return form.model_copy(update={"deny": deny})
