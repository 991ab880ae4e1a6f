"""The second factor: codes of an app (TOTP, RFC 6238), and codes for when it is lost."""

from __future__ import annotations

import base64
import re
import secrets
from datetime import datetime
from hashlib import sha256

import msgspec
from msgspec import Struct

from agent.core.errors import Rejected
from storage.connecting.connection import Connection
from storage.control.credentials import Secrets
from storage.control.operators import STATEMENTS

STEP_SECONDS = 30
ISSUER = "Simple AI Agent"
RECOVERY_CODES = 10
RECOVERY_BYTES = 10
"""80 bits: nobody tries them all, so their plain hash is enough."""

_SECRET = re.compile("[A-Z2-7]{32}")
"""160 bits in base32."""

_NEIGHBOURS = (0, -1, 1)
"""Steps whose code is taken: clocks differ by up to half a minute."""


class SecondFactor(Struct, frozen=True):
    """A secret that an app is shown, before it is confirmed."""

    secret: str
    uri: str
    """What the QR code of an app says."""

    @property
    def grouped(self) -> str:
        """The secret as people type it."""
        places = range(0, len(self.secret), 4)

        return " ".join(self.secret[at : at + 4] for at in places)


def new_factor(name: str) -> SecondFactor:
    import pyotp

    return factor_of(name, pyotp.random_base32())


def factor_of(name: str, secret: str) -> SecondFactor:
    """The same secret once more. Raises Rejected for what was not made here."""
    import pyotp

    _checked(secret)
    uri = pyotp.TOTP(secret, name=name, issuer=ISSUER).provisioning_uri()

    return SecondFactor(secret, uri)


def step_of(
    secret: str,
    code: str,
    now: datetime,
) -> int | None:
    """The step that the code is of; None: it is of none near this moment."""
    import pyotp

    totp = pyotp.TOTP(_checked(secret))
    current = int(now.timestamp()) // STEP_SECONDS
    typed = code.replace(" ", "")
    for step in (current + each for each in _NEIGHBOURS):
        if secrets.compare_digest(totp.generate_otp(step).encode(), typed.encode()):
            return step

    return None


def seal(
    keys: Secrets,
    name: str,
    secret: str,
) -> bytes:
    """As it is stored: encrypted where there are keys."""
    if keys.has_keys:
        return keys.seal(_owner(name), {"totp": secret})

    return msgspec.json.encode({"totp": secret})


def unseal(
    keys: Secrets,
    name: str,
    stored: bytes,
) -> str:
    """Raises ConfigurationError when no key opens it."""
    if is_plain(stored):
        plain: dict[str, str] = msgspec.json.decode(stored, type=dict[str, str])
        return plain["totp"]

    return keys.open(_owner(name), stored)["totp"]


def is_plain(stored: bytes) -> bool:
    """Whether it was stored without a key: JSON, which no sealed value begins like."""
    return stored.startswith(b"{")


def new_recovery_codes() -> list[str]:
    return [_recovery_code() for _ in range(RECOVERY_CODES)]


def hashed_code(code: str) -> bytes:
    """What is kept of a code, however it was typed."""
    plain = "".join(each for each in code.upper() if each.isalnum())

    return sha256(plain.encode()).digest()


async def takes_code(
    connection: Connection,
    name: str,
    secret: str | None,
    code: str,
    now: datetime,
) -> bool:
    """Whether the code is right and was not used before. It is used up.

    `secret` None: no key opens it any more, so that only a recovery code is left.
    """
    step = None if secret is None else step_of(secret, code, now)
    if step is not None:
        statement = STATEMENTS["use_totp_step"]
        values = {"name": name, "step": step}
        return await connection.scalar(statement, values) is not None

    statement = STATEMENTS["use_recovery_code"]
    values_ = {"name": name, "hash": hashed_code(code)}

    return await connection.scalar(statement, values_) is not None


def _checked(secret: str) -> str:
    if not _SECRET.fullmatch(secret):
        raise Rejected("This secret is not one of ours. Begin once more.")

    return secret


def _recovery_code() -> str:
    plain = base64.b32encode(secrets.token_bytes(RECOVERY_BYTES)).decode()

    return "-".join(plain[at : at + 4] for at in range(0, len(plain), 4))


def _owner(name: str) -> str:
    """Under which it is sealed, so that no row can pose as another's."""
    return f"operator:{name}"
