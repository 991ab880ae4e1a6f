"""Credentials at rest: Fernet under ENCRYPTION_KEYS, and how they move to a newer key while
the agent runs.

New values are written under the first key; every key can still read. To replace a key: put
the new one first on all instances, run `agent db rotate-keys`, then remove the old one.
https://cryptography.io/en/latest/fernet/#cryptography.fernet.MultiFernet
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import TYPE_CHECKING
from uuid import UUID

import asyncpg
import msgspec
from msgspec import Struct

from agent.control.permissions import Permission
from agent.core.errors import ConfigurationError
from agent.core.remedies import Run
from storage.control import STATEMENTS, audit
from storage.control.audit import Author
from storage.control.changes import admit
from storage.postgres import Database, PinnedConnection
from storage.transaction import transaction

AT_ONCE = 500
"""Rows of one page: a tenth of a second of work, during which no lock is held."""


class Secrets:
    """Encrypts and decrypts what belongs to one channel."""

    def __init__(self, keys: Sequence[str]) -> None:
        """`keys`: newest first. Raises ConfigurationError when one is not a key."""
        self._all: MultiFernet | None = None
        self._newest: Fernet | None = None
        if not keys:
            return

        # here: it takes 8 MiB, and many processes have no keys
        from cryptography.fernet import Fernet, MultiFernet

        try:
            fernets = [Fernet(key) for key in keys]
        except ValueError:
            raise ConfigurationError(
                "ENCRYPTION_KEYS: each key is 32 bytes in URL-safe base64.",
                Run("db new-key", "makes one"),
            ) from None

        self._all, self._newest = MultiFernet(fernets), fernets[0]

    @property
    def has_keys(self) -> bool:
        """Whether anything can be sealed."""
        return self._all is not None

    def seal(self, channel: str, values: dict[str, str]) -> bytes:
        """The values as they are stored.

        The channel's name is sealed with them, so that no row can pose as another's.
        """
        return self._keys().encrypt(msgspec.json.encode([channel, values]))

    def open(self, channel: str, sealed: bytes | None) -> dict[str, str]:
        """What was sealed. Raises ConfigurationError when no key opens it."""
        if sealed is None:
            return {}

        from cryptography.fernet import InvalidToken

        try:
            opened = self._keys().decrypt(sealed)
            owner, values = msgspec.json.decode(
                opened, type=tuple[str, dict[str, str]]
            )
        except InvalidToken:
            owner, values = None, {}

        if owner != channel:
            raise ConfigurationError(
                f"No key of ENCRYPTION_KEYS opens the credentials of {channel}. "
                "Add the key they were stored under.",
                Run(
                    "channels credential",
                    "gives all of them up instead",
                    target=channel,
                    consent="forget",
                ),
            )

        return values

    def renewed(self, sealed: bytes) -> bytes | None:
        """The same under the newest key; None: it already is.

        Raises InvalidToken when no key opens it.
        """
        from cryptography.fernet import InvalidToken

        keys = self._keys()
        assert self._newest is not None

        try:
            self._newest.decrypt(sealed)
        except InvalidToken:
            return keys.rotate(sealed)

        return None

    def check(self) -> None:
        """Raises ConfigurationError when there is no key."""
        self._keys()

    def _keys(self) -> MultiFernet:
        if self._all is None:
            raise ConfigurationError(
                "Credentials are stored encrypted only, and ENCRYPTION_KEYS is not set.",
                Run("db new-key", "makes a key"),
            )

        return self._all


class Rotation(Struct, frozen=True):
    """What a rotation did."""

    renewed: int
    """Rows that were under an older key."""
    newest: int
    """Rows that are under the newest key now."""
    lost: tuple[str, ...]
    """Channels whose credentials no key opens, and operators whose second factor none does."""


def new_key() -> str:
    """A key for ENCRYPTION_KEYS."""
    from cryptography.fernet import Fernet

    return Fernet.generate_key().decode()


async def rotate(
    database: Database,
    secrets: Secrets,
    author: Author,
    *,
    at_once: int = AT_ONCE,
) -> Rotation:
    """Brings all credentials under the newest key, while the agent reads them and operators
    write them.

    A row is replaced only if it is still what was read; a row that somebody wrote meanwhile
    is read again. Raises ConfigurationError without keys, Rejected when the author may not
    change anything, and StoreUnavailable.
    """
    secrets.check()
    async with transaction(database) as connection:
        await admit(connection, author, Permission.MANAGE)

    rotation = await _rotated(database, secrets, at_once)

    async with transaction(database) as connection:
        after = msgspec.json.encode(rotation).decode()
        await audit.record(
            connection,
            author,
            "keys.rotate",
            "credentials",
            before=None,
            after=after,
            epoch=None,
        )

    return rotation


if TYPE_CHECKING:
    from cryptography.fernet import Fernet, MultiFernet


_LOST = "lost "


async def _rotated(database: Database, secrets: Secrets, at_once: int) -> Rotation:
    from storage.control.operators.rotation import renew_factors

    renewed, seen = await _renew_all(database.line(planner={}), secrets, at_once)
    lost = sorted(
        found.removeprefix(_LOST) for found in seen if found.startswith(_LOST)
    )
    factors = await renew_factors(database, secrets)

    return Rotation(
        renewed + factors.renewed,
        len(seen) - len(lost) + factors.newest,
        (*lost, *factors.lost),
    )


async def _renew_all(
    line: PinnedConnection,
    secrets: Secrets,
    at_once: int,
) -> tuple[int, list[str]]:
    """How many rows were renewed, and what became of each in the end."""
    renewed = 0

    while True:
        seen = [
            found
            async for page in _pages(line, at_once)
            for found in await _renew(line, secrets, page)
        ]
        renewed += seen.count("renewed")

        if "missed" not in seen:
            return renewed, seen


async def _pages(
    line: PinnedConnection,
    at_once: int,
) -> AsyncGenerator[list[asyncpg.Record]]:
    after = UUID(int=0)
    while page := await line.fetch(STATEMENTS["page_of_credentials"], after, at_once):
        yield page
        after = page[-1]["id"]


async def _renew(
    line: PinnedConnection,
    secrets: Secrets,
    page: Sequence[asyncpg.Record],
) -> list[str]:
    """What became of each row: `kept`, `renewed`, `missed` (somebody else wrote it), or
    `lost <channel>`.
    """
    from cryptography.fernet import InvalidToken

    new: dict[UUID, tuple[bytes, bytes]] = {}
    found = {row["id"]: "kept" for row in page}

    for row in page:
        try:
            if value := secrets.renewed(row["credentials"]):
                new[row["id"]] = (row["credentials"], value)
        except InvalidToken:
            found[row["id"]] = _LOST + row["channel_type"]

    if new:
        before, after = zip(*new.values(), strict=True)
        done = {
            row["id"]
            for row in await line.fetch(
                STATEMENTS["replace_credentials"],
                list(new),
                list(before),
                list(after),
            )
        }
        found |= {row: "renewed" if row in done else "missed" for row in new}

    return list(found.values())
