"""Passwords of operators: what may be one, and its Argon2id hash."""

from __future__ import annotations

import asyncio
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from agent.core.errors import Refused, Rejected

if TYPE_CHECKING:
    from argon2 import PasswordHasher

T = TypeVar("T")

MIN_CHARS = 12
MAX_CHARS = 200
MIN_DIFFERENT = 6
"""Different characters. It keeps out `aaaaaaaaaaaa` and `121212121212`."""

AT_ONCE = 32
"""Hashes that wait, from whatever addresses: two seconds of work."""

_waiting: set[asyncio.Future[Any]] = set()

_one_thread = ThreadPoolExecutor(1, "passwords")
"""Each hash takes 64 MiB and 50 ms of a core; many sign-ins at once must not take more."""


@cache
def _hasher() -> PasswordHasher:
    """The second recommended choice of RFC 9106, section 4, which is the library's default."""
    from argon2 import PasswordHasher

    return PasswordHasher()


@cache
def _nobodys_hash() -> str:
    return _hasher().hash("nobody's password")


def check_password(
    name: str,
    password: str,
) -> None:
    """Raises Rejected, with what to do, for a password that is too easy to guess."""
    plain = password.casefold()

    if not MIN_CHARS <= len(password) <= MAX_CHARS:
        raise Rejected(
            f"A password has {MIN_CHARS} to {MAX_CHARS} characters. A few random words "
            "are good."
        )
    if len(set(plain)) < MIN_DIFFERENT or plain.replace(name.casefold(), "") == "":
        raise Rejected("This password is too easy to guess. Choose another.")


async def hash_password(password: str) -> str:
    """The hash, with its salt and parameters."""
    return await _aside(_hash, password)


async def matches(
    stored: str | None,
    password: str,
) -> bool:
    """Whether this is the password. It takes as long where there is none."""
    right = await _aside(_verify, stored, password)

    return right and stored is not None


async def _aside(
    work: Callable[..., T],
    *values: object,
) -> T:
    """Off the event loop, which others need meanwhile. Raises Refused for too many at once."""
    if len(_waiting) >= AT_ONCE:
        raise Refused("Too many people sign in at this moment. Please try again.")

    loop = asyncio.get_running_loop()
    done = loop.run_in_executor(_one_thread, work, *values)
    _waiting.add(done)
    done.add_done_callback(_waiting.discard)

    return await asyncio.shield(done)


def _hash(password: str) -> str:
    return _hasher().hash(_normal(password))


def _verify(
    stored: str | None,
    password: str,
) -> bool:
    from argon2.exceptions import InvalidHashError, VerificationError

    try:
        return _hasher().verify(stored or _nobodys_hash(), _normal(password))
    except (VerificationError, InvalidHashError):
        return False


def _normal(password: str) -> str:
    """One form for what keyboards type in several. What is too long is no password anyway."""
    return unicodedata.normalize("NFKC", password[: MAX_CHARS + 1])
