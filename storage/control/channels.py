"""Everything an operator does with channels: each a function that the command line and the
console call.

A change is one transaction with its audit row and the next epoch; running instances apply
it within a second. Credentials are taken when a channel starts, so a new one needs `agent
serve` to be started anew.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection
from uuid_utils.compat import uuid7

from agent.core.errors import ConfigurationError, Rejected
from storage.control import STATEMENTS
from storage.control.audit import Author
from storage.control.changes import changing, expect, version_of
from storage.control.channel_settings import (
    CHANNELS,
    ChannelForm,
    changed_form,
    read_form,
)
from storage.control.credentials import Secrets
from storage.control.targets import RuleTarget, audience_of
from storage.postgres import Database
from storage.redis import RedisPipe
from storage.transaction import transaction

CREDENTIALS: Mapping[str, tuple[str, ...]] = {
    "discord": ("token", "public_key"),
    "slack": ("bot_token", "app_token", "signing_secret"),
    "telegram": ("token",),
}
"""What each channel signs in with. `DISCORD_TOKEN` is the token of discord, and so on."""

_LOST = {"credentials": "no key opens them"}  # in the audit log


@dataclass(frozen=True, slots=True)
class ChannelView:
    """A channel as an operator sees it."""

    name: str
    form: ChannelForm
    has_credentials: bool
    version: int  # of its last change; 0: never changed


class ChannelAdmin:
    """The operator's side of channels. `check_model` raises UnknownModel for what can not
    be asked.
    """

    def __init__(
        self, database: Database, pipe: RedisPipe, check_model: Callable[[str], None]
    ) -> None:
        self._database = database
        self._pipe = pipe
        self._check_model = check_model

    async def list(self) -> list[ChannelView]:
        """All channels by name, set or not."""
        async with transaction(self._database) as connection:
            names = {
                *CHANNELS,
                *(
                    row[0]
                    for row in await connection.execute(
                        text(STATEMENTS["all_channels"])
                    )
                ),
            }
            return [await _view(connection, name) for name in sorted(names)]

    async def get(self, name: str) -> ChannelView:
        """One channel. Raises Rejected when there is none of this name."""
        async with transaction(self._database) as connection:
            return await _known(connection, name)

    async def set(
        self,
        name: str,
        changes: Mapping[str, str | None],
        author: Author,
        *,
        expected: int | None = None,
    ) -> tuple[ChannelView, ChannelView]:
        """Changes settings, written as people write them; None takes one back. Before and after.

        Raises Rejected for what can not be, Conflict when the channel is no longer at
        version `expected`.
        """
        async with changing(self._database, self._pipe, author) as change:
            before = await _known(change.connection, name)
            await expect(change.connection, _subject(name), expected)
            form = changed_form(before.form, changes, self._check_model)
            if form != before.form:
                values = {
                    "id": uuid7(),
                    "channel": name,
                    "default_model": form.default_model,
                }
                settings = msgspec.json.encode(form.stored()).decode()
                await change.connection.execute(
                    text(STATEMENTS["set_channel"]), values | {"settings": settings}
                )
                old, new = told(before.form), told(form)
                await change.record(
                    "channel.set",
                    _subject(name),
                    before={
                        key: value
                        for key, value in old.items()
                        if new.get(key) != value
                    },
                    after={
                        key: value
                        for key, value in new.items()
                        if old.get(key) != value
                    },
                )
            return before, await _view(change.connection, name)

    async def set_credential(
        self,
        name: str,
        credential: str,
        value: str | None,
        author: Author,
        secrets: Secrets,
        *,
        forget: bool = False,
    ) -> None:
        """Stores a credential encrypted; None removes it. Its value stands in no log and in
        no answer.

        Where no key opens what the channel has, all of it goes with it if the operator says
        so (`forget`). Raises Rejected for a channel or credential that does not exist,
        ConfigurationError without a key.
        """
        if name not in CREDENTIALS:
            raise Rejected(
                f"{name} has no credentials. Those that have: {', '.join(CREDENTIALS)}."
            )
        if credential not in CREDENTIALS[name]:
            raise Rejected(
                f"{name} has no credential {credential!r}. It has: {', '.join(CREDENTIALS[name])}."
            )
        if value is not None and not (value.isprintable() and 0 < len(value) <= 1000):
            raise Rejected(
                "A credential has 1 to 1000 printable characters. Look at what you pasted."
            )
        async with changing(self._database, self._pipe, author) as change:
            before, lost = await _kept(change.connection, name, secrets, forget=forget)
            after = {key: kept for key, kept in before.items() if key != credential}
            after |= {credential: value} if value is not None else {}
            if lost or after != before:
                sealed = secrets.seal(name, after) if after else None
                values = {"id": uuid7(), "channel": name, "sealed": sealed}
                await change.connection.execute(
                    text(STATEMENTS["set_credentials"]), values
                )
                action = (
                    "channel.credential.remove"
                    if value is None
                    else "channel.credential.set"
                )
                said = {"credential": credential}
                was = _LOST if lost else said if credential in before else None
                await change.record(action, _subject(name), before=was, after=said)


async def stored_credentials(
    database: Database, secrets: Secrets, given: Collection[str] = frozenset()
) -> dict[str, str]:
    """All that is stored, by the name of its setting (`discord_token`). Raises
    ConfigurationError, StoreUnavailable.

    A channel is passed over if all its settings are `given`.
    """
    found: dict[str, str] = {}
    async with transaction(database) as connection:
        for name, credentials in CREDENTIALS.items():
            if not {f"{name}_{key}" for key in credentials} <= set(given):
                values = await _credentials(connection, name, secrets)
                found |= {f"{name}_{key}": value for key, value in values.items()}
    return found


def told(form: ChannelForm) -> dict[str, Any]:
    """What is set, as it is written to the log and shown."""
    model = {"default_model": form.default_model} if form.default_model else {}
    return model | form.stored()


async def _known(connection: AsyncConnection, name: str) -> ChannelView:
    await audience_of(connection, RuleTarget(channel=name))
    return await _view(connection, name)


async def _view(connection: AsyncConnection, name: str) -> ChannelView:
    rows = {
        row[0]: row
        for row in await connection.execute(text(STATEMENTS["all_channels"]))
    }
    _, model, settings, sealed = rows.get(name, (name, None, {}, None))
    version = await version_of(connection, _subject(name))
    return ChannelView(name, read_form(model, settings), sealed is not None, version)


async def _credentials(
    connection: AsyncConnection, name: str, secrets: Secrets
) -> dict[str, str]:
    wanted = text(STATEMENTS["credentials_of_channel"])
    sealed = await connection.scalar(wanted, {"channel": name})
    return secrets.open(name, None if sealed is None else bytes(sealed))


async def _kept(
    connection: AsyncConnection, name: str, secrets: Secrets, *, forget: bool
) -> tuple[dict[str, str], bool]:
    """What is stored, and whether it is lost: nothing then. Raises ConfigurationError
    without a key.
    """
    try:
        return await _credentials(connection, name, secrets), False
    except ConfigurationError:
        if not forget:
            raise
        secrets.check()
        return {}, True


def _subject(name: str) -> str:
    return f"channel:{name}"
