"""A console with real stores."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from argon2 import PasswordHasher

from storage.control.operators import passwords
from tests.support.browser import Browser, console

QUICK = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


@pytest.fixture(autouse=True)
def _quick_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousandth of the work: many tests sign in."""
    monkeypatch.setattr(passwords, "_hasher", lambda: QUICK)


@pytest.fixture
async def ada(database_url: str, redis_url: str) -> AsyncIterator[Browser]:
    """Nobody is signed in yet."""
    async with console(database_url, redis_url) as browser:
        yield browser
