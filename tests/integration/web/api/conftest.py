"""The API with real stores, and programs with tokens."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.support.programs import Programs, programs


@pytest.fixture
async def api(database_url: str, redis_url: str) -> AsyncIterator[Programs]:
    """An instance, and tokens for it on demand."""
    async with programs(database_url, redis_url) as opened:
        yield opened
