"""Whom an operator blocks: all accounts of a person go on the `deny` lists of their channels,
in one change.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from uuid import UUID

from msgspec import Struct

from agent.core.errors import Rejected
from storage.connecting.connection import Connection
from storage.control.audit import Author
from storage.control.changes import Change, changing, expect
from storage.control.channel_settings import changed_form
from storage.control.channels import (
    ChannelView,
    channel_subject,
    known_channel,
    write_form,
)
from storage.control.targets import RuleTarget, audience_of
from storage.people import STATEMENTS
from storage.postgres import Database
from storage.redis import RedisPipe
from storage.transaction import transaction

NOWHERE = "The channels of this person are no more, so there is nothing to do."

UNSEEN = -1
"""No version: the channel was not there when somebody looked."""


class BlockView(Struct, frozen=True):
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
        expected: Mapping[str, int] | None = None,
    ) -> BlockView:
        """Blocks a person on all their accounts, or lets them talk again; the channels'
        `allow` lists stay as they are, and channels that are no more are passed over.

        `expected`: the version of each channel that was seen. Raises Conflict when one has
        another now, and Rejected when there is no such person, or a list becomes too long.
        """
        async with changing(self._database, self._pipe, author) as change:
            view = await _shown(change.connection, named)
            channels = await _channels(change.connection, view.accounts)
            if not channels:
                raise Rejected(NOWHERE)

            # all are looked at before any is changed
            for name in channels if expected is not None else ():
                seen = (expected or {}).get(name, UNSEEN)
                await expect(change.connection, channel_subject(name), seen)
            for name, found in channels.items():
                own = _on(name, view.accounts)
                await _deny(change, found, own, blocked=blocked)

            return await _shown(change.connection, named)


async def _shown(
    connection: Connection,
    named: str,
) -> BlockView:
    person = (await audience_of(connection, RuleTarget(person=named))).person
    assert person is not None
    statement = STATEMENTS["accounts_of_person"]
    rows = await connection.execute(statement, {"person": person})
    accounts = [f"{row.channel_type}:{row.channel_user_id}" for row in rows]
    channels = await _channels(connection, accounts)
    denied = {
        f"{name}:{account}"
        for name, found in channels.items()
        for account in found.form.deny
    }

    return BlockView(
        person,
        accounts,
        [account for account in accounts if account in denied],
    )


async def _channels(
    connection: Connection,
    accounts: Sequence[str],
) -> Mapping[str, ChannelView]:
    """Their channels by name, without those that are no more."""
    found = {}
    for name in sorted({account.partition(":")[0] for account in accounts}):
        with suppress(Rejected):
            found[name] = await known_channel(connection, name)

    return found


def _on(
    channel: str,
    accounts: Sequence[str],
) -> Sequence[str]:
    """Their ids there."""
    return [
        account.partition(":")[2]
        for account in accounts
        if account.startswith(f"{channel}:")
    ]


async def _deny(
    change: Change,
    found: ChannelView,
    own: Sequence[str],
    *,
    blocked: bool,
) -> None:
    """Raises Rejected when the list cannot be as long."""
    others = [name for name in found.form.deny if name not in own]
    wanted = {"deny": ",".join([*others, *own] if blocked else others)}
    form = changed_form(found.form, wanted, _any_model)
    if form != found.form:
        await write_form(change, found.name, found.form, form)


def _any_model(name: str) -> None:
    """No model is changed here."""
