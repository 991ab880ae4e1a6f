"""Secrets of second factors, brought under the newest key."""

from __future__ import annotations

from cryptography.fernet import InvalidToken
from msgspec import Struct

from storage.control.credentials import Secrets
from storage.control.operators import STATEMENTS
from storage.control.operators.second_factor import is_plain, seal, unseal
from storage.postgres import Database
from storage.transaction import transaction


class Renewal(Struct, frozen=True):
    """What became of them."""

    renewed: int
    newest: int
    lost: tuple[str, ...]
    """Operators whose secret no key opens: they need a recovery code."""


async def renew_factors(database: Database, secrets: Secrets) -> Renewal:
    """Seals also those that were stored before there was a key. Operators are few, so one
    transaction holds them all.
    """
    renewed, newest, lost = 0, 0, []
    async with transaction(database) as connection:
        rows = await connection.execute(STATEMENTS["all_factors"])
        for name, stored in rows:
            try:
                new = _renewed(secrets, name, bytes(stored))
            except InvalidToken:
                lost.append(f"operator {name}")
                continue

            newest += 1
            if new is not None:
                renewed += 1
                values = {"name": name, "totp": new}
                await connection.execute(STATEMENTS["renew_factor"], values)

    return Renewal(renewed, newest, tuple(lost))


def _renewed(secrets: Secrets, name: str, stored: bytes) -> bytes | None:
    """None: it is under the newest key. Raises InvalidToken when no key opens it."""
    if is_plain(stored):
        return seal(secrets, name, unseal(secrets, name, stored))

    return secrets.renewed(stored)
