"""Everything an operator does with channels; the command line and the console call it.

A change is one transaction with its audit row and the next epoch; running instances apply
it within a second. A channel reads its credentials when it starts, so a new one needs a
restart of `agent serve`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

import msgspec
from msgspec import Struct
from uuid_utils.compat import uuid7

from agent.core.errors import ConfigurationError, Rejected, UnknownModel
from agent.core.remedies import Amend
from agent.core.text import did_you_mean
from agent.core.words.model_lists import LIST_SECONDS, ListsModels
from storage.connecting.connection import Connection
from storage.control import STATEMENTS
from storage.control.audit import Author
from storage.control.changes import (
    Change,
    changing,
    expect,
    managing,
    version_of,
)
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
"""What each channel signs in with. The setting `DISCORD_TOKEN` is the `token` of discord."""

_LOST = {"credentials": "no key opens them"}
"""What the audit log says of credentials that were given up."""


class ChannelView(Struct, frozen=True):
    """A channel as an operator sees it."""

    name: str
    form: ChannelForm
    has_credentials: bool
    version: int
    """Of its last change; 0: never changed."""


class ChannelAdmin:
    """The operator's side of channels."""

    def __init__(
        self,
        database: Database,
        pipe: RedisPipe,
        check_model: Callable[[str], None],
        lists: ListsModels | None = None,
    ) -> None:
        """`check_model` raises UnknownModel for a model that cannot be asked."""
        self._database = database
        self._pipe = pipe
        self._check_model = check_model
        self._lists = lists

    async def find_models(self, changes: Mapping[str, str | None]) -> None:
        """Raises Rejected when these changes name a model that no provider has.

        `set` takes it nevertheless.
        """
        if self._lists is None:
            return

        for name in ("default_model", "allowed_models"):
            for model in re.split(r"[,\s]+", changes.get(name) or ""):
                if model and (problem := await _objection(self._lists, model)):
                    raise Rejected(f"{name}: {problem}", Amend("add", ("force",)))

    async def list(self) -> list[ChannelView]:
        """All channels by name, set or not."""
        async with transaction(self._database) as connection:
            rows = await connection.execute(STATEMENTS["all_channels"])
            names = {*CHANNELS, *(row.channel_type for row in rows)}

            return [await view_of(connection, name) for name in sorted(names)]

    async def get(self, name: str) -> ChannelView:
        """One channel. Raises Rejected when there is none of this name."""
        async with transaction(self._database) as connection:
            return await known_channel(connection, name)

    async def set(
        self,
        name: str,
        changes: Mapping[str, str | None],
        author: Author,
        *,
        expected: int | None = None,
    ) -> tuple[ChannelView, ChannelView]:
        """Changes settings, written as people write them; None takes one back.

        Returns the channel before and after. Raises Rejected for a value that is not
        possible, and Conflict when the channel is no longer at version `expected`.
        """
        async with changing(self._database, self._pipe, author) as change:
            before = await known_channel(change.connection, name)
            await expect(change.connection, channel_subject(name), expected)

            form = changed_form(before.form, changes, self._check_model)
            if form != before.form:
                await write_form(change, name, before.form, form)

            return before, await view_of(change.connection, name)

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
        """Stores a credential encrypted; None removes it. Nothing shows its value.

        `forget` gives up what no key opens. Raises Rejected, or ConfigurationError without a key.
        """
        _check_credential(name, credential, value)

        async with managing(self._database, self._pipe, author) as change:
            before, lost = await _kept(
                change.connection, name, secrets, forget=forget
            )
            after = {key: kept for key, kept in before.items() if key != credential}
            if value is not None:
                after[credential] = value
            if not lost and after == before:
                return

            sealed = secrets.seal(name, after) if after else None
            values = {"id": uuid7(), "channel": name, "sealed": sealed}
            statement = STATEMENTS["set_credentials"]
            await change.connection.execute(statement, values)

            action = "remove" if value is None else "set"
            logged = {"credential": credential}
            had = logged if credential in before else None
            await change.record(
                f"channel.credential.{action}",
                channel_subject(name),
                before=_LOST if lost else had,
                after=logged,
            )


async def _objection(models: ListsModels, model: str) -> str:
    try:
        return await models.objection(model, LIST_SECONDS)
    except UnknownModel:
        return ""  # said better by the check of all settings together


async def stored_credentials(
    database: Database,
    secrets: Secrets,
    settings: Collection[str] = frozenset(),
) -> dict[str, str]:
    """All that is stored, by the name of its setting (`discord_token`).

    Skips a channel if `settings` names all of its credentials. Raises ConfigurationError,
    StoreUnavailable.
    """
    found: dict[str, str] = {}

    async with transaction(database) as connection:
        for name, credentials in CREDENTIALS.items():
            if {f"{name}_{key}" for key in credentials} <= set(settings):
                continue

            values = await _credentials(connection, name, secrets)
            found |= {f"{name}_{key}": value for key, value in values.items()}

    return found


def described(form: ChannelForm) -> dict[str, Any]:
    """What is set, as it is written to the log and shown."""
    model = {"default_model": form.default_model} if form.default_model else {}

    return model | form.stored()


async def known_channel(connection: Connection, name: str) -> ChannelView:
    """Within a larger transaction. Raises Rejected when there is none of this name."""
    await audience_of(connection, RuleTarget(channel=name))

    return await view_of(connection, name)


async def write_form(
    change: Change,
    name: str,
    before: ChannelForm,
    after: ChannelForm,
) -> None:
    """Stores a form with its audit row, within a larger change."""
    values = {
        "id": uuid7(),
        "channel": name,
        "default_model": after.default_model,
        "settings": msgspec.json.encode(after.stored()).decode(),
    }
    await change.connection.execute(STATEMENTS["set_channel"], values)

    old, new = described(before), described(after)
    await change.record(
        "channel.set",
        channel_subject(name),
        before={key: value for key, value in old.items() if new.get(key) != value},
        after={key: value for key, value in new.items() if old.get(key) != value},
    )


def check_credential_name(name: str, credential: str) -> None:
    """Raises Rejected where there is no such credential; the sentence names what is near."""
    if name not in CREDENTIALS:
        raise Rejected(
            f"{name} has no credentials.{did_you_mean(name, CREDENTIALS)} "
            f"Those that have: {', '.join(CREDENTIALS)}."
        )
    if credential not in CREDENTIALS[name]:
        known = CREDENTIALS[name]
        raise Rejected(
            f"{name} has no credential {credential!r}.{did_you_mean(credential, known)} "
            f"It has: {', '.join(known)}."
        )


def _check_credential(name: str, credential: str, value: str | None) -> None:
    check_credential_name(name, credential)
    if value is None:
        return
    if not value.isprintable() or not 0 < len(value) <= 1000:
        raise Rejected(
            "A credential has 1 to 1000 printable characters. Look at what you pasted."
        )


async def view_of(connection: Connection, name: str) -> ChannelView:
    """A channel as it is now, within a larger transaction."""
    found = await connection.execute(STATEMENTS["all_channels"])
    rows = {row.channel_type: row for row in found}
    _, model, settings, sealed = rows.get(name, (name, None, {}, None))
    version = await version_of(connection, channel_subject(name))

    return ChannelView(name, read_form(model, settings), sealed is not None, version)


async def _credentials(
    connection: Connection,
    name: str,
    secrets: Secrets,
) -> dict[str, str]:
    wanted = STATEMENTS["credentials_of_channel"]
    sealed = await connection.scalar(wanted, {"channel": name})

    return secrets.open(name, None if sealed is None else bytes(sealed))


async def _kept(
    connection: Connection,
    name: str,
    secrets: Secrets,
    *,
    forget: bool,
) -> tuple[dict[str, str], bool]:
    """What is stored, and whether it is lost; then nothing is returned of it.

    Raises ConfigurationError without a key.
    """
    try:
        return await _credentials(connection, name, secrets), False
    except ConfigurationError:
        if not forget:
            raise

        secrets.check()
        return {}, True


def channel_subject(name: str) -> str:
    """As the audit log calls it."""
    return f"channel:{name}"
